package admin

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// OrganizationSpec is what is written of an organization.
type OrganizationSpec struct{}

// Organization is a tenant.
type Organization struct{ Meta }

func organizations(a *Admin) *Collection[model.Organization, OrganizationSpec, Organization] {
	return &Collection[model.Organization, OrganizationSpec, Organization]{
		a: a, kind: "organization", read: access.ClusterAdmin, write: access.ClusterAdmin,
		byRef: func(c *call, ref string) (*model.Organization, error) {
			if id, err := (model.OrgID{}).Parse(ref); err == nil {
				return c.tx.GetOrganization(c, id)
			}
			return c.tx.GetOrganizationByName(c, ref)
		},
		list:  func(c *call, p store.Page) ([]*model.Organization, error) { return c.tx.ListOrganizations(c, p) },
		after: func(v *model.Organization) string { return v.Name },
		build: func(_ *call, old *model.Organization, name string, _ OrganizationSpec) (*model.Organization, error) {
			if old != nil {
				return old, nil
			}
			v := &model.Organization{ID: model.OrgID{}.New(), Name: name}
			return v, v.Validate()
		},
		create: func(c *call, v *model.Organization) error { return c.tx.CreateOrganization(c, v) },
		update: func(c *call, v *model.Organization) (bool, error) { return c.tx.UpdateOrganization(c, v) },
		drop:   func(c *call, v *model.Organization) error { return c.tx.DeleteOrganization(c, v.ID) },
		view: func(_ *call, v *model.Organization) (Organization, error) {
			return Organization{meta(v.ID.String(), v.Name, v.Meta)}, nil
		},
	}
}

// RegionSpec is what is written of a region.
type RegionSpec struct{}

// Region is where nodes stand.
type Region struct{ Meta }

func regions(a *Admin) *Collection[model.Region, RegionSpec, Region] {
	return &Collection[model.Region, RegionSpec, Region]{
		a: a, kind: "region", read: access.ClusterRead, write: access.ClusterAdmin,
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
		a: a, kind: "pool", read: access.ClusterRead, write: access.ClusterAdmin,
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

// NodeSpec is what is written of a node.
type NodeSpec struct {
	Pool              string   `json:"pool" minLength:"1" doc:"Pool that the node serves, by name or id"`
	Region            string   `json:"region,omitempty" doc:"Region that the node stands in, by name or id"`
	Addresses         []string `json:"addresses,omitempty" maxItems:"16" doc:"Public IP addresses; what the node says when it joins, if empty"`
	WireGuardEndpoint string   `json:"wireguard_endpoint,omitempty" doc:"ip:port where tunnels reach the node; what the node says when it joins, if empty"`
}

// Node is an edge machine.
type Node struct {
	Meta
	Pool              string     `json:"pool"`
	Region            string     `json:"region,omitempty"`
	Addresses         []string   `json:"addresses"`
	WireGuardEndpoint string     `json:"wireguard_endpoint,omitempty"`
	Lifecycle         string     `json:"lifecycle" enum:"active,draining"`
	Enrolled          bool       `json:"enrolled" doc:"It has joined, and is trusted"`
	RevokedAt         *time.Time `json:"revoked_at,omitempty"`
}

func nodes(a *Admin) *Collection[model.Node, NodeSpec, Node] {
	return &Collection[model.Node, NodeSpec, Node]{
		a: a, kind: "node", read: access.ClusterAdmin, write: access.ClusterAdmin,
		byRef:  nodeByRef,
		list:   func(c *call, p store.Page) ([]*model.Node, error) { return c.tx.ListNodes(c, p) },
		after:  func(v *model.Node) string { return v.Name },
		build:  buildNode,
		create: func(c *call, v *model.Node) error { return c.tx.CreateNode(c, v) },
		update: func(c *call, v *model.Node) (bool, error) { return c.tx.UpdateNode(c, v) },
		drop:   func(c *call, v *model.Node) error { return c.tx.DeleteNode(c, v.ID) },
		view:   viewNode,
	}
}

func nodeByRef(c *call, ref string) (*model.Node, error) {
	if id, err := (model.NodeID{}).Parse(ref); err == nil {
		return c.tx.GetNode(c, id)
	}
	return c.tx.GetNodeByName(c, ref)
}

// buildNode keeps what the node itself has said where the caller says nothing.
func buildNode(c *call, old *model.Node, name string, s NodeSpec) (*model.Node, error) {
	v := &model.Node{ID: model.NodeID{}.New(), Name: name, Lifecycle: model.Active}
	if old != nil {
		*v = *old
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Pool, v.Region = p.ID, model.RegionID{}
	if s.Region != "" {
		r, err := c.region("region", s.Region)
		if err != nil {
			return nil, err
		}
		v.Region = r.ID
	}
	if len(s.Addresses) > 0 {
		v.Addresses = nil
		for i, text := range s.Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				return nil, fault.Field("addresses["+itoa(i)+"]", "%q is no IP address", text)
			}
			v.Addresses = append(v.Addresses, addr.Unmap())
		}
		slices.SortFunc(v.Addresses, netip.Addr.Compare)
		v.Addresses = slices.Compact(v.Addresses)
	}
	if s.WireGuardEndpoint != "" {
		if v.WireGuardEndpoint, err = netip.ParseAddrPort(s.WireGuardEndpoint); err != nil {
			return nil, fault.Field("wireguard_endpoint", "%q, want ip:port", s.WireGuardEndpoint)
		}
	}
	return v, v.Validate()
}

func viewNode(c *call, v *model.Node) (out Node, err error) {
	out = Node{
		Meta: meta(v.ID.String(), v.Name, v.Meta), Addresses: []string{}, Lifecycle: string(v.Lifecycle), Enrolled: v.Enrolled(), RevokedAt: when(v.Revoked),
	}
	if v.WireGuardEndpoint.IsValid() {
		out.WireGuardEndpoint = v.WireGuardEndpoint.String()
	}
	for _, a := range v.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if !v.Region.IsZero() {
		r, err := c.tx.GetRegion(c, v.Region)
		if err != nil {
			return out, err
		}
		out.Region = r.Name
	}
	out.Pool, err = c.poolName(v.Pool)
	return out, err
}

// Drain takes a node out of DNS answers; Undrain puts it back.
func (a *Admin) Drain(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, func(_ *call, n *model.Node) error { n.Lifecycle = model.Draining; return nil })
}

// Undrain puts a drained node back into DNS answers.
func (a *Admin) Undrain(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, func(_ *call, n *model.Node) error { n.Lifecycle = model.Active; return nil })
}

// Revoke trusts a node no more, for good: a machine of this name is a new node.
func (a *Admin) Revoke(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, func(c *call, n *model.Node) error {
		if n.Revoked.IsZero() {
			n.Revoked = time.Now().UTC().Truncate(time.Microsecond)
		}
		return c.tx.VoidJoinTokens(c, n.ID, model.ConnectorID{})
	})
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
