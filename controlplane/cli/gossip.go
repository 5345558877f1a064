package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// gossipKeys are the keys of a rotation.
type gossipKeys struct{ typed.PageGossipKey }

// done reports whether no rotation is at work.
func (g gossipKeys) done() bool { return len(g.Items) == 1 && g.Items[0].State == "seals" }

func (g gossipKeys) String() string {
	var states []string
	for _, k := range g.Items {
		states = append(states, k.State)
	}
	return strings.Join(states, ", ")
}

func (a *app) rotateGossipKey() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "rotate-gossip-key", Short: "Replace the key of the gossip between nodes, while they talk", Args: cobra.NoArgs,
		Long: "Replace the key of the gossip between nodes. All nodes learn the new key before one seals with it, and the old key goes when\n" +
			"nobody needs it: each step waits for every connected node. With --wait it returns after the last step, and exits with 4 when\n" +
			"that takes longer than --timeout; the rotation goes on.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			var keys gossipKeys
			if keys.PageGossipKey, _, err = s.api.RotateGossipKey(cmd.Context()); err != nil {
				return err
			}
			a.say("rotation asked for")
			if w.wait {
				if keys, err = a.rotated(cmd.Context(), s, keys, w.limit); err != nil {
					return err
				}
			}
			if a.structured() {
				return a.print(keys.Items)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&w.wait, "wait", false, "return only when the old key is gone")
	cmd.Flags().DurationVar(&w.limit, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

// rotated waits for the end of a rotation and says its steps.
func (a *app) rotated(ctx context.Context, s *session, keys gossipKeys, limit time.Duration) (gossipKeys, error) {
	begin, said := time.Now(), ""
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := keys.String(); now != said {
			a.say("%6s  keys: %s", seconds(time.Since(begin)), now)
			said = now
		}
		if keys.done() {
			return keys, nil
		}
		select {
		case <-ctx.Done():
			a.say("the rotation is not over, and goes on")
			return keys, errNotReady
		case <-tick.C:
		}
		var next gossipKeys
		var err error
		next.PageGossipKey, _, err = s.api.ListGossipKeys(ctx)
		switch {
		case err == nil:
			keys = next
		case ctx.Err() == nil && !apiclient.Passes(err): // else a replica ends: another one tells
			return keys, err
		}
	}
}
