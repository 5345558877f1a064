package snapshot

import (
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
)

// quotaResource is what an organization may ask of each node, for the pools that have services of it.
func quotaResource(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	o := m.Organization(model.OrgID{UUID: id})
	if o == nil || o.RequestsPerSecond == 0 {
		return nil
	}
	return forOrganization(m, o, "quota", &nodev1.Quota{OrganizationId: o.ID.String(), RequestsPerSecond: uint32(o.RequestsPerSecond)})
}
