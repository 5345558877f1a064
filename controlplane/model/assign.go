package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// DefaultTunnels is to how many nodes a site's connectors keep tunnels unless told otherwise.
const DefaultTunnels = 3

// DefaultCapacity is the weight of a node in the assignment of sites unless told otherwise.
const DefaultCapacity = 100

// Assigned returns the nodes of a site, most preferred first. Of a local site they are all those that stand
// in its network, of a connectors' site so many of its pool as it wants tunnels. A WireGuard site has all nodes of
// its pool, as nobody tells a stock peer that its nodes are others now: what was written into its configuration
// once, the first ones that it wanted tunnels to, holds for as long as such a node is there. Only enrolled nodes
// count, and draining ones only where there are no others: with no node at all, draining would be an outage.
//
// The order is by weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights after Schindelhauer and
// Schomaker, 2005), the nodes of the site's region before all others. A node that comes takes the sites that it
// wins, in proportion to its capacity; one that goes loses those that it had; nothing else moves. So that a
// region can be lost whole, the last place goes to another region if all places before it are in one.
func (m *Model) Assigned(s *Site) []*Node { return Assign(s, m.eligible(s)) }

// Assign is Assigned for who has the rows from elsewhere: those of the site's pool, or that a local site names.
func Assign(s *Site, nodes []*Node) []*Node {
	var active, draining []candidate
	for _, n := range nodes {
		if !n.Enrolled() {
			continue
		}
		c := newCandidate(s, n)
		if n.Lifecycle == Draining {
			draining = append(draining, c)
		} else {
			active = append(active, c)
		}
	}
	if len(active) == 0 {
		active = draining
	}
	slices.SortFunc(active, candidate.compare)
	want := len(active)
	if s.Kind != LocalSite {
		first := min(want, cmp.Or(max(s.Tunnels, 0), DefaultTunnels))
		spread(active, first)
		if s.Kind != WireGuardSite {
			want = first
		}
	}
	out := make([]*Node, want)
	for i, c := range active[:want] {
		out[i] = c.node
	}
	return out
}

// eligible returns the nodes among which a site's are chosen.
func (m *Model) eligible(s *Site) []*Node {
	var out []*Node
	if s.Kind == LocalSite {
		for _, id := range s.Nodes {
			if n := m.Node(id); n != nil {
				out = append(out, n)
			}
		}
		return out
	}
	return slices.AppendSeq(out, m.NodesOf(s.Pool))
}

// spread moves the best candidate of another region to the last of want places if all before it are of one.
func spread(sorted []candidate, want int) {
	if want < 2 || want >= len(sorted) {
		return
	}
	only := sorted[0].node.Region
	elsewhere := func(c candidate) bool { return c.node.Region != only }
	if slices.ContainsFunc(sorted[:want], elsewhere) {
		return
	}
	if i := slices.IndexFunc(sorted, elsewhere); i > 0 {
		best := sorted[i]
		copy(sorted[want:i+1], sorted[want-1:i])
		sorted[want-1] = best
	}
}

// A candidate is a node with what decides its place.
type candidate struct {
	node *Node
	near bool   // it stands in the site's region
	cost uint64 // -log2 of a number that site and node draw uniformly from (0, 1)
}

func newCandidate(s *Site, n *Node) candidate {
	var both [32]byte
	copy(both[:], s.ID.UUID[:])
	copy(both[16:], n.ID.UUID[:])
	h := sha256.Sum256(both[:])
	return candidate{n, !s.Region.IsZero() && n.Region == s.Region, cost(binary.BigEndian.Uint64(h[:]))}
}

// compare orders by region, then by descending capacity / -ln(h): the shares of nodes of the weights w are w to
// the sum of w. The fractions are compared crosswise.
func (c candidate) compare(o candidate) int {
	if c.near != o.near {
		if c.near {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(c.cost*o.weight(), o.cost*c.weight()), c.node.ID.Compare(o.node.ID))
}

func (c candidate) weight() uint64 { return uint64(min(max(c.node.Capacity, 1), MaxCapacity)) }

// costBits is how many bits of a cost are behind the point: two nodes that a site can't tell apart are one in
// billions. A cost is 64 at most: times MaxCapacity it fits into 64 bits.
const costBits = 32

// cost is -log2(h / 2^64) as a fixed-point number; a last bit that is always set keeps h from being 0. It is
// computed bit by bit, by squaring: math.Log is in assembly on some architectures, and compilers may fuse what
// it multiplies and adds on others, but all replicas must find the same nodes.
func cost(h uint64) uint64 {
	h |= 1
	whole := uint64(bits.LeadingZeros64(h))
	mantissa := h << whole // in [1, 2), the point behind the first bit
	var fraction uint64    // of log2 of the mantissa
	for range costBits {
		hi, lo := bits.Mul64(mantissa, mantissa) // in [1, 4), the point behind the second bit
		bit := hi >> 63
		fraction = fraction<<1 | bit
		mantissa = hi<<(bit^1) | lo>>63&(bit^1) // halved where it was 2 or more; without a branch, which would be guessed wrong half the time
	}
	// h / 2^64 = mantissa · 2^-(whole+1)
	return (whole+1)<<costBits - fraction
}
