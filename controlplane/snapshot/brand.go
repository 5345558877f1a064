package snapshot

import (
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// brandResource is what the pages of an organization look like, for the pools that have services of it.
func brandResource(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	o := m.Organization(model.OrgID{UUID: id})
	if o == nil || o.Brand.IsZero() {
		return nil
	}
	return forOrganization(m, o, "brand", &nodev1.Brand{OrganizationId: o.ID.String(), Name: o.Brand.Name, Accent: o.Brand.Accent, Logo: o.Brand.Logo})
}

// forOrganization is a resource of an organization, for the pools that have services of it.
func forOrganization(m *model.Model, o *model.Organization, kind string, msg proto.Message) *draft {
	d := &draft{name: resource.Name(kind, o.ID.String()), msg: msg}
	for pool := range m.PoolsUsedBy(o.ID) {
		d.scopes = append(d.scopes, poolScope(pool))
	}
	if len(d.scopes) == 0 {
		return nil
	}
	slices.Sort(d.scopes)
	return d
}
