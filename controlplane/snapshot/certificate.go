package snapshot

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// certificate compiles a certificate for the pools that have a route which names it: a private key goes
// nowhere else.
func certificate(c *Compiler, m *model.Model, id uuid.UUID) *draft {
	v := m.Certificate(model.CertificateID{UUID: id})
	if v == nil {
		return nil
	}
	d := &draft{name: certificateName(v)}
	for p := range m.PoolsUsingCertificate(v.ID) {
		d.scopes = append(d.scopes, poolScope(p))
	}
	if len(d.scopes) == 0 {
		return nil
	}
	slices.Sort(d.scopes)
	key, err := c.open(v.SealedKey, v.ID.String())
	if err != nil {
		d.err = fmt.Errorf("open private key: %w", err)
		return d
	}
	d.msg = &nodev1.Certificate{
		Names:         slices.Sorted(slices.Values(v.Names)),
		ChainPem:      v.ChainPEM,
		PrivateKeyPem: key,
	}
	return d
}

func certificateName(c *model.Certificate) string {
	return resource.Name("certificate", c.Org.String(), c.ID.String())
}
