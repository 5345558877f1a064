package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// watchPause is how long a watch waits for a revision until it looks anyway: labels and what is no configuration of nodes
// take none.
const watchPause = 3 * time.Second

func (a *app) watchCommand() *cobra.Command {
	var labels map[string]string
	cmd := &cobra.Command{
		Use: "watch KIND [NAME]", Short: "Print objects whenever they change", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: a.completeObjects,
		Long: "Print all objects of a kind, or one, and from then on each that is made, changes or is removed, as soon as it does, until Ctrl-C.\n" +
			"With -o json each line is an object with what became of it.",
		Example: "  warren watch services\n  warren watch nodes -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			return a.watch(cmd.Context(), s, k, name, typed.Listing{Labels: selector(labels)})
		},
	}
	cmd.Flags().StringToStringVarP(&labels, "selector", "l", nil, "only objects that have this label, key=value; of several all")
	return cmd
}

// watch prints what differs from list to list. A revision shortens the wait for the next one.
func (a *app) watch(ctx context.Context, s *session, k *kind, name string, by typed.Listing) error {
	have := map[string]json.RawMessage{}
	var rev int64
	for first := true; ; first = false {
		limit := watchPause
		if first {
			limit = 0
		}
		newest, _, err := s.api.Changes(ctx, typed.ChangesParams{After: rev, Timeout: limit.String()})
		if err != nil {
			return ended(ctx, err)
		}
		rev = newest.Revision
		items, err := s.of(k).List(ctx, by)
		if err != nil {
			return ended(ctx, err)
		}
		if err := a.tell(k, name, have, items); err != nil {
			return err
		}
	}
}

// ended is nil if a person has ended the command.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tell prints what differs between two lists and makes the first one the second.
func (a *app) tell(k *kind, name string, have map[string]json.RawMessage, items []json.RawMessage) error {
	now := map[string]bool{}
	for _, o := range items {
		var id struct{ ID, Name string }
		if err := json.Unmarshal(o, &id); err != nil {
			return err
		}
		if name != "" && name != id.Name && name != id.ID {
			continue
		}
		now[id.ID] = true
		was, known := have[id.ID]
		if known && bytes.Equal(was, o) {
			continue
		}
		what := "changed"
		if !known {
			what = "is"
		}
		have[id.ID] = o
		if err := a.event(k, what, o); err != nil {
			return err
		}
	}
	for id, o := range have {
		if !now[id] {
			delete(have, id)
			if err := a.event(k, "removed", o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) event(k *kind, what string, o json.RawMessage) error {
	if a.structured() {
		b, err := json.Marshal(map[string]any{"event": what, "object": o})
		if err == nil {
			a.line("%s", b)
		}
		return err
	}
	row, err := a.row(k, o)
	if err != nil {
		return err
	}
	a.line("%s  %-8s %s", time.Now().Format(time.TimeOnly), what, row)
	return nil
}
