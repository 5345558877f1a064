package snapshot

import (
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// zone compiles a domain.
func zone(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	v := m.Domain(model.DomainID{UUID: id})
	if v == nil || v.Unproven {
		return nil
	}
	msg := &nodev1.Zone{Id: v.ID.String(), OrganizationId: v.Org.String(), Apex: v.Name, PoolId: v.Pool.String(), CaaIssuers: m.CAAIdentities()}
	if v.CAAAccount {
		for _, p := range m.CAAOf(v) {
			msg.Caa = append(msg.Caa, &nodev1.CaaProperty{Tag: p.Tag, Value: p.Value})
		}
	}
	return &draft{
		name:   resource.Name("zone", v.Org.String(), v.ID.String()),
		scopes: []string{poolScope(v.Pool)},
		msg:    msg,
	}
}
