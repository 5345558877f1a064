//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// sixAndBoth starts a cluster whose nodes have addresses of both families: the first site has IPv6 alone, the second both.
// Each has a service.
func sixAndBoth(t *testing.T) *suite {
	t.Helper()
	cl, err := cluster.Start(t.Context(), lab.New(t), cluster.Config{Bin: "../../bin", Patience: patience, Nodes: 2, Families: []string{"6", "46"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &suite{cl, t}
	yaml := ""
	for i, s := range c.Sites {
		addr := fmt.Sprintf("fd00:77:%d::10", i+1)
		c.web(s, "web"+s.Name, addr, 8080)
		yaml += "---\n" + cluster.Service("app"+s.Name, "http", "app."+s.Name+"."+domain, s.Name, addr, 8080)
	}
	c.apply(yaml, "--wait")
	return c
}

// served waits until each node answers for a site, to clients of either family.
func (c *suite) served(s *cluster.Site, when string) {
	c.t.Helper()
	host := "app." + s.Name + "." + domain
	for _, n := range c.Nodes {
		for _, a := range n.Host.Addrs() {
			c.until(fmt.Sprintf("%s at %s of %s %s", host, a, n.Name, when), func() error {
				to := a.String()
				if a.Is6() {
					to = "[" + to + "]"
				}
				r, err := c.Curl("https://"+host+"/", "--resolve", host+":443:"+to, "--max-time", "5")
				if err == nil && r.Name != "web"+s.Name {
					err = fmt.Errorf("%+v", r)
				}
				return err
			})
		}
	}
}

// Sites with IPv6 alone and with both are served, and again by themselves after what happens to their networks.
func TestSitesOfEitherFamily(t *testing.T) {
	c := sixAndBoth(t)
	for _, s := range c.Sites {
		c.served(s, "at first")
	}
	for i, s := range c.Sites {
		c.must(s.Net.Rebind())
		c.served(s, "after other translations")
		c.must(s.Net.ChangeWAN(fmt.Sprintf("2001:db8:5::%d", i+100)))
		c.served(s, "after another address")
		c.must(s.Net.Router.BlockUDP())
		c.served(s, "without UDP")
		c.must(s.Net.Router.AllowUDP())
	}
	// IPv4 goes away from under the second, and the way to the control plane that it has used with it.
	both := c.Sites[1]
	both.Connector.Run("ip", "-4", "addr", "flush", "dev", "eth0")
	c.served(both, "without IPv4")
	c.until("it is with the control plane by IPv6", func() error { return c.tunnelsUp(both) })
	c.web(both, "late", "fd00:77:2::11", 8080)
	// Its connector may have been silent for so long by then that it counts as dead, and is not waited for.
	c.apply(cluster.Service("late", "http", "late."+domain, both.Name, "fd00:77:2::11", 8080), "--wait")
	for _, n := range c.Nodes {
		c.until("a new service of the site is served by "+n.Name, func() error {
			_, err := c.Curl("https://late."+domain+"/", append(cluster.At(n, "late."+domain), "--max-time", "5")...)
			return err
		})
	}
	// It is started again where IPv4 never was.
	c.restart(both.Proc)
	c.served(both, "started again without IPv4")
}
