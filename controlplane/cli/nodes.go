package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/yamltext"
)

// nodeState is whether a node has what it should have, and what it carries.
type nodeState struct {
	Name      string `json:"name"`
	ID        string `json:"id"`
	Sync      string `json:"sync"`  // synced, pending or offline
	State     string `json:"state"` // of the node itself, as status has it
	Applied   int64  `json:"applied_revision"`
	Lag       int64  `json:"lag"` // revisions between what it has applied and the newest
	Rejected  int64  `json:"rejected"`
	TunnelsUp int64  `json:"tunnels_up"`
	Tunnels   int64  `json:"tunnels"`
	Replica   string `json:"replica,omitempty"`
	Version   string `json:"version,omitempty"`
	alarm     string
	well      bool
}

func (a *app) nodeStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status [NODE]", Short: "Show of each node whether it is in sync, how far behind, and how many tunnels it has", Args: cobra.MaximumNArgs(1),
		Long: "Show of each node whether it is in sync: what it has applied, how many revisions that is behind the newest (those that do not\n" +
			"concern a node leave it synced), what it has rejected, and the tunnels that are up. Exits with 4 when one is not up and in sync.\n" +
			"warren snapshot NODE has each resource, warren node config NODE what it should hold.",
		Example: "  warren node status\n  warren node status n1 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			all, err := s.nodeStates(cmd.Context(), append(args, "")[0])
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(all)
			} else {
				err = a.showNodes(all)
			}
			for _, n := range all {
				if err == nil && !n.well {
					err = errNotReady
				}
			}
			return err
		},
	}
}

// nodeStates are those of all nodes that are not revoked, or of one.
func (s *session) nodeStates(ctx context.Context, name string) ([]nodeState, error) {
	fleet, _, err := s.api.ListSnapshots(ctx)
	if err != nil {
		return nil, err
	}
	st, _, err := s.api.Status(ctx)
	if err != nil {
		return nil, err
	}
	sync := map[string]typed.FleetEntry{}
	for _, f := range fleet.Items {
		sync[f.ID] = f
	}
	out := []nodeState{}
	for _, m := range st.Nodes {
		if m.State == "revoked" || name != "" && name != m.Name && name != m.ID {
			continue
		}
		n := nodeState{Name: m.Name, ID: m.ID, Sync: firstOf(sync[m.ID].Status, "offline"), State: m.State, Applied: m.AppliedRevision, Lag: max(fleet.Revision-m.AppliedRevision, 0),
			Rejected: m.Rejected, TunnelsUp: m.TunnelsUp, Tunnels: m.Tunnels, Replica: m.Replica, Version: m.Version}
		if m.Alarm != nil {
			n.alarm = m.Alarm.Text
		}
		n.well = n.Sync == "synced" && n.State == "up" && n.Rejected == 0 && n.alarm == ""
		out = append(out, n)
	}
	if name != "" && len(out) == 0 {
		return nil, fmt.Errorf("node %s: there is none of this name that you may see and that is not revoked", name)
	}
	return out, nil
}

func (a *app) showNodes(all []nodeState) error {
	if a.output == "name" {
		for _, n := range all {
			a.line("%s", n.Name)
		}
		return nil
	}
	if len(all) == 0 {
		a.say("no nodes yet: warren node join --help")
		return nil
	}
	var rows [][]string
	for _, n := range all {
		rows = append(rows, []string{n.Name, n.Sync, n.State, strconv.FormatInt(n.Applied, 10), strconv.FormatInt(n.Lag, 10), strconv.FormatInt(n.Rejected, 10),
			fmt.Sprintf("%d of %d", n.TunnelsUp, n.Tunnels), n.Replica, n.Version})
	}
	if err := a.table([]string{"node", "sync", "state", "applied", "lag", "rejected", "tunnels up", "replica", "version"}, rows); err != nil {
		return err
	}
	for _, n := range all {
		if n.alarm != "" {
			a.line("\nALARM: %s", n.alarm)
		}
	}
	return nil
}

func (a *app) nodeConfig() *cobra.Command {
	var compare bool
	cmd := &cobra.Command{
		Use: "config NODE", Short: "Show what a node should hold, resource by resource, without secrets", Args: cobra.ExactArgs(1),
		Long: "Show what a node should hold: each resource with its version and contents, as YAML documents; private keys appear as fingerprints.\n" +
			"With --diff only those that it does not hold so, and why: line by line against what it has applied. What it has of a resource that it\n" +
			"rejected, or while it is offline, only the node knows: then against what was wanted before. Exits with 3 then, with 0 if there are none.",
		Example: "  warren node config n1\n  warren node config n1 --diff",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			one, _, err := s.api.GetSnapshot(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			kept := []typed.ResourceView{}
			for _, r := range one.Resources {
				if !compare || r.Status != "synced" {
					kept = append(kept, r)
				}
			}
			if a.structured() {
				err = a.print(kept)
			} else {
				err = a.showResources(kept, compare)
			}
			if err == nil && compare && len(kept) > 0 {
				err = errDiffers
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&compare, "diff", false, "only what the node does not hold as it should")
	return cmd
}

func (a *app) showResources(all []typed.ResourceView, compare bool) error {
	for _, r := range all {
		a.line("---\n# %s %s", r.Type, r.Name)
		a.line("# should be %s, is %s: %s", orDash(versionOf(r.Desired)), orDash(versionOf(r.Applied)), r.Status)
		if r.Reason != "" {
			a.line("# %s", r.Reason)
		}
		now, err := contentText(r.Content)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.Type, r.Name, err)
		}
		if !compare || r.Former == nil {
			if compare && r.Applied != nil {
				a.line("# what it is was replaced too long ago: the control plane does not know it any more")
			}
			if _, err := io.WriteString(a.out, now); err != nil {
				return err
			}
			continue
		}
		before, err := contentText(r.Former.Content)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.Type, r.Name, err)
		}
		is := "is/"
		if !r.Former.Applied {
			a.line("# what it is only the node knows; until revision %d it should have been %.8s", r.Former.UntilRevision, r.Former.Version)
			is = "was/"
		}
		a.unified(diff.Diff(is+r.Name, []byte(before), "should-be/"+r.Name, []byte(now)))
	}
	return nil
}

// contentText is the content of a resource as YAML, "" if there is none.
func contentText(content any) (string, error) {
	if content == nil {
		return "", nil
	}
	b, err := json.Marshal(content)
	if err == nil {
		b, err = yamltext.FromJSON(b)
	}
	return string(b), err
}
