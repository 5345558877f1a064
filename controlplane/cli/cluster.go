package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) waitCommand() *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "wait [REVISION]", Short: "Wait until every node that a revision concerns has applied it", Args: cobra.MaximumNArgs(1),
		Long: "Wait until every connected node and connector that a revision concerns has applied it; without a revision, the newest one.\n" +
			"Exits with 4 when that takes longer than --timeout.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			var rev uint64
			if len(args) == 1 {
				if rev, err = strconv.ParseUint(args[0], 10, 63); err != nil {
					return usagef("revision %q is no number", args[0])
				}
			} else {
				st, _, err := s.api.Status(cmd.Context())
				if err != nil {
					return err
				}
				rev = uint64(st.Revision)
			}
			return a.waitFor(cmd.Context(), s, rev, limit)
		},
	}
	cmd.Flags().DurationVar(&limit, "timeout", time.Minute, "how long to wait")
	return cmd
}

func (a *app) waitFor(ctx context.Context, s *session, rev uint64, limit time.Duration) error {
	begin := time.Now()
	r, err := s.api.Applied(ctx, rev, limit)
	if err != nil {
		return fmt.Errorf("wait for revision %d: %w", rev, err)
	}
	if len(r.Offline) > 0 {
		a.say("not connected, will follow when they are back: %s", names(r.Offline))
	}
	a.say("revision %d is applied by %d node(s) and connector(s) (%s)", rev, len(r.Applied), seconds(time.Since(begin)))
	if a.structured() {
		return a.print(r)
	}
	return nil
}

func names(rs []typed.Reader) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Kind+" "+firstOf(r.Name, r.ID))
	}
	return strings.Join(out, ", ")
}

func (a *app) nodeCommand() *cobra.Command {
	node := &cobra.Command{Use: "node", Short: "See how nodes are, let them join, drain them, revoke them"}
	activate := a.action("activate NODE", "Put a drained node back into DNS answers and assignments", "node", "activate", false, ofNode(typed.Client.ActivateNode))
	activate.Aliases = []string{"undrain"}
	drain := a.action("drain NODE", "Take a node out of DNS answers, and sites away from it; it ends when nobody is sent to it any more", "node", "drain", false, ofNode(typed.Client.DrainNode))
	drain.Long = "Take a node out of DNS answers, and sites away from it.\n\n" +
		"The node serves on what reaches it for as long as resolvers may keep its address: the longest time to live of its\n" +
		"pool's names, and a second. Then it gives what is under way ten seconds, and ends with exit code 0. Until it has\n" +
		"ended, warren node activate takes all of it back. Started again it serves what reaches it, but is named only after\n" +
		"warren node activate."
	node.AddCommand(a.nodeStatus(), a.nodeConfig(), a.nodeJoin(), activate, drain, a.rotateGossipKey(),
		a.action("revoke NODE", "Trust a node no more: its streams end, its tunnels end, it can't come back", "node", "revoke", true, ofNode(typed.Client.RevokeNode)))
	return node
}

// deed is what is done to an object, and has no more to say than its name.
type deed func(ctx context.Context, s *session, name string) (apiclient.Written, error)

func ofNode(do func(c typed.Client, ctx context.Context, name string) (typed.Node, apiclient.Written, error)) deed {
	return func(ctx context.Context, s *session, name string) (apiclient.Written, error) {
		_, done, err := do(s.api, ctx, name)
		return done, err
	}
}

func (a *app) action(use, short, noun, verb string, ask bool, do deed) *cobra.Command {
	var w waiting
	var yes bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask {
				if err := a.confirm(yes, "%s %s?", strings.ToUpper(verb[:1])+verb[1:], args[0]); err != nil {
					return err
				}
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			done, err := do(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			a.say("%s %s: %s", noun, args[0], verb)
			return w.after(a, cmd, s, done.Revision)
		},
	}
	if ask {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	w.flags(cmd)
	return cmd
}
