//go:build e2e

package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// Two things go wrong at once, again and again: when they are over everything is served again, without help.
func TestPairsOfFaults(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	outside, inside := c.without(c.Sites[0])
	in := c.Lab.Faults(0,
		lab.Killed(c.DB), lab.Paused(c.Cache), lab.Killed(c.Control[0]), lab.Paused(c.Control[1]), lab.Killed(inside[0].Proc), lab.Paused(inside[1].Proc),
		lab.Severed(outside.Host), lab.Killed(c.Sites[0].Proc), lab.Severed(c.Sites[0].Net.Router), lab.Rebound(c.Sites[0].Net), lab.Lossy(c.Sites[0].Connector),
		lab.Mistimed(inside[0].Proc), lab.Full(inside[0].Name, c.Disks[inside[0].Name]),
	)
	pairs := 0
	err := in.Run(t.Context(), lab.Schedule{Count: 6, Duration: [2]time.Duration{time.Second, 4 * time.Second}, Pairs: 1}, func(step lab.Step, started bool) {
		if started {
			return
		}
		pairs++
		c.until("all is well after "+strings.Join(step.Faults, " and "), func() error {
			_, err := c.Warren("status")
			errs := []error{err}
			for _, n := range c.Nodes {
				_, err := c.Curl("https://"+app+"/", append(cluster.At(n, app), "--max-time", "5")...)
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
	})
	c.must(err)
	if pairs != 6 {
		t.Errorf("%d pairs", pairs)
	}
}
