package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) snapshotCommand() *cobra.Command {
	return &cobra.Command{
		Use: "snapshot [NODE]", Short: "Show what nodes should hold, and what they do hold", Args: cobra.MaximumNArgs(1),
		Long: "Without a node: all nodes and connectors. With one: each of its resources with the version that is desired, sent, acknowledged\n" +
			"and applied. -o json shows contents, too; private keys appear as fingerprints.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				all, _, err := s.api.ListSnapshots(cmd.Context())
				if err == nil && a.structured() {
					return a.print(all)
				}
				if err == nil {
					err = a.showSnapshots(all)
				}
				return err
			}
			one, _, err := s.api.GetSnapshot(cmd.Context(), args[0])
			if err == nil && a.structured() {
				return a.print(one)
			}
			if err == nil {
				err = a.showSnapshot(one)
			}
			return err
		},
	}
}

func (a *app) showSnapshots(all typed.FleetAnswerBody) error {
	fmt.Fprintf(a.out, "revision %d\n\n", all.Revision)
	var rows [][]string
	for _, i := range all.Items {
		rows = append(rows, []string{i.Kind, i.Name, i.Status, strconv.FormatInt(i.AppliedRevision, 10), i.Replica, i.ID})
	}
	return a.table([]string{"kind", "name", "status", "applied", "replica", "id"}, rows)
}

// versionOf is a resource in one of its four states.
func versionOf(s *typed.VersionView) string {
	if s == nil || s.Version == "" {
		return ""
	}
	return fmt.Sprintf("%.8s@%d", s.Version, s.Revision)
}

func (a *app) showSnapshot(one typed.SnapshotAnswerBody) error {
	fmt.Fprintf(a.out, "%s %s (%s): %s\n\n", one.Kind, one.Name, one.ID, one.Status)
	if one.RejectedOmitted > 0 {
		fmt.Fprintf(a.out, "%d more rejected, not listed\n\n", one.RejectedOmitted)
	}
	var rows [][]string
	for _, r := range one.Resources {
		status := r.Status
		if r.Reason != "" {
			status += ": " + r.Reason
		}
		rows = append(rows, []string{r.Type, r.Name, versionOf(r.Desired), versionOf(r.Sent), versionOf(r.Acknowledged), versionOf(r.Applied), status})
	}
	if err := a.table([]string{"type", "name", "desired", "sent", "acknowledged", "applied", "status"}, rows); err != nil || len(one.Presence) == 0 {
		return err
	}
	rows = nil
	for _, p := range one.Presence {
		content, _ := p.Content.(map[string]any)
		_, state, _ := strings.Cut(cell(content["state"]), "_STATE_") // TARGET_STATE_HEALTHY
		rows = append(rows, []string{p.Type, p.Name, strings.ToLower(state), strconv.FormatBool(p.Sent), p.Reason})
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"type", "name", "now", "sent", "reason"}, rows)
}
