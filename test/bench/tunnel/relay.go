package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// relaySite keeps a tunnel to one of the two nodes; the other one relays.
const relaySite = 2

// relay compares requests to a node that has a tunnel to the site with those to one that asks the first. The processor
// time is that of both nodes and the connector.
func (b *bench) relay(ctx context.Context) error {
	s := b.Sites[relaySite]
	var outside, inside []*cluster.Node
	err := b.Until(ctx, "one of two nodes keeps a tunnel to the site", func() error {
		var err error
		outside, inside, err = b.Without(s)
		if err == nil && (len(outside) != 1 || len(inside) != 1) {
			err = fmt.Errorf("%d do", len(inside))
		}
		return err
	})
	if err != nil {
		return err
	}
	programs := []*lab.Process{inside[0].Proc, outside[0].Proc, s.Proc}
	var ways [2]*way
	for i, n := range []*cluster.Node{inside[0], outside[0]} {
		if ways[i], err = b.https("", n, s, programs); err != nil {
			return err
		}
		c := ways[i].client(true)
		if err := b.Until(ctx, n.Name+" answers", func() error { return get(ctx, c, ways[i].url) }); err != nil {
			return err
		}
	}
	if err := inTurns(ctx, ways[:], 2*rounds); err != nil {
		return err
	}
	if len(ways[0].took) == 0 || len(ways[1].took) == 0 {
		return errors.New("no request succeeded")
	}
	kept := func(w *way) time.Duration { return w.kept / (2 * rounds * keptEach) }
	fresh := func(w *way) time.Duration { return w.fresh / (2 * rounds * newEach) }
	p50 := func(w *way) time.Duration { return measure.Quantile(w.took, 0.5) }
	return measure.Figure{
		"bench": "relay hop", "direct_cpu_ms_per_kept_request": measure.Milliseconds(kept(ways[0])),
		"added_cpu_ms_per_kept_request": measure.Milliseconds(kept(ways[1]) - kept(ways[0])), "added_cpu_ms_per_new_connection": measure.Milliseconds(fresh(ways[1]) - fresh(ways[0])),
		"added_p50_ms_at_200_per_s": measure.Milliseconds(p50(ways[1]) - p50(ways[0])), "failed": ways[0].failed + ways[1].failed,
		"wanted": "added p50 <= 1 ms, added CPU <= 0.1 ms per kept request",
	}.Print(os.Stdout)
}
