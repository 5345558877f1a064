// Package hops says for each hop of the way to a service whether it works, so that who looks sees what is broken.
//
// It is pure: the configuration and what was seen go in, states come out. A hop is healthy on evidence alone, and a
// state that is not is said together with what it is about, why, and what to do.
package hops

import (
	"cmp"
	"slices"
)

// State is how something is.
type State string

// States. Unknown is honest about what nobody can have seen.
const (
	Healthy  State = "healthy"
	Unknown  State = "unknown"
	Degraded State = "degraded" // it works, with less than was asked for, or not for everybody
	Inactive State = "inactive" // something that has to be there was never made or started
	Down     State = "down"     // requests fail
)

func (s State) rank() int {
	return slices.Index([]State{Healthy, Unknown, Degraded, Inactive, Down}, s)
}

func worse(a, b State) State {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Name is a hop, as it is written everywhere.
type Name string

// Hops, in the order in which a request meets them. The first is the client's own.
const (
	DNS    Name = "dns"
	Node   Name = "node"
	TLS    Name = "tls"
	Tunnel Name = "tunnel"
	Target Name = "target"
)

// Part is one of several things that make a hop: a domain, a node, a certificate, a site or a target.
type Part struct {
	Kind   string `json:"kind" enum:"domain,node,certificate,pool,site,target"`
	Name   string `json:"name"`
	State  State  `json:"state" enum:"healthy,unknown,degraded,inactive,down"`
	Code   Code   `json:"code,omitempty" doc:"What it is about, the same in every release; absent of what is healthy"`
	Reason string `json:"reason,omitempty" doc:"Why, in words"`
	Advice string `json:"advice,omitempty" doc:"What to do"`
}

// Hop is one hop with its parts.
type Hop struct {
	Name  Name   `json:"name" enum:"dns,node,tls,tunnel,target"`
	State State  `json:"state" enum:"healthy,unknown,degraded,inactive,down"`
	Parts []Part `json:"parts"`
}

// worst is the part that says most about why a hop is as it is.
func (h Hop) worst() (Part, bool) {
	best := -1
	for i, p := range h.Parts {
		if p.State != Healthy && (best < 0 || p.State.rank() > h.Parts[best].State.rank()) {
			best = i
		}
	}
	if best < 0 {
		return Part{}, false
	}
	return h.Parts[best], true
}

// Report is how all hops of a service or site are.
type Report struct {
	State  State  `json:"state" enum:"healthy,unknown,degraded,inactive,down"`
	Broken Name   `json:"broken,omitempty" enum:"dns,node,tls,tunnel,target" doc:"The hop to look at: of those in the worst state the first that a request meets; absent while all is well"`
	Code   Code   `json:"code,omitempty" doc:"What is wrong there, the same in every release"`
	Reason string `json:"reason,omitempty" doc:"What is wrong there, in words"`
	Advice string `json:"advice,omitempty" doc:"What to do about it"`
	Hops   []Hop  `json:"hops"`
}

// report sums hops up. What is unknown of a hop that nobody looks at unasked, the DNS and a target without a health
// check, leaves the whole as it is; that of any other hop does not.
func report(list ...Hop) Report {
	r := Report{State: Healthy, Hops: list}
	for _, h := range list {
		if h.State == Unknown && (h.Name == DNS || h.Name == Target) {
			continue
		}
		if h.State.rank() > r.State.rank() {
			r.State, r.Broken = h.State, h.Name
			if p, ok := h.worst(); ok {
				r.Code, r.Reason, r.Advice = p.Code, p.Kind+" "+p.Name+": "+p.Reason, p.Advice
			}
		}
	}
	return r
}

// any sums up parts of which one is enough: it is down when all are, and degraded when some are.
func anyOf(parts []Part) State {
	if len(parts) == 0 {
		return Inactive
	}
	best, worst := Down, Healthy
	for _, p := range parts {
		if p.State.rank() < best.rank() {
			best = p.State
		}
		worst = worse(worst, p.State)
	}
	if best.rank() < Degraded.rank() && worst.rank() >= Degraded.rank() {
		return Degraded
	}
	if best == Healthy {
		return Healthy
	}
	return best
}

// sorted brings parts into the order in which they are shown.
func sorted(parts []Part) []Part {
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	if parts == nil {
		return []Part{}
	}
	return parts
}
