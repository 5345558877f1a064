//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// tunnelsUp returns nil when all tunnels of a site's connector are up, as it says itself.
func (c *suite) tunnelsUp(s *cluster.Site) error {
	var st struct {
		Connectors []struct {
			Site    string `json:"site"`
			State   string `json:"state"`
			Tunnels []struct {
				Up bool `json:"up"`
			} `json:"tunnel_states"`
		} `json:"connectors"`
	}
	if err := c.JSON(&st, "status"); err != nil {
		return err
	}
	for _, k := range st.Connectors {
		if k.Site != s.Name {
			continue
		}
		if k.State != "up" || len(k.Tunnels) == 0 {
			return fmt.Errorf("connector of %s: %+v", s.Name, k)
		}
		for _, tn := range k.Tunnels {
			if !tn.Up {
				return fmt.Errorf("connector of %s: %+v", s.Name, k)
			}
		}
		return nil
	}
	return fmt.Errorf("no connector of %s", s.Name)
}

// Clocks of nodes and connectors jump while requests go on: none fails.
func TestClocksJump(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	p, ended := c.probe(40, c.Nodes...)
	jumps := 0
	for _, proc := range []*lab.Process{c.Sites[0].Proc, c.Nodes[0].Proc, c.Nodes[1].Proc} {
		for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
			c.must(proc.JumpClock(by))
			c.further(p, 60)
			if strings.Contains(proc.Log(), "clock jumped") {
				jumps++
			}
		}
	}
	if r := ended(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed: %v", r.Failed, r.Sent, r.Failures)
	}
	if jumps == 0 {
		t.Error("no program has noticed that its clock jumped")
	}
}

// A connector whose clock was ahead is started again with the right one. To WireGuard that is a replay.
func TestConnectorIsStartedAgainWithAnEarlierClock(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	s := c.Sites[0]
	c.must(s.Proc.JumpClock(time.Hour))
	c.restart(s.Proc)
	up := func() {
		t.Helper()
		c.until("all tunnels are up", func() error { return c.tunnelsUp(s) })
		for _, n := range c.Nodes {
			c.until("requests are served at "+n.Name, func() error {
				_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
				return err
			})
		}
	}
	up()
	c.must(s.Proc.JumpClock(0))
	s.Proc.Kill()
	c.until("its tunnels are down", func() error {
		if err := c.tunnelsUp(s); err != nil {
			return nil
		}
		return fmt.Errorf("they are up")
	})
	c.restart(s.Proc)
	up()
}
