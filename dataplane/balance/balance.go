// Package balance chooses the target of each connection or request.
//
// Targets get shares by weight. One that is known to be unhealthy is left out, and one that has just kept
// failing; when that would leave none, all are tried: a wrong verdict must not be what takes a service down.
package balance

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Target is one of several that can serve.
type Target struct {
	ID, Site string
	Weight   int // its share; 0 counts as 1
}

func (t Target) weight() uint64 { return uint64(max(t.Weight, 1)) }

// Group is the targets among which a choice is made. Safe for concurrent use.
type Group struct {
	targets []Target
	health  *Health
	n       atomic.Uint64 // choices made, from a random start
}

// NewGroup makes a Group. The same Health may serve any number of them.
func NewGroup(targets []Target, h *Health) *Group {
	g := &Group{targets: slices.Clone(targets), health: h}
	g.n.Store(rand.Uint64()) // or all nodes would begin with the same target
	return g
}

// Empty reports whether there is nothing to choose from.
func (g *Group) Empty() bool { return g == nil || len(g.targets) == 0 }

// Pick chooses a target by weight among those that are not in tried and seem able to serve, else among
// all that are not in tried. It is false when there are none. Calls in a row spread evenly: after n of
// them each target's share is off by a few choices, not by the square root of n.
func (g *Group) Pick(now time.Time, tried ...string) (Target, bool) {
	if g.Empty() {
		return Target{}, false
	}
	if t, ok := g.pick(func(t Target) bool { return !slices.Contains(tried, t.ID) && g.health.usable(t.ID, now) }); ok {
		return t, true
	}
	return g.pick(func(t Target) bool { return !slices.Contains(tried, t.ID) })
}

// golden is 2⁶⁴ divided by the golden ratio: its multiples are spread over 0..2⁶⁴ more evenly than those of
// any other number (Knuth, The Art of Computer Programming, volume 3, §6.4, theorem S).
const golden = 0x9E3779B97F4A7C15

func (g *Group) pick(may func(Target) bool) (Target, bool) {
	var total uint64
	for _, t := range g.targets {
		if may(t) {
			total += t.weight()
		}
	}
	if total == 0 {
		return Target{}, false
	}
	at, _ := bits.Mul64(g.n.Add(1)*golden, total) // of total
	for _, t := range g.targets {
		if !may(t) {
			continue
		}
		if at < t.weight() {
			return t, true
		}
		at -= t.weight()
	}
	// What may serve has changed between the two looks at it.
	for _, t := range g.targets {
		if may(t) {
			return t, true
		}
	}
	return Target{}, false
}
