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

// Any two of the things that can go wrong do so at once, again and again: when they are over everything is served again, without help.
func TestPairsOfFaults(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	outside, inside := c.without(c.Sites[0])
	in := c.Lab.Faults(0, c.Faults(outside, inside)...)
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
