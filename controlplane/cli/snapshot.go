package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
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
			path := "/debug/snapshots"
			if len(args) == 1 {
				path += "/" + url.PathEscape(args[0])
			}
			var raw json.RawMessage
			if _, err := s.Do(cmd.Context(), http.MethodGet, path, nil, &raw); err != nil {
				return err
			}
			if a.structured() {
				return a.print(raw)
			}
			if len(args) == 0 {
				return a.showSnapshots(raw)
			}
			return a.showSnapshot(raw)
		},
	}
}

func (a *app) showSnapshots(raw json.RawMessage) error {
	var all struct {
		Revision uint64 `json:"revision"`
		Items    []struct {
			Kind    string `json:"kind"`
			ID      string `json:"id"`
			Name    string `json:"name"`
			Status  string `json:"status"`
			Applied uint64 `json:"applied_revision"`
			Replica string `json:"replica"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "revision %d\n\n", all.Revision)
	var rows [][]string
	for _, i := range all.Items {
		rows = append(rows, []string{i.Kind, i.Name, i.Status, strconv.FormatUint(i.Applied, 10), i.Replica, i.ID})
	}
	return a.table([]string{"kind", "name", "status", "applied", "replica", "id"}, rows)
}

// state is a resource in one of its four states.
type state struct {
	Version  string `json:"version"`
	Revision uint64 `json:"revision"`
}

func (s *state) String() string {
	if s == nil || s.Version == "" {
		return ""
	}
	return fmt.Sprintf("%.8s@%d", s.Version, s.Revision)
}

func (a *app) showSnapshot(raw json.RawMessage) error {
	var one struct {
		Kind      string `json:"kind"`
		ID        string `json:"id"`
		Name      string `json:"name"`
		Status    string `json:"status"`
		Omitted   int    `json:"rejected_omitted"`
		Resources []struct {
			Type         string `json:"type"`
			Name         string `json:"name"`
			Status       string `json:"status"`
			Reason       string `json:"reason"`
			Desired      *state `json:"desired"`
			Sent         *state `json:"sent"`
			Acknowledged *state `json:"acknowledged"`
			Applied      *state `json:"applied"`
		} `json:"resources"`
		Presence []struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			Sent    bool   `json:"sent"`
			Reason  string `json:"reason"`
			Content struct {
				State string `json:"state"`
			} `json:"content"`
		} `json:"presence"`
	}
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s %s (%s): %s\n\n", one.Kind, one.Name, one.ID, one.Status)
	if one.Omitted > 0 {
		fmt.Fprintf(a.out, "%d more rejected, not listed\n\n", one.Omitted)
	}
	var rows [][]string
	for _, r := range one.Resources {
		status := r.Status
		if r.Reason != "" {
			status += ": " + r.Reason
		}
		rows = append(rows, []string{r.Type, r.Name, r.Desired.String(), r.Sent.String(), r.Acknowledged.String(), r.Applied.String(), status})
	}
	if err := a.table([]string{"type", "name", "desired", "sent", "acknowledged", "applied", "status"}, rows); err != nil || len(one.Presence) == 0 {
		return err
	}
	rows = nil
	for _, p := range one.Presence {
		_, state, _ := strings.Cut(p.Content.State, "_STATE_") // TARGET_STATE_HEALTHY
		rows = append(rows, []string{p.Type, p.Name, strings.ToLower(state), strconv.FormatBool(p.Sent), p.Reason})
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"type", "name", "now", "sent", "reason"}, rows)
}
