package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
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

// partNames are what a hop consists of, the first few of it.
func partNames(parts []hops.Part) string {
	const most = 3
	text := ""
	for i, p := range parts {
		if i == most {
			return text + " and " + itoa(len(parts)-most) + " more"
		}
		if i > 0 {
			text += ", "
		}
		text += p.Name
	}
	return text
}
