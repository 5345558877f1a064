package main

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/identity"
)

// fleet says of nodes what streams and reports say, of this replica and of the others.
type fleet struct {
	seen   *presence.Store
	pusher *push.Server
}

// Standing implements gossipkey.Fleet. A node of which nothing is known, as when this replica has just started,
// is not away: it is behind.
func (f fleet) Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.String()
	}
	out, health := map[model.NodeID]presence.Standing{}, f.seen.Health(now, ids)
	for i, n := range nodes {
		e, online := f.seen.Get(presence.Key{Kind: identity.Node, ID: ids[i]})
		reader := push.Reader{Kind: identity.Node, ID: ids[i]}
		have := e.Applied
		if here, ok := f.pusher.Applied(reader); ok {
			have, online = max(have, here), true
		}
		need, err := f.pusher.Required(reader, rev)
		switch {
		case err == nil && online && have >= need:
			out[n] = presence.Ready
		case !online && health[ids[i]] == presence.Down:
			out[n] = presence.Away
		default:
			out[n] = presence.Behind
		}
	}
	return out
}

// away reports whether a node is connected to no replica.
func (f fleet) away(n model.NodeID) bool {
	return f.Standing(time.Now(), []model.NodeID{n}, 0)[n] == presence.Away
}
