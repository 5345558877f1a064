package console

import (
	"cmp"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// facts is what was seen of the cluster, once for a request: without what is in the database alone.
func (q *Request) facts() *hops.Facts {
	if q.seen == nil {
		q.seen = q.Admin.Hops.Facts(q.Now)
		q.seen.Model = q.m
		if !q.Can(access.NodesRead) {
			q.seen.NodeName = func(n *model.Node) string { return n.ID.String() }
		}
	}
	return q.seen
}

// serviceHealth is how each hop to a service is; while the database is away, as far as that is known without it.
func (q *Request) serviceHealth(s *model.Service) (hops.Report, error) {
	r, err := q.Admin.ServiceHealth(q.Context(), q.Who, q.Org.ID.String(), s.ID.String())
	if fault.Of(err) == fault.Unavailable {
		return q.facts().Service(s), nil
	}
	return r, err
}

func toneOf(s hops.State) string {
	return map[hops.State]string{hops.Healthy: good, hops.Degraded: warn, hops.Inactive: warn, hops.Down: bad}[s]
}

// stateBadge is a report in a word.
func stateBadge(r hops.Report) Badge { return Badge{toneOf(r.State), string(r.State), r.Reason} }

// hopsOf is a report as a strip.
func hopsOf(r hops.Report) []Hop {
	names := map[hops.Name]string{hops.DNS: "DNS", hops.Node: "Nodes", hops.TLS: "TLS", hops.Tunnel: "Tunnels", hops.Target: "Targets"}
	out := []Hop{}
	for _, h := range r.Hops {
		v := Hop{toneOf(h.State), names[h.Name], string(h.State)}
		if len(h.Parts) > 0 && h.State == hops.Healthy {
			v.Text = partNames(h.Parts)
		}
		for _, p := range h.Parts {
			if p.State == h.State && p.Reason != "" {
				v.Text = p.Name + ": " + p.Reason
				break
			}
		}
		out = append(out, v)
	}
	return out
}

// siteHops is the way into a site as a strip: the nodes of its pool, what leads into it, its targets.
func (q *Request) siteHops(s SiteState) []Hop {
	nodes := q.facts().Nodes(s.Pool)
	out := hopsOf(nodes)
	into := q.facts().Into(s.Site)
	hop := Hop{toneOf(into.State), "Tunnels", into.Reason}
	if into.State == hops.Healthy {
		hop.Text = itoa(s.Up) + " of " + plural(len(s.Tunnels), "tunnel", "tunnels") + " up"
	}
	if s.Kind == model.LocalSite {
		hop.Name, hop.Text = "Its network", cmp.Or(into.Reason, "nodes stand in it")
	}
	out = append(out, hop)
	if !q.Can(access.TargetsRead) {
		return out
	}
	well, ill := 0, 0
	for t := range q.m.TargetsAt(s.ID) {
		switch q.facts().Verdict(t).State {
		case presence.TargetHealthy:
			well++
		case presence.TargetUnhealthy:
			ill++
		}
	}
	targets := Hop{idle, "Targets", "none is checked"}
	switch {
	case ill > 0 && well == 0:
		targets.Tone = bad
	case ill > 0:
		targets.Tone = warn
	case well > 0:
		targets.Tone = good
	}
	if well+ill > 0 {
		targets.Text = itoa(well) + " of " + itoa(well+ill) + " that are checked are healthy"
	}
	if s.Targets == 0 {
		targets.Text = "none yet"
	}
	return append(out, targets)
}

// partNames are what a hop consists of, the first few of it.
func partNames(parts []hops.Part) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return fewOf(names)
}

// fewOf names the first of many.
func fewOf(names []string) string {
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and " + itoa(len(names)-most) + " more"
	}
	return strings.Join(names, ", ")
}
