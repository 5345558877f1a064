package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/netcheck"
	"github.com/warrenedge/warren/shared/version"
)

// doctorTime bounds all checks together, doctorAtOnce how many run at a time.
const (
	doctorTime   = 9 * time.Second
	doctorAtOnce = 8
)

// finding is what one check came to.
type finding struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	State    string `json:"state"` // ok, warning, failed or skipped
	Cause    string `json:"cause,omitempty"`
	Fix      string `json:"fix,omitempty"`
	See      string `json:"see,omitempty"` // where to read more
}

// check is one question, which may find several things.
type check struct {
	category string
	ask      func(ctx context.Context) ([]finding, error)
}

// see is where to read about a category.
var see = map[string]string{
	"settings": "warren --help", "control plane": "ARCHITECTURE.md, Processes", "nodes": "warren status; warren snapshot", "sites": "warren ping site/NAME",
	"services": "warren ping NAME", "domains": "warren domain check NAME", "certificates": "warren cert describe NAME", "network": "warren netcheck",
	"this machine": "README.md, Install",
}

func (a *app) doctorCommand() *cobra.Command {
	var pre bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check everything, and say of what is wrong why and what to do", Args: cobra.NoArgs,
		Long: "Check everything by category: settings, control plane (database, migrations, keys, Valkey, mail, disk, clock), nodes, sites, services,\n" +
			"domains, certificates, and the network from here. Takes ten seconds at most. With --pre: whether this machine is fit to become a node.\n" +
			"Exits with 1 when a check failed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []finding
			if pre {
				all = preflight()
			} else {
				all = a.diagnose(cmd.Context())
			}
			return a.showFindings(all)
		},
	}
	cmd.Flags().BoolVar(&pre, "pre", false, "check this machine before a node is installed on it, without a control plane")
	return cmd
}

func (a *app) showFindings(all []finding) error {
	failed := 0
	for _, f := range all {
		if f.State == "failed" {
			failed++
		}
	}
	if a.structured() {
		if err := a.print(all); err != nil {
			return err
		}
	} else {
		a.listFindings(all)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(all))
	}
	return nil
}

func (a *app) listFindings(all []finding) {
	marks := map[string]string{"ok": "√", "warning": "‼", "failed": "×", "skipped": "-"}
	last := ""
	for _, f := range all {
		if f.Category != last {
			if last != "" {
				fmt.Fprintln(a.out)
			}
			fmt.Fprintf(a.out, "%s\n%s\n", f.Category, strings.Repeat("-", len(f.Category)))
			last = f.Category
		}
		fmt.Fprintf(a.out, "%s %s\n", marks[f.State], f.Name)
		for _, line := range []struct{ label, text string }{{"", f.Cause}, {"fix: ", f.Fix}, {"see: ", f.See}} {
			if line.text != "" && f.State != "ok" {
				fmt.Fprintf(a.out, "    %s%s\n", line.label, line.text)
			}
		}
	}
}

// diagnose runs all checks, some at a time, and puts what they found into the order of categories.
func (a *app) diagnose(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return []finding{{Category: "settings", Name: "the command line knows the control plane", State: "failed", Cause: err.Error(), Fix: "warren login --server URL, or give --server and --api-key-file", See: see["settings"]}}
	}
	d := doctor{s}
	out := []finding{{Category: "settings", Name: "the command line knows the control plane", State: "ok"}}
	reach := d.reach(ctx)
	out = append(out, reach...)
	if slices.ContainsFunc(reach, func(f finding) bool { return f.State == "failed" }) {
		return out // whatever is asked now fails for the same reason
	}
	return append(out, runChecks(ctx, d.checks())...)
}

// runChecks asks all checks, and sorts what they found as the checks are.
func runChecks(ctx context.Context, checks []check) []finding {
	found := make([][]finding, len(checks))
	slots := make(chan struct{}, doctorAtOnce)
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			list, err := c.ask(ctx)
			switch {
			case denied(err):
				list = append(list, finding{Name: c.category, State: "skipped", Cause: "this takes a permission that you do not have"})
			case ctx.Err() != nil:
				list = append(list, finding{Name: c.category, State: "warning", Cause: "there was no time left to look", Fix: "ask again"})
			case err != nil:
				list = append(list, finding{Name: c.category, State: "failed", Cause: err.Error(), Fix: "ask again; then look at the logs of the control plane"})
			}
			for i := range list {
				list[i].Category, list[i].See = c.category, see[c.category]
			}
			found[i] = list
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// doctor knows whom to ask.
type doctor struct{ s *session }

func (d doctor) checks() []check {
	return []check{
		{"control plane", d.control}, {"control plane", d.replica}, {"nodes", d.nodes}, {"sites", d.health("sites")}, {"services", d.health("services")},
		{"domains", d.domains}, {"certificates", d.certificates}, {"network", d.network},
	}
}

// reach asks whether the control plane answers at all, and whose clock is wrong.
func (d doctor) reach(ctx context.Context) []finding {
	const name = "control plane"
	ahead, err := d.s.Reach(ctx)
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

// health asks how all sites or services are.
func (d doctor) health(plural string) func(ctx context.Context) ([]finding, error) {
	return func(ctx context.Context) ([]finding, error) {
		items, err := d.s.List(ctx, "/api/v1/orgs/"+d.s.org+"/"+plural)
		if err != nil {
			return nil, err
		}
		var out []finding
		well := 0
		for _, raw := range items {
			var o struct {
				Name   string
				Health struct{ State, Hop, Reason string }
			}
			if err := json.Unmarshal(raw, &o); err != nil {
				return nil, err
			}
			f := finding{Name: strings.TrimSuffix(plural, "s") + " " + o.Name, Cause: o.Health.Hop + ": " + o.Health.Reason}
			switch o.Health.State {
			case "down", "inactive":
				f.State = "failed"
			case "degraded":
				f.State = "warning"
			default:
				well++
				continue
			}
			var h typed.Report
			if len(out) < doctorAtOnce && d.s.get(ctx, &h, plural, o.Name, "health") == nil { // the first ones come with advice
				f.Fix = h.Advice
			}
			out = append(out, f)
		}
		return append(out, finding{Name: fmt.Sprintf("%d of %d %s are well", well, len(items), plural), State: "ok"}), nil
	}
}

// mostDomains is how many domains are asked about: each takes some seconds.
const mostDomains = 4

func (d doctor) domains(ctx context.Context) ([]finding, error) {
	items, err := d.s.List(ctx, "/api/v1/orgs/"+d.s.org+"/domains")
	if err != nil {
		return nil, err
	}
	asked := items[:min(len(items), mostDomains)]
	out := make([]finding, len(asked))
	var all sync.WaitGroup
	for i, raw := range asked {
		var o struct{ Name string }
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, err
		}
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
	items, err := d.s.List(ctx, "/api/v1/orgs/"+d.s.org+"/managed-certificates")
	if err != nil {
		return nil, err
	}
	var out []finding
	well := 0
	for _, raw := range items {
		var o struct {
			Names   []string
			State   string
			Problem string `json:"last_problem"`
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, err
		}
		name := strings.Join(o.Names, ", ")
		f := finding{Name: "certificate of " + name, Cause: o.Problem, Fix: "warren cert describe " + o.Names[0]}
		switch o.State {
		case "failing", "expired":
			f.State = "failed"
		case "issuing":
			f.State, f.Cause = "warning", firstOf(o.Problem, "it is being ordered")
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
