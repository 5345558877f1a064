package snapshot

import (
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// nodeConfig compiles what an enrolled node is told about itself.
func nodeConfig(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
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
	}
	if p := m.Pool(n.Pool); p != nil {
		msg.PoolName = p.Name
	}
	return &draft{name: resource.Name("nodeconfig", n.ID.String()), scopes: []string{nodeScope(n.ID)}, msg: msg}
}
