//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab"
)

// foundNetwork is what "warren netcheck" says.
type foundNetwork struct {
	TCP, UDP bool
	Best     string
	NAT      []struct {
		Family, Mapping string
		Seen            map[string]string
	}
	Nodes []struct {
		Node, TCP, UDP string
		PathMTU        int `json:"path_mtu"`
	}
}

// On the machine of a connector, without a control plane, netcheck says what the NAT before it does: keep one port for all nodes, or
// take another one for each, and that UDP does not get through.
func TestNetcheckBehindNAT(t *testing.T) {
	c := newCluster(t)
	bin, err := filepath.Abs("../../bin/warren")
	c.must(err)
	var nodes []string
	for _, n := range c.Nodes {
		nodes = append(nodes, n.Host.Addr.String())
	}
	// found is what it says on a host, as soon as that is as expected: a packet may be lost.
	found := func(what string, on *lab.Host, ok func(foundNetwork) bool) {
		t.Helper()
		c.until(what, func() error {
			out, err := on.Command(bin, append([]string{"netcheck", "-o", "json"}, nodes...)...).Output()
			var n foundNetwork
			if jerr := json.Unmarshal(out, &n); err != nil || jerr != nil {
				return fmt.Errorf("%v, %v: %s", err, jerr, out)
			}
			if !n.TCP || n.Best == "" || len(n.Nodes) != len(nodes) || !ok(n) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	site := c.Sites[0]
	wan := site.Net.Router.Addr.String()
	is := func(n foundNetwork, mapping string) bool {
		if !n.UDP || len(n.NAT) != 1 || n.NAT[0].Family != "IPv4" || n.NAT[0].Mapping != mapping || len(n.NAT[0].Seen) != len(nodes) {
			return false
		}
		for _, as := range n.NAT[0].Seen {
			if mapping != "none" && !strings.HasPrefix(as, wan+":") {
				return false
			}
		}
		return true
	}
	found("no NAT before a machine on the internet", c.Client, func(n foundNetwork) bool { return is(n, "none") })
	found("a NAT that keeps a port", site.Connector, func(n foundNetwork) bool {
		return is(n, "endpoint-independent") && n.Nodes[0].PathMTU >= 1280 && n.Nodes[0].UDP == "ok"
	})
	site.Net.Router.Run("nft", "insert", "rule", "inet", "translate", "out", "oifname", "eth0", "meta", "l4proto", "udp", "masquerade", "fully-random")
	found("a NAT that takes a port for each node", site.Connector, func(n foundNetwork) bool { return is(n, "address-dependent") })
	c.must(site.Net.Router.BlockUDP())
	found("a network without UDP", site.Connector, func(n foundNetwork) bool { return !n.UDP && n.Nodes[0].TCP == "ok" })
	c.until("it says so in words", func() error {
		out, err := site.Connector.Command(bin, append([]string{"netcheck"}, nodes...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Without UDP tunnels go inside TLS") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
