package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
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

// docs is where the documents are read in a browser, with the headings as anchors.
const docs = "https://github.com/warrenedge/warren/blob/main/"

// see is where to read about a category: a command that shows more, or a document.
var see = map[string]string{
	"settings": docs + "README.md#a-cluster-of-your-own", "control plane": docs + "ARCHITECTURE.md#processes", "nodes": "warren status; warren snapshot; " + docs + "ARCHITECTURE.md#who-is-alive",
	"sites": "warren ping site/NAME; " + docs + "deploy/guide/operate.md", "services": "warren ping NAME; " + docs + "ARCHITECTURE.md#the-path-of-a-request",
	"domains": "warren domain check NAME; " + docs + "README.md#a-cluster-of-your-own", "certificates": "warren cert describe NAME; " + docs + "ARCHITECTURE.md#certificates",
	"network": "warren netcheck; " + docs + "deploy/guide/install.md#ports-and-addresses", "this machine": docs + "deploy/guide/install.md",
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
	marks := map[string]string{"ok": a.paint(green, "√"), "warning": a.paint(yellow, "‼"), "failed": a.paint(red, "×"), "skipped": "-"}
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
