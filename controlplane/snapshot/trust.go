package snapshot

import (
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// trust compiles the one Trust resource, as soon as the cluster has an identity authority.
func trust(_ *Compiler, m *model.Model, _ uuid.UUID) *draft {
	pem := m.Authority(model.IdentityAuthority)
	if pem == nil {
		return nil
	}
	msg := &nodev1.Trust{IdentityAuthoritiesPem: pem, SignInUrl: m.SignInURL()}
	for k := range m.AccessKeys() {
		msg.AccessKeys = append(msg.AccessKeys, &nodev1.AccessKey{KeyId: k.ID.String(), PublicKey: k.Public})
	}
	return &draft{name: resource.Name("trust", "cluster"), scopes: []string{resource.ScopeCluster}, msg: msg}
}
