package snapshot

import (
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// PoolScope is the scope of what the nodes of a pool hold.
func PoolScope(id model.PoolID) string { return poolScope(id) }

func poolScope(id model.PoolID) string { return "pool/" + id.String() }
func nodeScope(id model.NodeID) string { return "node/" + id.String() }
func siteScope(id model.SiteID) string { return "site/" + id.String() }

// Scopes returns what a reader may read. Readers that do not exist, have not joined or are revoked all
// get the same Denied: a stranger learns nothing from it.
func Scopes(m *model.Model, kind identity.Kind, id string) ([]string, error) {
	switch kind {
	case identity.Node:
		id, err := model.NodeID{}.Parse(id)
		if err != nil {
			return nil, denied()
		}
		if n := m.Node(id); n != nil && n.Enrolled() {
			return []string{resource.ScopeCluster, nodeScope(n.ID), poolScope(n.Pool)}, nil
		}
	case identity.Connector:
		id, err := model.ConnectorID{}.Parse(id)
		if err != nil {
			return nil, denied()
		}
		if c := m.Connector(id); c != nil && c.Enrolled() {
			return []string{resource.ScopeCluster, siteScope(c.Site)}, nil
		}
	}
	return nil, denied()
}

func denied() error { return fault.New(fault.Denied, "no reader of this cluster") }
