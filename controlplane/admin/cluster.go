package admin

import (
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// OrganizationSpec is what is written of an organization.
type OrganizationSpec struct {
	Trusted           *bool `json:"trusted,omitempty" doc:"Administrators of the cluster answer for its domains: they need no proof. It stays if absent; of a new one: false"`
	RequestsPerSecond *int  `json:"requests_per_second,omitempty" minimum:"0" maximum:"1000000" doc:"Requests and new connections a second that each node serves for it, so that it leaves the others their part; those beyond are answered with 429, or reset. 0: as many as there are. It stays if absent; of a new one: 0"`
}

// Organization is a tenant.
type Organization struct {
	Meta
	Trusted           bool `json:"trusted"`
	RequestsPerSecond int  `json:"requests_per_second"`
}

func organizations(a *Admin) *Collection[model.Organization, OrganizationSpec, Organization] {
	return &Collection[model.Organization, OrganizationSpec, Organization]{
		a: a, kind: "organization", read: access.OrganizationsRead, write: access.OrganizationsWrite,
		byRef: func(c *call, ref string) (*model.Organization, error) {
			if id, err := (model.OrgID{}).Parse(ref); err == nil {
				return c.tx.GetOrganization(c, id)
			}
			return c.tx.GetOrganizationByName(c, ref)
		},
		list:  func(c *call, p store.Page) ([]*model.Organization, error) { return c.tx.ListOrganizations(c, p) },
		after: func(v *model.Organization) string { return v.Name },
		build: func(_ *call, old *model.Organization, name string, s OrganizationSpec) (*model.Organization, error) {
			v := &model.Organization{ID: model.OrgID{}.New(), Name: name}
			if old != nil {
				*v = *old
			}
			if s.Trusted != nil {
				v.Trusted = *s.Trusted
			}
			if s.RequestsPerSecond != nil {
				v.RequestsPerSecond = *s.RequestsPerSecond
			}
			return v, v.Validate()
		},
		create: func(c *call, v *model.Organization) error { return c.tx.CreateOrganization(c, v) },
		update: func(c *call, v *model.Organization) (bool, error) { return c.tx.UpdateOrganization(c, v) },
		drop:   func(c *call, v *model.Organization) error { return c.tx.DeleteOrganization(c, v.ID) },
		view: func(_ *call, v *model.Organization) (Organization, error) {
			return Organization{meta(v.ID.String(), v.Name, v.Meta), v.Trusted, v.RequestsPerSecond}, nil
		},
	}
}

// RegionSpec is what is written of a region.
type RegionSpec struct{}

// Region is where nodes stand.
type Region struct{ Meta }

func regions(a *Admin) *Collection[model.Region, RegionSpec, Region] {
	return &Collection[model.Region, RegionSpec, Region]{
		a: a, kind: "region", read: access.RegionsRead, write: access.RegionsWrite,
		byRef: func(c *call, ref string) (*model.Region, error) {
			if id, err := (model.RegionID{}).Parse(ref); err == nil {
				return c.tx.GetRegion(c, id)
			}
			return c.tx.GetRegionByName(c, ref)
		},
		list:  func(c *call, p store.Page) ([]*model.Region, error) { return c.tx.ListRegions(c, p) },
		after: func(v *model.Region) string { return v.Name },
		build: func(_ *call, old *model.Region, name string, _ RegionSpec) (*model.Region, error) {
			if old != nil {
				return old, nil
			}
			v := &model.Region{ID: model.RegionID{}.New(), Name: name}
			return v, v.Validate()
		},
		create: func(c *call, v *model.Region) error { return c.tx.CreateRegion(c, v) },
		update: func(c *call, v *model.Region) (bool, error) { return c.tx.UpdateRegion(c, v) },
		drop:   func(c *call, v *model.Region) error { return c.tx.DeleteRegion(c, v.ID) },
		view: func(_ *call, v *model.Region) (Region, error) {
			return Region{meta(v.ID.String(), v.Name, v.Meta)}, nil
		},
	}
}

// PoolSpec is what is written of a pool.
type PoolSpec struct{}

// Pool is a named set of nodes.
type Pool struct{ Meta }

func pools(a *Admin) *Collection[model.Pool, PoolSpec, Pool] {
	return &Collection[model.Pool, PoolSpec, Pool]{
		a: a, kind: "pool", read: access.PoolsRead, write: access.PoolsWrite,
		byRef: func(c *call, ref string) (*model.Pool, error) {
			if id, err := (model.PoolID{}).Parse(ref); err == nil {
				return c.tx.GetPool(c, id)
			}
			return c.tx.GetPoolByName(c, ref)
		},
		list:  func(c *call, p store.Page) ([]*model.Pool, error) { return c.tx.ListPools(c, p) },
		after: func(v *model.Pool) string { return v.Name },
		build: func(_ *call, old *model.Pool, name string, _ PoolSpec) (*model.Pool, error) {
			if old != nil {
				return old, nil
			}
			v := &model.Pool{ID: model.PoolID{}.New(), Name: name}
			return v, v.Validate()
		},
		create: func(c *call, v *model.Pool) error { return c.tx.CreatePool(c, v) },
		update: func(c *call, v *model.Pool) (bool, error) { return c.tx.UpdatePool(c, v) },
		drop:   func(c *call, v *model.Pool) error { return c.tx.DeletePool(c, v.ID) },
		view:   func(_ *call, v *model.Pool) (Pool, error) { return Pool{meta(v.ID.String(), v.Name, v.Meta)}, nil },
	}
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
