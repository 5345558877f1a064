//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/test/lab"
)

// names is a DNS server of a few names, whose addresses change.
type names struct {
	mu    sync.Mutex
	addrs map[string][]string // guarded by mu
	asked map[string]int      // guarded by mu
}

// serve answers on a host until the test ends.
func (n *names) serve(c *suite, h *lab.Host) {
	c.t.Helper()
	var srv *dns.Server
	c.must(c.Lab.Try(func() error {
		srv = &dns.Server{PacketConn: h.ListenUDP(53), Handler: n}
		return nil
	}))
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ActivateAndServe() }()
	c.t.Cleanup(func() { _ = srv.PacketConn.Close(); <-done })
}

func (n *names) set(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addrs == nil {
		n.addrs, n.asked = map[string][]string{}, map[string]int{}
	}
	n.addrs[dns.Fqdn(name)] = addrs
}

func (n *names) times(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[dns.Fqdn(name)]
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg)
	a.SetReply(q)
	n.mu.Lock()
	name := strings.ToLower(q.Question[0].Name)
	addrs, ok := n.addrs[name]
	n.asked[name]++
	n.mu.Unlock()
	if !ok {
		a.Rcode = dns.RcodeNameError
	}
	for _, text := range addrs {
		ip := netip.MustParseAddr(text)
		h := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: 0}
		switch {
		case ip.Is4() && q.Question[0].Qtype == dns.TypeA:
			h.Rrtype = dns.TypeA
			a.Answer = append(a.Answer, &dns.A{Hdr: h, A: ip.AsSlice()})
		case ip.Is6() && q.Question[0].Qtype == dns.TypeAAAA:
			h.Rrtype = dns.TypeAAAA
			a.Answer = append(a.Answer, &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()})
		}
	}
	_ = w.WriteMsg(a)
}

// The control plane moves to another address, of which only DNS tells. Beside the one that serves, the name has
// addresses where nobody is, of both families.
func TestControlAddressIsLookedUpAnew(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	const control = "control.example"
	var dns names
	dns.set(control, "2001:db8::dead", "198.18.9.9", "198.18.1.1", "198.18.9.10")
	ns := c.Lab.Host("ns", "198.18.7.1")
	dns.serve(c, ns)

	site, node := c.Sites[0], c.Nodes[0]
	site.Connector.Resolver(ns.Addr)
	node.Host.Resolver(ns.Addr)
	for name, p := range map[string]*lab.Process{site.Name: site.Proc, node.Name: node.Proc} {
		conf := filepath.Join(c.Dir, name+".yaml")
		b, err := os.ReadFile(conf)
		c.must(err)
		c.must(os.WriteFile(conf, []byte(strings.Replace(string(b), "198.18.1.10:8443", control+":8443", 1)), 0o600))
		p.Stop()
		c.restart(p)
	}
	at := func(replica string) {
		t.Helper()
		c.until("node and connector are at "+replica, func() error {
			var st struct {
				Replicas          []struct{ ID string }
				Nodes, Connectors []struct{ Name, State, Replica string }
			}
			host := c.Lab.Find(replica)
			out, err := host.Command("curl", "-sSf", "-H", "Authorization: Bearer "+c.Key, fmt.Sprintf("http://%s:8080/api/v1/status", host.Addr)).Output()
			if err != nil {
				return err
			}
			if err := json.Unmarshal(out, &st); err != nil {
				return err
			}
			found := 0
			for _, m := range append(st.Nodes, st.Connectors...) {
				if m.State == "up" && m.Replica == st.Replicas[0].ID && (m.Name == node.Name || m.Name == site.Name+"-con") {
					found++
				}
			}
			if found != 2 {
				return fmt.Errorf("%d of 2: %s", found, out)
			}
			return nil
		})
	}
	at("control1")
	before := dns.times(control)
	dns.set(control, "2001:db8::dead", "198.18.9.9", "198.18.1.2", "198.18.9.10")
	c.Control[0].Kill()
	at("control2")
	if dns.times(control) == before {
		t.Error("nobody asked for the name again")
	}
}
