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
		key, reader := presence.Key{Kind: identity.Node, ID: ids[i]}, push.Reader{Kind: identity.Node, ID: ids[i]}
		e, _ := f.seen.Get(key)
		have := e.Applied
		here, since := f.pusher.Applied(reader)
		if !since.IsZero() {
			have = max(have, here)
		}
		online := f.seen.Lives(now, key, since)
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
