package snapshot

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// node compiles an enrolled node as all others see it.
func node(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	n := m.Node(model.NodeID{UUID: id})
	if n == nil || !n.Enrolled() {
		return nil
	}
	d := &draft{name: resource.Name("node", n.ID.String()), scopes: []string{resource.ScopeCluster}}
	msg := &nodev1.Node{
		Id:                 n.ID.String(),
		Name:               n.Name,
		PoolId:             n.Pool.String(),
		RegionId:           n.Region.String(),
		WireguardPublicKey: n.WireGuardKey[:],
		WireguardEndpoint:  n.WireGuard().Fixed(),
		OverlayAddress:     model.OverlayAddress(n.ID).String(),
		StreamEndpoint:     n.Stream().Fixed(),
		GossipEndpoint:     n.Gossip().Fixed(),
		WireguardName:      n.WireGuard().Named(),
		StreamName:         n.Stream().Named(),
		GossipName:         n.Gossip().Named(),
	}
	for _, a := range n.Addresses {
		msg.Addresses = append(msg.Addresses, a.String())
	}
	slices.Sort(msg.Addresses)
	switch n.Lifecycle {
	case model.Active:
		msg.Lifecycle = nodev1.NodeLifecycle_NODE_LIFECYCLE_ACTIVE
	case model.Draining:
		msg.Lifecycle = nodev1.NodeLifecycle_NODE_LIFECYCLE_DRAINING
	default:
		d.err = fmt.Errorf("lifecycle %q is not known", n.Lifecycle)
	}
	d.msg = msg
	return d
}
