//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// probe asks nodes for the app, each request by a new connection, until ended is called.
func (c *suite) probe(rate float64, nodes ...*cluster.Node) (p *lab.Prober, ended func() lab.Report) {
	c.t.Helper()
	roots, err := c.Roots()
	c.must(err)
	var turn atomic.Int64
	p, err = lab.NewProber(lab.Probe{
		From: c.Client, URL: "https://" + app + "/", Rate: rate, Fresh: true, Timeout: 15 * time.Second, TLS: &tls.Config{RootCAs: roots},
		Resolve: func(context.Context, string) (netip.Addr, error) {
			return nodes[int(turn.Add(1))%len(nodes)].Host.Addr, nil
		},
	})
	c.must(err)
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	c.until("requests are answered", func() error {
		if r := p.Report(); r.Sent == 0 {
			return errors.New("none has ended")
		}
		return nil
	})
	return p, func() lab.Report {
		c.t.Helper()
		cancel()
		c.must(<-done)
		return p.Report()
	}
}

// further waits until so many more requests have ended.
func (c *suite) further(p *lab.Prober, requests int) {
	c.t.Helper()
	before := p.Report().Sent
	c.until("more requests end", func() error {
		if n := p.Report().Sent - before; n < requests {
			return fmt.Errorf("%d of %d", n, requests)
		}
		return nil
	})
}

// A node that is told to end by a signal does so without a failure for clients of the others.
func TestEndOfANodeIsNotSeenAtTheOthers(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	n, others := c.Nodes[0], c.Nodes[1:]
	p, ended := c.probe(100, others...)
	c.further(p, 100)
	n.Proc.Stop()
	c.further(p, 300)
	if r := ended(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed: %v", r.Failed, r.Sent, r.Failures)
	}
	for _, o := range others {
		c.until(o.Name+" names the other one and itself", func() error { // which may have been late for a moment
			if names := c.Dig(o.Host.Addr.String(), app, "A"); len(names) != 2 || slices.Contains(names, n.Host.Addr.String()) {
				return fmt.Errorf("DNS names %v", names)
			}
			return nil
		})
	}
}

// A node whose sockets a service manager keeps is restarted in place without refusing anybody.
func TestRestartInPlaceRefusesNobody(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	n := c.Nodes[0]
	n.Proc.Stop()
	c.must(n.Keep())
	c.restart(n.Proc)
	c.until("it serves again", func() error {
		_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
		return err
	})
	p, ended := c.probe(20, n) // what comes meanwhile waits, and a node takes no more than inbound.PerIP of one address at once: 12 s of these
	for range 3 {
		c.further(p, 20)
		n.Proc.Stop()
		c.restart(n.Proc)
	}
	c.further(p, 80)
	if r := ended(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed: %v", r.Failed, r.Sent, r.Failures)
	}
}

// A node that an operator drains is named no longer, serves who still comes, and ends by itself.
func TestDrainedNodeEnds(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	n, other := c.Nodes[0], c.Nodes[1]
	c.warren("node", "drain", n.Name, "--wait")
	for _, at := range []*cluster.Node{n, other} {
		c.until(at.Name+" names the others", func() error { // a question may be lost
			names := c.Dig(at.Host.Addr.String(), app, "A")
			if slices.Contains(names, n.Host.Addr.String()) {
				t.Errorf("DNS of %s names %v", at.Name, names)
			}
			if len(names) == 0 {
				return errors.New("no answer")
			}
			return nil
		})
	}
	c.answered("https://"+app+"/", cluster.At(n, app)...)        // of somebody who has its address from before
	lab.Eventually(t, 2*patience, "it has ended", func() error { // its name is kept for half a minute, and what it carries has as long to end
		if n.Proc.Running() {
			return syscall.EBUSY
		}
		return nil
	})
	if code := n.Proc.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	c.restart(n.Proc)
	c.until("it serves again", func() error {
		_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
		return err
	})
	c.warren("node", "activate", n.Name, "--wait")
	c.until("it is named again", func() error { // its own last word was that it drains: the next one comes by gossip
		if names := c.Dig(other.Host.Addr.String(), app, "A"); !slices.Contains(names, n.Host.Addr.String()) {
			return fmt.Errorf("DNS of %s names %v", other.Name, names)
		}
		return nil
	})
}
