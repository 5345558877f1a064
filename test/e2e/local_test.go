//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// A web server beside two of the nodes is published without a connector: all nodes answer for it, those two
// from their own network, and the third by way of them.
func TestLocalSiteIsServedByAllNodes(t *testing.T) {
	c := newCluster(t)
	host := c.Lab.Host("beside", "198.18.6.1")
	var web patient
	web.listen(c, host, "beside", 8080)
	// The guard of its network lets in those two only: no other node can have dialled it.
	host.Run("sh", "-c", fmt.Sprintf(`nft add table ip guard
nft 'add chain ip guard in { type filter hook input priority 0; policy drop; }'
nft add rule ip guard in ct state established,related accept
nft add rule ip guard in ip saddr '{ %s, %s }' accept`, c.Nodes[0].Host.Addr, c.Nodes[1].Host.Addr))
	c.warren("create", "site", "shed", "--pool", "default", "--kind", "local", "--nodes", "n1,n2", "--wait")
	c.apply(cluster.Service("app", "http", app, "shed", host.Addr.String(), 8080)+"---\n"+
		raw("raw", "tcp", "5432", "shed", host.Addr.String(), 8080), "--wait")
	for _, n := range c.Nodes {
		if r := c.answered("https://"+app+"/", cluster.At(n, app)...); r.Name != "beside" {
			t.Errorf("%s: %+v", n.Name, r)
		}
		if r := c.answered("http://"+app+":5432/", "--resolve", app+":5432:"+n.Host.Addr.String()); r.Name != "beside" {
			t.Errorf("%s, port: %+v", n.Name, r)
		}
	}
	peers := web.seen()
	want := []string{c.Nodes[0].Host.Addr.String(), c.Nodes[1].Host.Addr.String()}
	if !slices.Equal(peers, want) {
		t.Errorf("the target was dialled by %v, want %v", peers, want)
	}

	// One of the two dies: the other one carries on for all.
	c.Nodes[0].Proc.Kill()
	for _, n := range c.Nodes[1:] {
		c.until(n.Name+" answers without n1", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	c.restart(c.Nodes[0].Proc)
	c.until("n1 serves it from its disk", func() error {
		_, err := c.Curl("https://"+app+"/", cluster.At(c.Nodes[0], app)...)
		return err
	})

}

// The nodes of a local site check its targets: one that fails is shown so, and gets no request from any node.
func TestTargetsOfLocalSitesAreChecked(t *testing.T) {
	c := newCluster(t)
	var well, sick patient
	one, two := c.Lab.Host("one", "198.18.6.1"), c.Lab.Host("two", "198.18.6.2")
	well.listen(c, one, "one", 8080)
	sick.listen(c, two, "two", 8080)
	c.warren("create", "site", "shed", "--pool", "default", "--kind", "local", "--nodes", "n1,n2", "--wait")
	c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Service\nmetadata: {name: app}\nspec: {kind: http, hostname: %s, pool: default}\n", app)+
		checkedTarget("app-one", "shed", one.Addr.String())+checkedTarget("app-two", "shed", two.Addr.String()), "--wait")
	c.shownHealth("healthy", "app-one", "app-two")
	sick.ill.Store(true)
	c.shownHealth("unhealthy", "app-two")
	c.until("no node sends to it", func() error {
		before := sick.requests.Load()
		for _, n := range c.Nodes {
			for range 8 {
				c.answered("https://"+app+"/", cluster.At(n, app)...)
			}
		}
		if n := sick.requests.Load() - before; n != 0 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
}

// No service leads to the node that a local site names: neither to its loopback, which is refused by name, nor
// to an address of its own.
func TestLocalSiteDoesNotOpenTheNodeItself(t *testing.T) {
	c := newCluster(t)
	n1 := c.Nodes[0]
	var trap patient
	trap.listen(c, n1.Host, "trap", 8081)
	c.warren("create", "site", "self", "--pool", "default", "--kind", "local", "--nodes", n1.Name, "--wait")
	c.apply(cluster.Service("own", "http", "own."+domain, "self", n1.Host.Addr.String(), 8081), "--wait")
	c.apply(cluster.Service("admin", "http", "admin."+domain, "self", "127.0.0.1", 9090)) // of n1; see test/lab/cluster
	var debug struct {
		Resources []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"resources"`
	}
	c.until("the node says why not its loopback", func() error {
		c.api("GET", "/debug/snapshots/"+n1.Name, nil, &debug)
		for _, r := range debug.Resources {
			if r.Type == "Site" && r.Status == "rejected" && strings.Contains(r.Reason, "loopback") {
				return nil
			}
		}
		return fmt.Errorf("%+v", debug.Resources)
	})
	for _, name := range []string{"own", "admin"} {
		for _, n := range c.Nodes {
			c.until(n.Name+" knows "+name+", and reaches nothing", func() error {
				out, err := c.Client.Command("curl", append(cluster.At(n, name+"."+domain),
					"-sS", "--max-time", "15", "--cacert", c.WebCA(), "-o", "/dev/null", "-w", "%{http_code}", "https://"+name+"."+domain+"/metrics")...).CombinedOutput()
				if code := string(out); code == "200" {
					t.Errorf("%s leads to n1 itself by %s", n.Name, name)
				} else if code != "502" && code != "503" && code != "504" {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		}
	}
	if n := trap.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the node itself", n)
	}
	// What would have answered does, from the node.
	for _, at := range []string{n1.Host.Addr.String() + ":8081", "127.0.0.1:9090"} {
		n1.Host.Run("curl", "-sSf", "-o", "/dev/null", "http://"+at+"/metrics")
	}
}
