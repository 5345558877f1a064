//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// A node is cut off from the other nodes and the control plane, both ways or one, but not from clients and connectors: it
// serves whoever comes to it, those behind the other nodes do not miss it, and it is one of them again afterwards.
func TestNodeThatIsCutOffServes(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	_, inside := c.without(c.Sites[0])
	n := inside[0]
	var others []*cluster.Node
	var rest []*lab.Host
	for _, o := range c.Nodes {
		if o != n {
			others, rest = append(others, o), append(rest, o.Host)
		}
	}
	rest = append(rest, c.Balancer.Host, c.Control[0].Host, c.Control[1].Host)
	names := func(what string, at *cluster.Node, ok func(answer []string) bool) {
		t.Helper()
		c.until(what+" in the answers of "+at.Name, func() error {
			if got := c.Dig(at.Host.Addr.String(), app, "A"); !ok(got) {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
	}
	own := n.Host.Addr.String()
	alone := []*lab.Host{n.Host}
	for _, cut := range []struct {
		what string
		do   func() error
	}{
		{"both ways", func() error { return c.Lab.Partition(alone, rest) }},
		{"what it sends", func() error { return c.Lab.PartitionOneWay(alone, rest) }},
	} {
		c.must(cut.do())
		for _, o := range others {
			names(cut.what+": without it", o, func(got []string) bool { return len(got) == 2 && !slices.Contains(got, own) })
		}
		names(cut.what+": still itself", n, func(got []string) bool { return slices.Contains(got, own) })
		for _, at := range c.Nodes {
			c.until(cut.what+": served at "+at.Name, func() error {
				r, err := c.Curl("https://"+app+"/", append(cluster.At(at, app), "--max-time", "5")...)
				if err == nil && r.Name != "web" {
					err = fmt.Errorf("%+v", r)
				}
				return err
			})
		}
		c.must(c.Lab.Unite())
		for _, at := range c.Nodes {
			names("united after "+cut.what, at, func(got []string) bool { return len(got) == len(c.Nodes) })
		}
	}
}
