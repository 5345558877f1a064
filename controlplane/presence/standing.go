package presence

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// Standing is what is known of a node and a revision.
type Standing int

// Standings.
const (
	Behind Standing = iota // it is connected and has not applied the revision, or nothing is known of it yet
	Away                   // it is not connected
	Ready                  // it has applied all that concerns it
)

// Patience is how long a step of a key's rotation waits for nodes that are not connected: one that has lost the
// control plane, and not the other nodes, shall not lose those too, but one that is dead must not keep a rotation up
// for ever.
const Patience = 5 * time.Minute

// Free reports whether no node is in the way of a step whose state has lasted for a while.
func Free(nodes map[model.NodeID]Standing, lasted time.Duration) bool {
	for _, s := range nodes {
		if s == Behind || s == Away && lasted < Patience {
			return false
		}
	}
	return true
}
