package gossip

import (
	"maps"
	"slices"
	"time"
)

// State is what the nodes tell each other of one of them.
type State int

// States of a node.
const (
	Unknown  State = iota // not heard of, or this node itself is cut off: others may know better
	Alive                 // answers, and is to be used
	Draining              // answers, and is not to be named to clients any more
	Dead                  // has left, has stopped answering, or comes and goes too often to be used
)

func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Draining:
		return "draining"
	case Dead:
		return "dead"
	}
	return "unknown"
}

// Node is what is known of one node.
type Node struct {
	State State
	// Unreachable says that an Unknown node was heard of once and is not now. Whether it or this node is
	// cut off nobody here can tell.
	Unreachable bool
	Sites       []string  // with a connector connected there, sorted; nil: not told
	Load        int       // what it carries, in thousandths of what it can, rounded
	Since       time.Time // of State
}

// View is what this node knows of the others at one moment. It is never modified.
type View struct {
	nodes map[string]Node
}

// NewView makes a View of nodes by id.
func NewView(nodes map[string]Node) View { return View{maps.Clone(nodes)} }

// Node is what is known of a node; the zero Node when nothing is.
func (v View) Node(id string) Node { return v.nodes[id] }

// Len is the number of nodes of which something is known or expected.
func (v View) Len() int { return len(v.nodes) }

// count is the number of nodes in a state.
func (v View) count(s State) (n int) {
	for _, o := range v.nodes {
		if o.State == s {
			n++
		}
	}
	return n
}

// same reports whether two views say the same.
func (v View) same(o View) bool {
	return maps.EqualFunc(v.nodes, o.nodes, func(a, b Node) bool {
		return a.State == b.State && a.Unreachable == b.Unreachable && a.Load == b.Load && a.Since.Equal(b.Since) &&
			(a.Sites == nil) == (b.Sites == nil) && slices.Equal(a.Sites, b.Sites)
	})
}
