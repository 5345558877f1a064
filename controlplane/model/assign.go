package model

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
)

// DefaultTunnels is to how many nodes a site's connectors keep tunnels unless told otherwise.
const DefaultTunnels = 2

// Assigned returns the nodes that a site's connectors dial, most preferred first: the highest random
// weights (Thaler and Ravishankar, 1998) among the enrolled nodes of the site's pool that are not
// draining. A node that comes or goes moves only the sites that choose it. A pool whose nodes all drain
// still carries its sites: with no node at all, draining would be an outage.
func (m *Model) Assigned(s *Site) []*Node {
	want := s.Tunnels
	if want <= 0 {
		want = DefaultTunnels
	}
	active, draining := make([]candidate, 0, want+1), []candidate(nil)
	for n := range m.NodesOf(s.Pool) {
		switch {
		case !n.Enrolled():
		case n.Lifecycle == Draining:
			draining = insert(draining, newCandidate(s.ID, n), want)
		default:
			active = insert(active, newCandidate(s.ID, n), want)
		}
	}
	if len(active) == 0 {
		active = draining
	}
	out := make([]*Node, len(active))
	for i, c := range active {
		out[i] = c.node
	}
	return out
}

type candidate struct {
	node   *Node
	weight [sha256.Size]byte
}

func newCandidate(s SiteID, n *Node) candidate {
	var both [32]byte
	copy(both[:], s.UUID[:])
	copy(both[16:], n.ID.UUID[:])
	return candidate{n, sha256.Sum256(both[:])}
}

// insert puts c into best, which is sorted by descending weight, and keeps at most want.
func insert(best []candidate, c candidate, want int) []candidate {
	i, _ := slices.BinarySearchFunc(best, c, func(a, b candidate) int {
		return cmp.Or(bytes.Compare(b.weight[:], a.weight[:]), a.node.ID.Compare(b.node.ID))
	})
	if i == want {
		return best
	}
	best = slices.Insert(best, i, c)
	return best[:min(len(best), want)]
}
