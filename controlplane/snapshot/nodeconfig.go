package snapshot

import (
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// nodeConfig compiles what an enrolled node is told about itself.
func nodeConfig(c *Compiler, m *model.Model, id uuid.UUID) *draft {
	n := m.Node(model.NodeID{UUID: id})
	if n == nil || !n.Enrolled() {
		return nil
	}
	msg := &nodev1.NodeConfig{
		NodeId:         n.ID.String(),
		Name:           n.Name,
		PoolId:         n.Pool.String(),
		RegionId:       n.Region.String(),
		OverlayAddress: model.OverlayAddress(n.ID).String(),
		GossipKeys:     gossipKeys(c, m),
		TicketKeys:     ticketKeys(c, m, n.Pool),
	}
	if p := m.Pool(n.Pool); p != nil {
		msg.PoolName = p.Name
	}
	return &draft{name: resource.Name("nodeconfig", n.ID.String()), scopes: []string{nodeScope(n.ID)}, msg: msg}
}

// gossipKeys are the keys of the gossip, the one that seals first. One that can't be opened is left out: a node
// needs the rest of its configuration all the same, and the worker that rotates the keys finds it and says so.
func gossipKeys(c *Compiler, m *model.Model) [][]byte {
	var out [][]byte
	for k := range m.GossipKeys() {
		if !k.State.Told() {
			continue
		}
		key, err := c.open(k.SealedKey, k.ID.String())
		if err != nil {
			continue
		}
		if k.State == model.GossipKeySeals {
			out = slices.Insert(out, 0, key)
		} else {
			out = append(out, key)
		}
	}
	return out
}

// ticketKeys are the keys of session tickets of a pool, the one that seals first, then from the newest on. If none
// seals, none is told: a key that nodes only open with must not become the one that seals.
func ticketKeys(c *Compiler, m *model.Model, pool model.PoolID) [][]byte {
	var out [][]byte
	seals := false
	for k := range m.TicketKeysOf(pool) {
		key, err := c.open(k.SealedKey, k.ID.String())
		if err != nil {
			continue
		}
		at := 0
		if seals && k.State != model.TicketKeySeals {
			at = 1
		}
		seals = seals || k.State == model.TicketKeySeals
		out = slices.Insert(out, at, key)
	}
	if !seals {
		return nil
	}
	return out
}
