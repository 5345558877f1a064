//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// Clients are sent to nodes of their own region while there is one; a region is lost whole, with the control plane gone
// as well: the other one is answered with, and serves a site of the lost region by the tunnel that it has for that.
func TestRegionIsLostWhole(t *testing.T) {
	c := newCluster(t)
	c.apply("apiVersion: warren/v1\nkind: Region\nmetadata: {name: eu}\n---\napiVersion: warren/v1\nkind: Region\nmetadata: {name: us}\n")
	for n, region := range map[string]string{"n1": "eu", "n2": "eu", "n3": "us"} {
		c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Node\nmetadata: {name: %s}\nspec: {pool: default, region: %s}\n", n, region), "--wait")
	}
	c.apply("apiVersion: warren/v1\nkind: Site\nmetadata: {name: s1}\nspec: {pool: default, tunnels: 2, region: eu}\n", "--wait")
	c.publishApp()
	eu, us := c.Nodes[:2], c.Nodes[2]
	c.until("the site has a tunnel in each region", func() error {
		_, inside, err := c.Without(c.Sites[0])
		if err == nil && (len(inside) != 2 || !slices.Contains(inside, us)) {
			err = fmt.Errorf("tunnels to %d nodes", len(inside))
		}
		return err
	})
	answer := func(what string, at *cluster.Node, want ...*cluster.Node) {
		t.Helper()
		var addrs []string
		for _, n := range want {
			addrs = append(addrs, n.Host.Addr.String())
		}
		slices.Sort(addrs)
		c.until(what+" at "+at.Name, func() error {
			got := c.Dig(at.Host.Addr.String(), app, "A")
			slices.Sort(got)
			if !slices.Equal(got, addrs) {
				return fmt.Errorf("%v, want %v", got, addrs)
			}
			return nil
		})
	}
	for _, n := range eu {
		answer("those near", n, eu...)
	}
	answer("all, as one near is not enough", us, c.Nodes...)

	for _, p := range c.Control {
		p.Kill()
	}
	for _, n := range eu {
		n.Proc.Kill()
	}
	answer("the other region's", us, us)
	c.answered("https://"+app+"/", cluster.At(us, app)...)

	for _, n := range eu {
		c.restart(n.Proc)
	}
	for _, n := range eu {
		answer("those near again", n, eu...)
		c.until("it serves", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	answer("all again", us, c.Nodes...)
}
