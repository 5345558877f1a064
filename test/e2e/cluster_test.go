//go:build e2e

// Package e2e runs the real programs on hosts made of network namespaces; test/lab/cluster says which hosts.
package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// patience is how long the slowest step may take on a busy machine. Tests assert what happens, not how fast.
const patience = 60 * time.Second

const domain = cluster.Domain

// A suite is a cluster whose failures are its test's.
type suite struct {
	*cluster.Cluster
	t *testing.T
}

func newCluster(t *testing.T) *suite {
	t.Helper()
	return newClusterOf(t, cluster.Config{})
}

func newClusterOf(t *testing.T, cfg cluster.Config) *suite {
	t.Helper()
	cfg.Bin, cfg.Patience = "../../bin", patience
	c, err := cluster.Start(t.Context(), lab.New(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &suite{c, t}
}

func (c *suite) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *suite) until(what string, ok func() error) {
	c.t.Helper()
	lab.Eventually(c.t, patience, what, ok)
}

func (c *suite) write(name, text string) string {
	c.t.Helper()
	path, err := c.Write(name, text)
	c.must(err)
	return path
}

func (c *suite) sql(query string) {
	c.t.Helper()
	c.must(c.SQL(query))
}

func (c *suite) warren(args ...string) string {
	c.t.Helper()
	out, err := c.Warren(args...)
	c.must(err)
	return out
}

func (c *suite) json(v any, args ...string) {
	c.t.Helper()
	c.must(c.JSON(v, args...))
}

func (c *suite) api(method, path string, in io.Reader, out any) {
	c.t.Helper()
	c.must(c.API(c.t.Context(), method, path, in, out))
}

func (c *suite) web(s *cluster.Site, name, addr string, port int, certs ...tls.Certificate) {
	c.t.Helper()
	c.must(c.Web(s, name, addr, port, certs...))
}

func (c *suite) apply(yaml string, args ...string) {
	c.t.Helper()
	c.must(c.Apply(yaml, args...))
}

func (c *suite) restart(p *lab.Process) {
	c.t.Helper()
	c.must(p.Restart())
}

// without returns the node that keeps no tunnels to a site: two of three do.
func (c *suite) without(s *cluster.Site) (outside *cluster.Node, inside []*cluster.Node) {
	c.t.Helper()
	c.until("site "+s.Name+" has tunnels to two of three nodes", func() error {
		none, up, err := c.Without(s)
		if err != nil || len(none) != 1 || len(up) != 2 {
			return fmt.Errorf("to %d nodes, %v", len(up), err)
		}
		outside, inside = none[0], up
		return nil
	})
	return outside, inside
}
