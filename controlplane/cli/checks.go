package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/netcheck"
	"github.com/warrenedge/warren/shared/version"
)

// doctor knows whom to ask.
type doctor struct{ s *session }

func (d doctor) checks() []check {
	return []check{
		{"control plane", d.control}, {"control plane", d.replica}, {"nodes", d.nodes}, {"sites", d.sites}, {"services", d.services},
		{"domains", d.domains}, {"certificates", d.certificates}, {"network", d.network},
	}
}

// reach asks whether the control plane answers at all, and whose clock is wrong.
func (d doctor) reach(ctx context.Context) []finding {
	const name = "control plane"
	ahead, err := d.s.wire.Reach(ctx)
	if err != nil {
		return []finding{{Category: name, Name: "it answers", State: "failed", Cause: err.Error(), Fix: "look whether warren-control runs, and at the way to it", See: see[name]}}
	}
	out := []finding{{Category: name, Name: "it answers", State: "ok"}, {Category: name, Name: "its clock and this machine's agree", State: "ok"}}
	const skew = 5 * time.Second
	if ahead.Abs() > skew {
		out[1].State, out[1].Cause, out[1].See = "warning", fmt.Sprintf("the control plane's clock is %s ahead of this machine's", ahead.Round(time.Second)), see[name]
		out[1].Fix = "let a time service set both clocks: certificates and sign-in depend on them"
	}
	return out
}

func (d doctor) control(ctx context.Context) ([]finding, error) {
	st, _, err := d.s.api.Status(ctx)
	if err != nil {
		return nil, err
	}
	db := finding{Name: "it hears the database", State: "ok"}
	if !st.Database.OK {
		db.State, db.Cause, db.Fix = "failed", fmt.Sprintf("the database last answered %.0f s ago", st.Database.AgeSeconds), "look at PostgreSQL; nodes go on meanwhile, writes are refused"
	}
	shared := finding{Name: "its replicas hear each other", State: "ok"}
	if !st.PresenceShared {
		shared.State, shared.Cause, shared.Fix = "failed", "this replica does not hear the others", "look at Valkey or Redis, and at valkey_url of all replicas"
	}
	return []finding{db, shared}, nil
}

// replica asks what the replica that answers found out about itself.
func (d doctor) replica(ctx context.Context) ([]finding, error) {
	v, _, err := d.s.api.GetDiagnosis(ctx)
	var out []finding
	for _, i := range v.Items {
		out = append(out, finding{Name: i.Name, State: i.State, Cause: i.Cause, Fix: i.Fix})
	}
	return out, err
}

func (d doctor) nodes(ctx context.Context) ([]finding, error) {
	st, _, err := d.s.api.Status(ctx)
	if err != nil {
		return nil, err
	}
	var out []finding
	for _, m := range members(st) {
		f := finding{Name: "node " + m.Name, State: "ok"}
		if m.Site != "" {
			f.Name = "connector " + m.Site + "/" + m.Name
		}
		switch {
		case m.State == "revoked":
			continue
		case m.Alarm != nil:
			f.State, f.Cause, f.Fix = "failed", m.Alarm.Text, "see the alarm"
		case m.State == "down":
			f.State, f.Cause, f.Fix = "failed", "it is not connected to the control plane", "look whether its machine runs and has a way to the push port"
		case m.State == "joining":
			f.State, f.Cause, f.Fix = "warning", "it has not joined, or has no configuration yet", "start it with its join token: warren node join, warren site join"
		case m.Rejected > 0:
			f.State, f.Cause, f.Fix = "failed", fmt.Sprintf("it did not apply %d resources", m.Rejected), "warren snapshot "+m.ID
		case m.Tunnels > 0 && m.TunnelsUp == 0:
			f.State, f.Cause, f.Fix = "failed", "none of its tunnels is up", "warren netcheck, on its machine"
		case m.Version != "" && m.Version != version.Version:
			f.State, f.Cause, f.Fix = "warning", fmt.Sprintf("it runs %s, this command line is of %s", m.Version, version.Version), "bring all programs to the same version, the control plane first"
		}
		out = append(out, f)
	}
	if len(st.Nodes) == 0 {
		out = append(out, finding{Name: "there is a node", State: "warning", Cause: "none that you may see", Fix: "warren node join NAME"})
	}
	return out, nil
}

func (d doctor) sites(ctx context.Context) ([]finding, error) {
	items, err := d.s.sites(ctx)
	if err != nil {
		return nil, err
	}
	w := ward{noun: "site", ask: d.s.api.GetSiteHealth}
	for _, o := range items {
		w.see(ctx, d.s.org, o.Name, o.Health)
	}
	return w.findings(), nil
}

func (d doctor) services(ctx context.Context) ([]finding, error) {
	items, err := d.s.services(ctx)
	if err != nil {
		return nil, err
	}
	w := ward{noun: "service", ask: d.s.api.GetServiceHealth}
	for _, o := range items {
		w.see(ctx, d.s.org, o.Name, o.Health)
	}
	return w.findings(), nil
}

// ward is how all sites, or all services, are.
type ward struct {
	noun      string
	ask       func(ctx context.Context, org, name string) (typed.Report, apiclient.Written, error)
	ill       []finding
	well, all int
}

// see looks at one of them.
func (w *ward) see(ctx context.Context, org, name string, h *typed.HealthSummary) {
	w.all++
	f := finding{Name: w.noun + " " + name}
	switch {
	case h == nil:
	case h.State == "down" || h.State == "inactive":
		f.State = "failed"
	case h.State == "degraded":
		f.State = "warning"
	}
	if f.State == "" {
		w.well++
		return
	}
	f.Cause = h.Hop + ": " + h.Reason
	if len(w.ill) < doctorAtOnce { // the first ones come with advice
		if r, _, err := w.ask(ctx, org, name); err == nil {
			f.Fix = r.Advice
		}
	}
	w.ill = append(w.ill, f)
}

func (w *ward) findings() []finding {
	return append(w.ill, finding{Name: fmt.Sprintf("%d of %d %ss are well", w.well, w.all, w.noun), State: "ok"})
}

// mostDomains is how many domains are asked about: each takes some seconds.
const mostDomains = 4

func (d doctor) domains(ctx context.Context) ([]finding, error) {
	items, err := d.s.domains(ctx)
	if err != nil {
		return nil, err
	}
	asked := items[:min(len(items), mostDomains)]
	out := make([]finding, len(asked))
	var all sync.WaitGroup
	for i, o := range asked {
		out[i] = finding{Name: "domain " + o.Name, State: "ok"}
		all.Go(func() {
			switch c, _, err := d.s.api.CheckDomain(ctx, d.s.org, o.Name); {
			case err != nil:
				out[i].State, out[i].Cause, out[i].Fix = "warning", err.Error(), "warren domain check "+o.Name
			case !c.OK && len(c.Problems) > 0:
				out[i].State, out[i].Cause, out[i].Fix = "failed", c.Problems[0].Message, "warren domain check "+o.Name
			}
		})
	}
	all.Wait()
	if more := len(items) - len(asked); more > 0 {
		out = append(out, finding{Name: fmt.Sprintf("%d more domains", more), State: "skipped", Cause: "asking about a domain takes seconds", Fix: "warren domain check NAME"})
	}
	return out, nil
}

func (d doctor) certificates(ctx context.Context) ([]finding, error) {
	items, err := d.s.managed(ctx)
	if err != nil {
		return nil, err
	}
	var out []finding
	well := 0
	for _, o := range items {
		name := strings.Join(o.Names, ", ")
		f := finding{Name: "certificate of " + name, Cause: o.LastProblem, Fix: "warren cert describe " + o.Names[0]}
		switch o.State {
		case "failing", "expired":
			f.State = "failed"
		case "issuing":
			f.State, f.Cause = "warning", firstOf(o.WaitsFor, o.LastProblem, "it is being ordered")
		default:
			well++
			continue
		}
		out = append(out, f)
	}
	return append(out, finding{Name: fmt.Sprintf("%d of %d managed certificates are valid", well, len(items)), State: "ok"}), nil
}

func (d doctor) network(ctx context.Context) ([]finding, error) {
	nodes, err := d.s.edges(ctx, "")
	if err != nil {
		return nil, err
	}
	n := look(ctx, netcheck.Probe{}, nodes)
	var out []finding
	for _, r := range n.Nodes {
		f := finding{Name: "node " + r.Node + " at " + r.Address, State: "ok"}
		switch {
		case r.TCP == netcheck.ErrNoWay.Error():
			f.State, f.Cause = "skipped", r.TCP
		case r.TCP != "ok":
			f.State, f.Cause, f.Fix = "warning", "its TLS port is not reached from this machine: "+r.TCP, "let it through the node's firewall, or ask from elsewhere"
		}
		out = append(out, f)
	}
	return out, nil
}
