package alert

import (
	"fmt"
	"slices"

	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// Rates are the requests of services in the window of a rule.
type Rates map[model.ServiceID]*model.Traffic

// minRequests is how many there have to be for a share of them to mean anything.
const minRequests = 10

// Conditions says of each thing that a rule watches whether what it watches is so.
func Conditions(r *model.AlertRule, f *hops.Facts, rates Rates) (out []Condition) {
	add := func(c Condition) {
		if r.Object == "" || r.Object == c.Object {
			out = append(out, c)
		}
	}
	switch r.Kind {
	case model.AlertSiteDown:
		for s := range f.Model.Sites() {
			if s.Org == r.Org && watched(r, s.ID.String()) {
				add(hop(s.ID.String(), s.Name, f.Site(s), hops.Tunnel, hops.Down))
			}
		}
	case model.AlertServiceDown:
		for s := range f.Model.Services() {
			if s.Org == r.Org && watched(r, s.ID.String()) {
				add(whole(s.ID.String(), s.Name, f.Service(s)))
			}
		}
	case model.AlertCertificateDue:
		for s := range f.Model.Services() {
			if s.Org == r.Org && s.EndsTLS() && watched(r, s.ID.String()) {
				add(hop(s.ID.String(), s.Name, f.Service(s), hops.TLS, hops.Degraded))
			}
		}
	case model.AlertTargetUnhealthy:
		for t := range f.Model.Targets() {
			if t.Org == r.Org && watched(r, t.ID.String()) {
				add(target(t, f))
			}
		}
	case model.AlertErrorRate:
		for s := range f.Model.Services() {
			if s.Org == r.Org && watched(r, s.ID.String()) {
				add(rate(r, s, rates[s.ID]))
			}
		}
	case model.AlertNodeDown, model.AlertNodeOutOfSync:
		out = slices.DeleteFunc(nodes(r, f), func(c Condition) bool { return !watched(r, c.Object) })
	}
	return out
}

// watched spares looking at what a rule does not watch.
func watched(r *model.AlertRule, id string) bool { return r.Object == "" || r.Object == id }

// whole is a condition about all hops together.
func whole(id, name string, r hops.Report) Condition {
	return Condition{Object: id, Name: name, Bad: r.State == hops.Down, Known: r.State != hops.Unknown, Reason: r.Reason}
}

// hop is a condition about one hop: it is in a state, or in a worse one that is no work of somebody who has not finished.
func hop(id, name string, r hops.Report, which hops.Name, from hops.State) Condition {
	c := Condition{Object: id, Name: name}
	for _, h := range r.Hops {
		if h.Name != which {
			continue
		}
		c.Known = h.State != hops.Unknown
		c.Bad = h.State == hops.Down || from == hops.Degraded && h.State == hops.Degraded
		for _, p := range h.Parts {
			if p.State == h.State && p.Reason != "" {
				c.Reason = p.Kind + " " + p.Name + ": " + p.Reason
				break
			}
		}
	}
	return c
}

func target(t *model.Target, f *hops.Facts) Condition {
	v := presence.Verdict{}
	if f.Verdict != nil {
		v = f.Verdict(t)
	}
	return Condition{
		Object: t.ID.String(), Name: t.Name, Bad: v.State == presence.TargetUnhealthy, Known: v.State != presence.TargetUnknown || t.HealthCheck == nil, Reason: v.Reason,
	}
}

func rate(r *model.AlertRule, s *model.Service, t *model.Traffic) Condition {
	c := Condition{Object: s.ID.String(), Name: s.Name, Known: true}
	if t == nil || t.Requests < minRequests {
		return c
	}
	if share := 100 * float64(t.Failed) / float64(t.Requests); share > r.Percent {
		c.Bad, c.Reason = true, fmt.Sprintf("%.1f %% of %d requests in %s failed, more than %g %%", share, t.Requests, r.Span, r.Percent)
	}
	return c
}

func nodes(r *model.AlertRule, f *hops.Facts) (out []Condition) {
	for p := range f.Model.Pools() {
		for _, h := range f.Nodes(p.ID).Hops {
			for _, part := range h.Parts {
				if part.Kind != "node" || part.Code == hops.NodeJoining {
					continue
				}
				c := Condition{Name: part.Name, Known: part.State != hops.Unknown, Reason: part.Reason}
				for n := range f.Model.NodesOf(p.ID) {
					if n.Name == part.Name {
						c.Object = n.ID.String()
					}
				}
				switch r.Kind {
				case model.AlertNodeDown:
					c.Bad = part.State == hops.Down
				case model.AlertNodeOutOfSync:
					c.Bad = slices.Contains([]hops.Code{hops.NotSynced, hops.DNSOlder, hops.TLSOlder, hops.ControlLink, hops.Rejected}, part.Code)
				}
				out = append(out, c)
			}
		}
	}
	return out
}
