package admin

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
)

// NodeSpec is what is written of a node.
type NodeSpec struct {
	Pool              string   `json:"pool" minLength:"1" doc:"Pool that the node serves, by name or id"`
	Region            string   `json:"region,omitempty" doc:"Region that the node stands in, by name or id"`
	Addresses         []string `json:"addresses,omitempty" maxItems:"16" doc:"Public IP addresses; what the node says when it starts, if empty"`
	WireGuardEndpoint string   `json:"wireguard_endpoint,omitempty" doc:"ip:port where tunnels reach the node, or name:port, which is looked up again and again; what the node says when it starts, if empty"`
	StreamEndpoint    string   `json:"stream_endpoint,omitempty" doc:"ip:port of the node's TLS port, where connectors dial streams, or name:port; what the node says when it starts, if empty"`
	GossipEndpoint    string   `json:"gossip_endpoint,omitempty" doc:"ip:port where the node's gossip is reached, or name:port of a node that has addresses; what the node says when it starts, if empty"`
	Capacity          int      `json:"capacity,omitempty" minimum:"1" maximum:"1000" doc:"Share of the sites that the node gets, in proportion to other nodes; 100 if absent"`
}

// Node is an edge machine.
type Node struct {
	Meta
	Pool              string     `json:"pool"`
	Region            string     `json:"region,omitempty"`
	Addresses         []string   `json:"addresses"`
	WireGuardEndpoint string     `json:"wireguard_endpoint,omitempty"`
	StreamEndpoint    string     `json:"stream_endpoint,omitempty" doc:"As others are told: port 443 of the first address if nobody says another"`
	GossipEndpoint    string     `json:"gossip_endpoint,omitempty" doc:"As others are told: port 7946 of the first address if nobody says another"`
	Pinned            []string   `json:"pinned,omitempty" doc:"Which of addresses and endpoints count whatever the node says: what was written here, and what was known before nodes said it themselves. A PUT without them lets the node speak"`
	Capacity          int        `json:"capacity"`
	Lifecycle         string     `json:"lifecycle" enum:"active,draining"`
	Enrolled          bool       `json:"enrolled" doc:"It has joined, and is trusted"`
	RevokedAt         *time.Time `json:"revoked_at,omitempty"`
	Alarm             string     `json:"alarm,omitempty" readOnly:"true" enum:"copied" doc:"copied: several processes use its identity, because its state directory was copied; the status says more"`
}

func nodes(a *Admin) *Collection[model.Node, NodeSpec, Node] {
	return &Collection[model.Node, NodeSpec, Node]{
		a: a, kind: "node", read: access.NodesRead, write: access.NodesWrite,
		byRef:  nodeByRef,
		list:   func(c *call, p store.Page) ([]*model.Node, error) { return c.tx.ListNodes(c, p) },
		after:  func(v *model.Node) string { return v.Name },
		build:  buildNode,
		create: func(c *call, v *model.Node) error { return c.tx.CreateNode(c, v) },
		update: func(c *call, v *model.Node) (bool, error) { return c.tx.UpdateNode(c, v) },
		drop:   dropNode,
		view:   viewNode,
	}
}

func nodeByRef(c *call, ref string) (*model.Node, error) {
	if id, err := (model.NodeID{}).Parse(ref); err == nil {
		return c.tx.GetNode(c, id)
	}
	return c.tx.GetNodeByName(c, ref)
}

// buildNode keeps what the node itself has said where the caller says nothing: it counts until the node says
// something else.
func buildNode(c *call, old *model.Node, name string, s NodeSpec) (*model.Node, error) {
	v := &model.Node{ID: model.NodeID{}.New(), Name: name, Lifecycle: model.Active}
	if old != nil {
		*v = *old
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Pool = p.ID
	if v.Region, err = c.region("region", s.Region); err != nil {
		return nil, err
	}
	v.Capacity, v.Pinned = cmp.Or(s.Capacity, model.DefaultCapacity), nil
	if len(s.Addresses) > 0 {
		v.Addresses, v.Pinned = nil, append(v.Pinned, model.PinAddresses)
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
	for _, e := range []struct {
		field, text string
		into        *endpoint.Endpoint
	}{
		{model.PinGossip, s.GossipEndpoint, &v.GossipEndpoint},
		{model.PinStream, s.StreamEndpoint, &v.StreamEndpoint},
		{model.PinWireGuard, s.WireGuardEndpoint, &v.WireGuardEndpoint},
	} {
		if e.text == "" {
			continue
		}
		if *e.into, err = endpoint.Parse(e.text); err != nil {
			return nil, fault.Field(e.field, "%.300q: %v", e.text, err)
		}
		v.Pinned = append(v.Pinned, e.field)
	}
	return v, v.Validate()
}

func viewNode(c *call, v *model.Node) (out Node, err error) {
	out = Node{
		Meta: meta(v.ID.String(), v.Name, v.Meta), Addresses: []string{}, Lifecycle: string(v.Lifecycle), Enrolled: v.Enrolled(), RevokedAt: when(v.Revoked),
		Pinned: v.Pinned, Capacity: v.Capacity, Alarm: c.a.alarm(identity.Node, v.ID.String(), v.Revoked),
	}
	out.WireGuardEndpoint, out.StreamEndpoint, out.GossipEndpoint = v.WireGuard().String(), v.Stream().String(), v.Gossip().String()
	for _, a := range v.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if out.Region, err = c.regionName(v.Region); err != nil {
		return out, err
	}
	out.Pool, err = c.poolName(v.Pool)
	return out, err
}

// dropNode removes a node that no local site needs.
func dropNode(c *call, v *model.Node) error {
	if err := c.tx.LockNode(c, v.ID); err != nil {
		return err
	}
	sites, err := c.tx.ListSitesOfNode(c, v.ID)
	if err != nil {
		return err
	}
	if len(sites) > 0 {
		return fault.New(fault.Conflict, "node %s stands in the network of local site %s", v.Name, sites[0].Name)
	}
	if err := c.tx.DeleteNode(c, v.ID); err != nil || !v.Enrolled() {
		return err
	}
	return askGossipKey(c, c.tx) // it knows the present one
}

// Drain takes a node out of DNS answers, and sites away from it; Activate puts it back.
func (a *Admin) Drain(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, "drain", access.NodesDrain, func(_ *call, n *model.Node) error { n.Lifecycle = model.Draining; return nil })
}

// Activate puts a drained node back into DNS answers and assignments.
func (a *Admin) Activate(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, "activate", access.NodesDrain, func(_ *call, n *model.Node) error { n.Lifecycle = model.Active; return nil })
}

// Revoke trusts a node no more, for good: a machine of this name is a new node. The key of the gossip is
// replaced by one that it does not get.
func (a *Admin) Revoke(ctx context.Context, p access.Principal, ref string) (Node, model.Revision, error) {
	return a.Nodes.change(ctx, p, "", ref, "revoke", access.NodesRevoke, func(c *call, n *model.Node) error {
		if n.Enrolled() { // it knows the key of the gossip
			if err := askGossipKey(c, c.tx); err != nil {
				return err
			}
		}
		if n.Revoked.IsZero() {
			n.Revoked = time.Now().UTC().Truncate(time.Microsecond)
		}
		return c.tx.VoidJoinTokens(c, n.ID, model.ConnectorID{})
	})
}
