//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// directory is a name server that knows one address of whatever it is asked.
type directory struct {
	mu   sync.Mutex
	addr netip.Addr // guarded by mu
}

func (d *directory) set(addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addr = addr
}

func (d *directory) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	if q.Question[0].Qtype == dns.TypeAAAA {
		m.Answer = append(m.Answer, &dns.AAAA{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeAAAA, Class: dns.ClassINET}, AAAA: d.addr.AsSlice()})
	}
	_ = w.WriteMsg(m)
}

// nameServer starts one on the internet.
func (c *suite) nameServer(knows netip.Addr) (*directory, netip.Addr) {
	c.t.Helper()
	d, host := &directory{addr: knows}, c.Lab.Host("names", "2001:db8:1::53")
	s, done := &dns.Server{PacketConn: host.ListenUDP(53), Handler: d}, make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	c.t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return d, host.Addr
}

// A node's endpoints are a name. Its address changes, the name follows, and the connector is back by both of its
// carriers without anybody's help; nodes that can't look the name up go on by the address that they know. The site
// has IPv6 alone: a connector goes back to an address at which the node has answered, and by IPv4 it still would.
func TestConnectorFollowsANodesName(t *testing.T) {
	c := sixAndBoth(t)
	site, n := c.Sites[0], c.Nodes[0]
	six := n.Host.Addrs()[1]
	names, at := c.nameServer(six)
	site.Connector.Resolver(at)
	c.must(site.Proc.Restart())
	c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Node\nmetadata: {name: %s}\nspec: {pool: default, wireguard_endpoint: \"edge.lab.test:51820\", stream_endpoint: \"edge.lab.test:443\"}\n", n.Name), "--wait")
	there := func(what, want string) {
		t.Helper()
		since := time.Now()
		defer func() { t.Logf("%s: after %v", what, time.Since(since).Round(time.Millisecond)) }()
		c.until(what, func() error {
			got, err := c.carriers(site, n)
			if err == nil && strings.Join(got, ", ") != want {
				err = fmt.Errorf("carriers at %s: %q, want %q", n.Name, got, want)
			}
			return err
		})
	}
	const both = "stream by udp" // streams carry TCP, and the tunnel goes by UDP
	there("by its name", both)

	moved := netip.MustParseAddr("2001:db8:2::101")
	c.must(n.Host.ChangeAddr(moved.String()))
	there("at another address, unknown to the name server", "")
	names.set(moved)
	c.until("the connector says that the name has followed", func() error { // a replica may still show what was before
		if log := site.Proc.Log(); !strings.Contains(log, "a peer's name has another address") {
			return errors.New("it says nothing of it")
		}
		return nil
	})
	there("the name has followed", both)
	host := "app." + site.Name + "." + domain
	c.answered("https://"+host+"/", cluster.At(n, host)...)
}
