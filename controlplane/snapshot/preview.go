package snapshot

import (
	"maps"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// Preview is what one reader would receive of a step.
type Preview struct {
	Kind identity.Kind
	ID   string
	Name string
	// All: the reader comes to stand somewhere else, and receives all there is of it.
	All     bool
	Upserts []Ref // in apply order
	Removed []Ref // in the reverse of it
}

// Preview tells what a step from prev to next would do to each reader, and which resources could not be built then. Readers
// to which it does nothing are left out.
func (c *Compiler) Preview(prev, next *model.Model, b model.Batch) (out []Preview, problems []Problem) {
	touched := affected(prev, next, b)
	if b.Reload {
		touched = all(next)
		maps.Copy(touched, all(prev))
	}
	var differ []difference
	for k := range touched {
		d := difference{was: c.build(prev, k), is: c.build(next, k)}
		if d.is.problem != nil {
			problems = append(problems, *d.is.problem)
		}
		if d.counts() {
			differ = append(differ, d)
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return a.Ref.Compare(b.Ref) })
	for _, p := range readersOf(next) {
		had, _ := Scopes(prev, p.Kind, p.ID)
		has, _ := Scopes(next, p.Kind, p.ID)
		p.All = len(had) > 0 && !slices.Equal(had, has)
		for _, d := range differ {
			d.tell(&p, had, has)
		}
		slices.SortFunc(p.Upserts, Ref.Compare)
		slices.SortFunc(p.Removed, func(a, b Ref) int { return b.Compare(a) })
		if p.All || len(p.Upserts)+len(p.Removed) > 0 {
			out = append(out, p)
		}
	}
	return out, problems
}

// readersOf lists who reads, nodes first, each kind by name.
func readersOf(m *model.Model) (out []Preview) {
	for n := range m.Nodes() {
		out = append(out, Preview{Kind: identity.Node, ID: n.ID.String(), Name: n.Name})
	}
	for v := range m.Connectors() {
		out = append(out, Preview{Kind: identity.Connector, ID: v.ID.String(), Name: v.Name})
	}
	slices.SortFunc(out, func(a, b Preview) int {
		switch {
		case a.Kind != b.Kind && a.Kind == identity.Node:
			return -1
		case a.Kind != b.Kind:
			return 1
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out
}

// difference is what a step makes of one resource.
type difference struct{ was, is result }

func (d difference) counts() bool {
	was, is := d.was.resource, d.is.resource
	if was == nil || is == nil {
		return was != is
	}
	return !was.same(is)
}

// tell adds what a reader hears of it, who had some scopes and has others.
func (d difference) tell(p *Preview, had, has []string) {
	was, is := d.was.resource, d.is.resource
	held := was != nil && meet(was.Scopes, had)
	holds := is != nil && meet(is.Scopes, has)
	switch {
	case held && (!holds || was.Name != is.Name):
		p.Removed = append(p.Removed, was.Ref())
	case !holds:
		return
	}
	if holds && !(held && was.Name == is.Name && was.Version == is.Version) {
		p.Upserts = append(p.Upserts, is.Ref())
	}
}

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
