//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// A connector's machine gets another address, and loses its link for a moment. Its tunnels follow because the system
// tells of it, and requests go through them.
func TestTunnelsFollowTheMachinesAddresses(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	site := c.Sites[0]
	c.apply("apiVersion: warren/v1\nkind: Site\nmetadata: {name: s1}\nspec: {pool: default, tunnels: 2, carrier: wireguard}\n", "--wait")
	_, inside := c.without(site)
	const told = "network changed, calling all peers"
	times := 0
	follows := func(what string, script string) {
		t.Helper()
		site.Connector.Run("sh", "-ec", script)
		c.until(what+": the connector hears of it", func() error {
			n := strings.Count(site.Proc.Log(), told)
			if n <= times {
				return fmt.Errorf("%d times so far", n)
			}
			return nil
		})
		c.until(what+": streams go through tunnels", func() error {
			got, err := c.carriers(site)
			if err != nil || len(got) != len(inside) || strings.Count(strings.Join(got, ","), "wireguard by udp") != len(inside) {
				return fmt.Errorf("%q: %w", got, err)
			}
			return nil
		})
		for _, n := range inside {
			c.until(what+": served at "+n.Name, func() error { // what was shown may be of before, and the node just find the tunnel down
				_, err := c.Curl("https://"+app+"/", append(cluster.At(n, app), "--max-time", "5")...)
				return err
			})
		}
		times = strings.Count(site.Proc.Log(), told)
	}
	follows("another address", `ip addr add 10.77.1.3/24 dev eth0
ip addr del 10.77.1.2/24 dev eth0
ip addr replace 10.77.1.3/24 dev eth0
ip route replace default via 10.77.1.1`)
	follows("the link goes down and comes up", `ip link set eth0 down
sleep 2
ip link set eth0 up
ip route replace default via 10.77.1.1`)
}
