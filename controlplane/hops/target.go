package hops

import (
	"fmt"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// failing is what the traffic of nodes found out about targets lately: by target, the newest word.
type failing map[string]failed

type failed struct {
	presence.Attempt
	node  string
	nodes int // how many say so
}

// words say what became of the last attempts.
func (f failed) words() string {
	if f.Failures == 1 {
		return fmt.Sprintf("the last attempt of node %s failed: %s", f.node, f.Reason)
	}
	return fmt.Sprintf("the last %d attempts of node %s failed: %s", f.Failures, f.node, f.Reason)
}

// attempts collects the failed attempts of a pool's nodes, once.
func (f *Facts) attempts(pool model.PoolID) failing {
	if out, ok := f.tried[pool]; ok {
		return out
	}
	out := failing{}
	if f.tried == nil {
		f.tried = map[model.PoolID]failing{}
	}
	f.tried[pool] = out
	for n := range f.Model.NodesOf(pool) {
		e, ok := f.entry(identity.Node, n.ID.String())
		if !ok {
			continue
		}
		for _, a := range e.Attempts {
			if age := f.Now.Sub(a.At); age > staleAttempt || a.NoWay && age > staleWay {
				continue
			}
			have := out[a.Target]
			if have.nodes == 0 || a.At.After(have.At) {
				out[a.Target] = failed{a, f.nodeName(n), have.nodes + 1}
			} else {
				have.nodes++
				out[a.Target] = have
			}
		}
	}
	return out
}

// target says how one target is. What can't be reached is not seen, and nothing is said of it.
func (f *Facts) target(t *model.Target, site Part, tried failed) Part {
	v := presence.Verdict{}
	if f.Verdict != nil {
		v = f.Verdict(t)
	}
	fails := tried.nodes > 0 && !tried.NoWay
	switch {
	case site.State == Down || site.State == Inactive:
		return part("target", t.Name, Unknown, NoWay, "site "+site.Name+" is not reached")
	case v.State == presence.TargetUnhealthy:
		return part("target", t.Name, Down, Unhealthy, v.Reason)
	case fails && v.State == presence.TargetHealthy:
		return part("target", t.Name, Degraded, Failing, "checks find it healthy, but "+tried.words())
	case fails:
		return part("target", t.Name, Down, Failing, tried.words())
	case v.State == presence.TargetHealthy:
		return healthy("target", t.Name)
	case t.HealthCheck != nil:
		return part("target", t.Name, Unknown, NotKnown, "no check has a result yet")
	}
	return part("target", t.Name, Unknown, Unwatched, "nothing checks it, and no failed request is known")
}

// connected counts the nodes of a pool that report.
func (f *Facts) connected(pool model.PoolID) (n int) {
	for v := range f.Model.NodesOf(pool) {
		if _, ok := f.entry(identity.Node, v.ID.String()); ok {
			n++
		}
	}
	return n
}

// behind is the hops behind a service's nodes: the way into the sites of its targets, and these.
func (f *Facts) behind(s *model.Service) (tunnel, target Hop) {
	tried := f.attempts(s.Pool)
	sites := map[model.SiteID]Part{}
	paths := map[string][]Part{} // parts of targets by path prefix: one that has none left fails
	for t := range f.Model.TargetsOf(s.ID) {
		site := f.Model.Site(t.Site)
		if site == nil {
			continue
		}
		into, ok := sites[t.Site]
		if !ok {
			into = f.site(site)
		}
		a := tried[t.ID.String()]
		if a.NoWay && into.State.rank() < Inactive.rank() {
			is := Degraded
			if a.nodes >= f.connected(s.Pool) {
				is = Down
			}
			into = part("site", site.Name, is, NoWay, "node "+a.node+" found no way to it: "+a.Reason)
		}
		sites[t.Site] = into
		p := f.target(t, into, a)
		target.Parts = append(target.Parts, p)
		paths[t.PathPrefix] = append(paths[t.PathPrefix], p)
	}
	for _, p := range sites {
		tunnel.Parts = append(tunnel.Parts, p)
	}
	tunnel = Hop{Name: Tunnel, State: anyOf(tunnel.Parts), Parts: sorted(tunnel.Parts)}
	target = Hop{Name: Target, State: Inactive, Parts: sorted(target.Parts)}
	if len(target.Parts) == 0 {
		tunnel.State = Unknown // there is nothing to reach
		tunnel.Parts = []Part{}
		target.Parts = []Part{part("target", s.Name, Inactive, NoTarget, "the service has no target")}
		return tunnel, target
	}
	var all []Part
	for path, parts := range paths {
		all = append(all, Part{Name: path, State: anyOf(parts)})
	}
	target.State = anyOf(all)
	return tunnel, target
}
