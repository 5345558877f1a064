//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// carriers are what the nodes with tunnels to a site say of them: "carrier by transport".
func (c *suite) carriers(s *cluster.Site, at ...*cluster.Node) ([]string, error) {
	var st struct {
		Nodes []struct {
			Name    string `json:"name"`
			Tunnels []struct {
				Peer      string `json:"peer"`
				Up        bool   `json:"up"`
				Carrier   string `json:"carrier"`
				Transport string `json:"transport"`
			} `json:"tunnel_states"`
		} `json:"nodes"`
		Connectors []struct {
			ID   string `json:"id"`
			Site string `json:"site"`
		} `json:"connectors"`
	}
	if err := c.JSON(&st, "status"); err != nil {
		return nil, err
	}
	var out []string
	for _, k := range st.Connectors {
		for _, n := range st.Nodes {
			for _, t := range n.Tunnels {
				here := len(at) == 0 || slices.ContainsFunc(at, func(a *cluster.Node) bool { return a.Name == n.Name })
				if here && k.Site == s.Name && t.Peer == k.ID && t.Up {
					out = append(out, t.Carrier+" by "+t.Transport)
				}
			}
		}
	}
	return out, nil
}

// Where a connector may have an interface of its system, as its nodes do, TCP goes through the tunnel; while
// UDP is blocked it goes over streams, and not in TCP in TLS. Without such an interface it goes over streams, and through
// the tunnel while those are blocked.
func TestTUNAtBothEndsCarriesTCP(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	site := c.Sites[0]
	_, inside := c.without(site)
	shows := func(what, want string) {
		t.Helper()
		c.until(what, func() error {
			got, err := c.carriers(site)
			if err != nil || len(got) != len(inside) || strings.Count(strings.Join(got, ","), want) != len(inside) {
				return fmt.Errorf("%q, want %s each: %w", got, want, err)
			}
			return nil
		})
		for _, n := range inside {
			if r := c.answered("https://"+app+"/", cluster.At(n, app)...); r.Name != "web" {
				t.Errorf("%s: %+v", n.Name, r)
			}
		}
	}
	shows("a connector without an interface gets streams", "stream by udp")
	c.must(site.Net.Router.BlockTCP(443))
	shows("no stream gets to the nodes, and the tunnel stands in", "wireguard by udp")
	c.must(site.Net.Router.AllowTCP())
	shows("streams work again", "stream by udp")

	conf := filepath.Join(c.Dir, site.Name+".yaml")
	b, err := os.ReadFile(conf)
	c.must(err)
	c.must(os.WriteFile(conf, []byte(strings.Replace(string(b), "tunnel: netstack", "tunnel: auto", 1)), 0o600))
	site.Proc.Stop()
	// Without a stream the nodes say that the tunnel stands in, until they notice that this is gone, too. Seen later, that
	// would be taken for what comes next.
	c.until("its nodes notice that it is gone", func() error {
		got, err := c.carriers(site)
		if err != nil || len(got) != 0 {
			return fmt.Errorf("%q: %w", got, err)
		}
		return nil
	})
	c.restart(site.Proc)
	c.until("it takes an interface", func() error {
		out, err := site.Connector.Command("ip", "-6", "-o", "route", "show", "dev", "warren0").CombinedOutput()
		if lines := strings.Count(string(out), "fd57:6172:7265:"); err != nil || lines < len(inside) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	for _, n := range inside { // the stream is there before the node has heard, by it, of the interface
		c.until(n.Name+" prefers the tunnel", func() error {
			if log := n.Proc.Log(); !strings.Contains(log, "from=stream to=wireguard") {
				return errors.New("it does not say so")
			}
			return nil
		})
	}
	shows("TCP goes through the tunnel", "wireguard by udp")
	before := c.received(site)
	for _, n := range inside {
		for range 20 {
			c.answered("https://"+app+"/", cluster.At(n, app)...)
		}
	}
	if got := c.received(site) - before; got < 40 {
		t.Errorf("%d packets came through the interface for 40 requests", got)
	}

	c.must(site.Net.Router.BlockUDP())
	shows("UDP is blocked", "stream by tls")
	c.must(site.Net.Router.AllowUDP())
	shows("UDP works again", "wireguard by udp")
}

// received is how many packets a connector's interface has taken out of its tunnels.
func (c *suite) received(s *cluster.Site) (n int) {
	c.t.Helper()
	if _, err := fmt.Sscan(s.Connector.Run("cat", "/sys/class/net/warren0/statistics/rx_packets"), &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}
