//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// elsewhere is a name server that is none of ours, and knows no name.
const elsewhere = "198.18.3.3"

// misled are domains that an authority would refuse, what the root zone says of them, and what their refusal says.
var misled = []struct{ domain, records, says string }{
	{"wrong.test", "wrong.test. 60 IN NS ns.elsewhere.test.\n", "wrong.test is delegated to ns.elsewhere.test"},
	{"extra.test", "extra.test. 60 IN NS ns-n1.extra.test.\nextra.test. 60 IN NS ns.elsewhere.test.\nns-n1.extra.test. 60 IN A 198.18.2.1\n", "names ns.elsewhere.test beside our nodes"},
	{"lame.test", "lame.test. 60 IN NS ns-n1.lame.test.\nlame.test. 60 IN NS ns-n3.lame.test.\nns-n1.lame.test. 60 IN A 198.18.2.1\nns-n3.lame.test. 60 IN A 198.18.2.3\n", "ns-n3.lame.test (198.18.2.3), which"},
	{"forbids.test", "forbids.test. 60 IN CAA 0 issue \"other.example\"\n_acme-challenge.forbids.test. 60 IN CNAME _acme-challenge.forbids." + domain + ".\n", "CAA at forbids.test"},
	{"stray.test", "_acme-challenge.stray.test. 60 IN CNAME somewhere.elsewhere.test.\n", "_acme-challenge.stray.test is an alias (CNAME) of somewhere.elsewhere.test"},
	{"signed.test", "signed.test. 60 IN NS ns-n1.signed.test.\nns-n1.signed.test. 60 IN A 198.18.2.1\nsigned.test. 60 IN DS 12345 13 2 " + strings.Repeat("ab", 32) + "\n", "has a DS record for signed.test"},
}

// led are domains that lead to the nodes without being delegated: by the name of their challenges, by addresses, by an alias.
const led = "www.aliased.test. 60 IN CNAME " + app + ".\n_acme-challenge.aliased.test. 60 IN CNAME _acme-challenge.aliased." + domain + ".\n" +
	"one.far.test. 60 IN A 198.18.2.1\none.far.test. 60 IN A 198.18.2.2\none.far.test. 60 IN A 198.18.2.3\ntwo.far.test. 60 IN CNAME " + app + ".\n"

// The whole way with nothing put in anything's place: the control plane looks at the DNS from the root down, the authority asks real nodes
// through Unbound, and a proxy that fails stands before it. What would be refused is refused before the authority hears anything, with its
// reason on the domain; what leads here is proved by what there is, once.
func TestAuthorityAsksRealNodes(t *testing.T) {
	root := led + "ns.elsewhere.test. 60 IN A " + elsewhere + "\n"
	for _, m := range misled {
		root += m.records
	}
	c := newClusterOf(t, cluster.Config{Root: root})
	c.knowsNothing(elsewhere)
	proxy, err := c.StartAuthorityBehind(t.Context(), acmetest.Config{HTTPPort: 80, TLSPort: 443, CAAIdentities: []string{"pebble.test"}}, 1)
	c.must(err)
	t.Cleanup(proxy.Stop)
	c.web(c.Sites[0], "web", "10.77.1.10", 8080)
	publish := func(hosts ...string) {
		t.Helper()
		var all []string
		for _, h := range hosts {
			all = append(all, cluster.Service(strings.ReplaceAll(h, ".", "-"), "http", h, "s1", "10.77.1.10", 8080))
		}
		c.apply(strings.Join(all, "---\n"), "--wait")
	}

	c.must(c.Nodes[2].Host.BlockUDP(53))
	for _, m := range misled {
		c.warren("create", "domain", m.domain, "--pool", "default")
	}
	for _, m := range misled {
		publish("www." + m.domain)
	}
	for _, m := range misled {
		c.ordered(m.domain+" is refused", func() error {
			var d struct{ Problem string }
			if err := c.JSON(&d, "get", "domain", m.domain); err != nil || !strings.Contains(d.Problem, m.says) {
				return fmt.Errorf("it says %q, %v", d.Problem, err)
			}
			return nil
		})
	}
	if n := proxy.Requests(); len(n) != 0 {
		t.Errorf("the authority was asked: %v", n)
	}
	c.warren("delete", "service", "www-lame-test", "--yes") // nothing will be wrong with it from here on
	c.must(c.Nodes[2].Host.AllowUDP())

	proxy.Set(acmetest.Faults{Fail: 0.05})
	for kind, faults := range map[acmetest.Kind][]acmetest.Fault{
		acmetest.NewAccount: {acmetest.Lose}, acmetest.NewOrder: {acmetest.Fail, acmetest.Lose}, acmetest.AuthzRead: {acmetest.HTML}, acmetest.Initiate: {acmetest.Lose},
		acmetest.Finalize: {acmetest.HTMLAfter, acmetest.Lose}, acmetest.OrderRead: {acmetest.Fail, acmetest.Trickle}, acmetest.Download: {acmetest.Fail},
	} {
		proxy.Next(kind, faults...)
	}
	roots, _ := c.pebbleRoots()
	publish(app)
	c.shown(roots, app, domain, "*."+domain)
	for _, name := range []string{"aliased.test", "far.test"} {
		c.warren("create", "domain", name, "--pool", "default")
	}
	publish("www.aliased.test", "one.far.test", "two.far.test")
	c.shown(roots, "www.aliased.test", "*.aliased.test", "aliased.test")
	c.shown(roots, "one.far.test", "one.far.test")
	c.shown(roots, "two.far.test", "two.far.test")

	sets := []string{"*." + domain + "," + domain, "*.aliased.test,aliased.test", "one.far.test", "two.far.test"}
	orders := proxy.NewOrders()
	for _, names := range sets {
		if orders[names] != 1 {
			t.Errorf("%d orders of %s", orders[names], names)
		}
	}
	if by := proxy.Initiated(); len(orders) != len(sets) || by["dns-01"] != 4 || by["http-01"] != 2 || len(by) != 2 {
		t.Errorf("orders %v, proved by %v", orders, by)
	}
	if f := proxy.FailedValidations(); len(f)+len(proxy.InvalidOrders()) != 0 {
		t.Errorf("failed validations: %v", f)
	}
	t.Log(proxy)
	c.until("it is measured when every node had them", func() error {
		spread := 0.0
		for _, p := range c.Control {
			spread += c.seriesAt(p.Host, "cp_certificate_spread_seconds_count")
		}
		if int(spread) != len(sets) {
			return fmt.Errorf("of %v certificates, want %d", spread, len(sets))
		}
		return nil
	})
	before := c.shown(roots, app, domain, "*."+domain)
	c.warren("cert", "renew", domain, "--wait")
	c.until("nodes show another certificate than before", func() error { // it is there, and on its way to them
		if after := c.shown(roots, app, domain, "*."+domain); after == before {
			return fmt.Errorf("all still show %s", after)
		}
		return nil
	})
	c.until("both orders are over", func() error { // a moment after the last node has shown the certificate
		if out := c.warren("cert", "describe", domain); strings.Count(out, "all nodes have the certificate") != 2 || strings.Count(out, ": acked") != 2 {
			return errors.New(out)
		}
		return nil
	})
}

// knowsNothing is a name server that answers every question with authority, and that nothing is there.
func (c *suite) knowsNothing(addr string) {
	c.t.Helper()
	h := c.Lab.Host("elsewhere", addr)
	for _, s := range []*dns.Server{{PacketConn: h.ListenUDP(53)}, {Listener: h.Listen(53)}} {
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			_ = w.WriteMsg(m)
		})
		done := make(chan struct{})
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		c.t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
}

// pebbleRoots are what Pebble's certificates are verified with.
func (c *suite) pebbleRoots() (roots *x509.CertPool, text string) {
	c.t.Helper()
	roots = x509.NewCertPool()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // who answers at this address of the lab is known
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return c.Admin.Dial(ctx, network, to)
		},
	}}
	c.until("Pebble's root", func() error {
		resp, err := client.Get("https://198.18.3.2:15000/roots/0")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && !roots.AppendCertsFromPEM(b) {
			err = errors.New("no certificate")
		}
		text = string(b)
		return err
	})
	return roots, text
}

// ordered waits for what comes of an order, or of a look at the DNS before one: what fails once, as one question may be late, is tried again
// after a minute.
func (c *suite) ordered(what string, ok func() error) {
	c.t.Helper()
	lab.Eventually(c.t, 3*patience, what, ok)
}

// shown waits until every node shows one certificate for a name, which somebody who trusts the roots takes and which carries these names,
// and returns its serial number.
func (c *suite) shown(roots *x509.CertPool, name string, names ...string) (serial string) {
	c.t.Helper()
	want := map[string]bool{}
	for _, n := range names {
		want[n] = true
	}
	c.ordered("every node shows the certificate of "+name, func() error {
		serial = ""
		for _, n := range c.Nodes {
			leaf, err := c.leaf(n, roots, name)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			for _, has := range leaf.DNSNames {
				if len(leaf.DNSNames) != len(want) || !want[has] {
					return fmt.Errorf("%s: it carries %v", n.Name, leaf.DNSNames)
				}
			}
			if got := leaf.SerialNumber.String(); serial != "" && got != serial {
				return errors.New("not all have the same yet")
			}
			serial = leaf.SerialNumber.String()
		}
		return nil
	})
	return serial
}

// leaf is the certificate that a node shows for a name, verified.
func (c *suite) leaf(n *cluster.Node, roots *x509.CertPool, name string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	raw, err := c.Client.Dial(ctx, "tcp", netip.AddrPortFrom(n.Host.Addr, 443))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: name})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}
