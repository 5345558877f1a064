package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/dataplane/nettest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity/identitytest"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestPlaces(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.3")
	p := place{}
	is := func(when string, want netip.Addr) {
		t.Helper()
		if p.using != want {
			t.Errorf("%s: %v, want %v", when, p.using, want)
		}
	}
	p.learn(nil)
	p.next(nil)
	is("nothing is known", netip.Addr{})
	p.learn([]netip.Addr{a, b})
	is("first", a)
	p.learn([]netip.Addr{b, a})
	is("turned around", a)
	p.next([]netip.Addr{b, a})
	is("it does not answer", b)
	p.next([]netip.Addr{b, a})
	is("nor does the other", a)
	p.learn([]netip.Addr{c})
	is("another one", c)
	p.learn(nil)
	is("a lookup that failed", c)
	p.next([]netip.Addr{c})
	is("it is not there yet", a)
	p.next([]netip.Addr{c})
	is("nor here any more", c)
	p.before = netip.Addr{} // it has answered
	p.next([]netip.Addr{c})
	is("the only one", c)
}

// names is a name server of one name.
type names struct {
	mu  sync.Mutex
	has []netip.Addr // guarded by mu
}

func (n *names) set(addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.has = addrs
}

func (n *names) lookup(context.Context, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.has) == 0 {
		return nil, errors.New("no answer")
	}
	return n.has, nil
}

// A node is reached by a name. It starts anew elsewhere, knowing nobody, and the connector follows by itself.
func TestNodeIsFollowedByItsName(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		run := func(ctx context.Context, f func(context.Context) error) {
			running.Go(func() {
				if err := f(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		ca, internet, dns := identitytest.New(t), nettest.New(), &names{}
		defer internet.Close()
		conn := newSimEnd(t, ca, "connector", ConnectorRole, netip.MustParseAddr("fd57:6172:7265::100"), internet.Host(netip.MustParseAddr("198.19.0.1"), true))
		conn.names = dial.NewNames(dns.lookup, conn.renamed)
		asConn := []Peer{{ID: conn.id, Kind: Connector, Key: conn.opts.Key.Public(), Addr: conn.addr, Keepalive: 25 * time.Second}}
		key, err := wgkey.New()
		if err != nil {
			t.Fatal(err)
		}
		var node *simEnd
		stop := func() {}
		start := func(at string) netip.Addr {
			t.Helper()
			addr := netip.MustParseAddr(at)
			next := newSimEndOf(t, key, ca, "node", NodeRole, netip.MustParseAddr("fd57:6172:7265::1"), internet.Host(addr, false))
			stop()
			node = next
			nctx, cancel := context.WithCancel(ctx)
			ended := make(chan struct{})
			stop = func() { cancel(); <-ended; time.Sleep(time.Second) } // what it has said has arrived
			run(nctx, func(ctx context.Context) error { defer close(ended); return next.Run(ctx) })
			if err := node.Apply(ctx, Config{Addr: node.addr, Peers: asConn}); err != nil {
				t.Fatal(err)
			}
			node.hold(asConn)
			return addr
		}
		up := func(when string, within time.Duration) {
			t.Helper()
			start := time.Now()
			for time.Since(start) <= within {
				if conn.answeredSince(start) && conn.beats.Up("node") {
					t.Logf("%s: up after %v", when, time.Since(start))
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("%s: not up in %v", when, within)
		}
		first := start("198.18.2.1")
		asNode := []Peer{{ID: node.id, Kind: Node, Key: node.opts.Key.Public(), Addr: node.addr, Keepalive: 25 * time.Second, Endpoint: endpoint.MustParse("edge.example:51820")}}
		run(ctx, conn.Run)
		if err := conn.Apply(ctx, Config{Addr: conn.addr, Peers: asNode}); err != nil {
			t.Fatal(err)
		}
		conn.hold(asNode)
		time.Sleep(5 * time.Second)
		if conn.Up("node") {
			t.Error("up, though the name is not known")
		}
		dns.set(first)
		up("the name is known", 12*time.Second)

		dns.set(start("198.18.2.2"))
		up("the name follows at once", 12*time.Second)

		third := start("198.18.2.3")
		time.Sleep(40 * time.Second)
		if conn.Up("node") {
			t.Error("up, where nobody is")
		}
		dns.set(third)
		up("the name follows late", 8*time.Second)

		dns.set(netip.MustParseAddr("2001:db8::ffff"), third, start("2001:db8::4"))
		up("one of three addresses", 25*time.Second)

		dns.set(netip.MustParseAddr("198.18.2.5"))
		time.Sleep(70 * time.Second)
		up("the name is ahead of the node, which is where it was", 25*time.Second)
		start("198.18.2.5")
		up("the node has come after", 25*time.Second)

		dns.set()
		node.host.Cut(true, true)
		time.Sleep(5 * time.Minute)
		if err := conn.Apply(ctx, Config{Addr: conn.addr, Peers: asNode}); err != nil {
			t.Fatal(err)
		}
		node.host.Cut(false, false)
		up("without a name server", 12*time.Second)
	})
}

// Before a name is looked up, and where it can't be, the address that it is known to have had is as good.
func TestNameWithAnAddress(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	tn, err := New(options(t, ConnectorRole))
	if err != nil {
		t.Fatal(err)
	}
	at := func(e endpoint.Endpoint) string {
		tn.want = []Peer{{ID: "node", Kind: Node, Endpoint: e}}
		tn.knowLocked()
		return tn.reachedLocked()[0].Endpoint.Addr.String()
	}
	name := endpoint.MustParse("edge.example:51820")
	if got := at(name.Or(a)); got != "192.0.2.1:51820" {
		t.Error(got)
	}
	if got := at(name.Or(b)); got != "192.0.2.1:51820" { // where it is in use it stays
		t.Error(got)
	}
	if got := at(endpoint.MustParse("other.example:1").Or(b)); got != "192.0.2.2:1" {
		t.Error(got)
	}
	if got := at(endpoint.MustParse("192.0.2.9:1")); got != "192.0.2.9:1" || len(tn.where.of) != 0 {
		t.Error(got)
	}
}

// A node is reached by UDP at one of several addresses, and in TLS whichever of them the tunnel has taken: the tunnel works
// all the time, and goes by UDP again by itself.
func TestUDPIsLookedForAtEveryAddressWhileTLSWorks(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		run := func(f func(context.Context) error) {
			running.Go(func() {
				if err := f(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		ca, internet, dns := identitytest.New(t), nettest.New(), &names{}
		defer internet.Close()
		at, nowhere := netip.MustParseAddr("198.18.2.1"), netip.MustParseAddr("198.18.2.99")
		node := newSimEnd(t, ca, "node", NodeRole, netip.MustParseAddr("fd57:6172:7265::1"), internet.Host(at, false))
		conn := newSimEnd(t, ca, "connector", ConnectorRole, netip.MustParseAddr("fd57:6172:7265::100"), internet.Host(netip.MustParseAddr("198.19.0.1"), true))
		conn.names = dial.NewNames(dns.lookup, conn.renamed)
		asConn := []Peer{{ID: conn.id, Kind: Connector, Key: conn.opts.Key.Public(), Addr: conn.addr, Keepalive: 25 * time.Second}}
		asNode := []Peer{{ID: node.id, Kind: Node, Key: node.opts.Key.Public(), Addr: node.addr, Keepalive: 25 * time.Second,
			Endpoint: endpoint.MustParse("edge.example:51820").Or(nowhere), TLS: endpoint.At(netip.AddrPortFrom(at, 443))}}
		run(node.Run)
		if err := node.Apply(ctx, Config{Addr: node.addr, Peers: asConn}); err != nil {
			t.Fatal(err)
		}
		node.hold(asConn)
		l := node.host.Listen(443)
		run(func(ctx context.Context) error { return node.ServeTLS(ctx, l) })
		by := func(when, transport string, within time.Duration) {
			t.Helper()
			start := time.Now()
			for time.Since(start) <= within {
				up := conn.beats.Up("node") && node.beats.Up("connector")
				if up && conn.Peers()[0].Transport == transport && node.Peers()[0].Transport == transport {
					t.Logf("%s: by %s after %v", when, transport, time.Since(start))
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("%s: %+v, not by %s in %v", when, conn.Peers(), transport, within)
		}
		run(conn.Run)
		if err := conn.Apply(ctx, Config{Addr: conn.addr, Peers: asNode}); err != nil {
			t.Fatal(err)
		}
		conn.hold(asNode)
		by("only what the node is thought to have is known", TransportTLS, 15*time.Second)
		dns.set(nowhere, at)
		by("the second of two addresses", TransportUDP, time.Minute)

		// While nothing passes the tunnel looks for the node where it was thought to be as well, and finds TLS to work then.
		dns.set(at)
		time.Sleep(time.Minute)
		with := func(f func(*place)) {
			conn.where.mu.Lock()
			defer conn.where.mu.Unlock()
			f(conn.where.of["node"])
		}
		with(func(p *place) { p.before = nowhere })
		conn.host.Cut(true, true)
		for there := false; !there; with(func(p *place) { there = p.using == nowhere }) {
			time.Sleep(50 * time.Millisecond)
		}
		conn.host.BlockUDP(true)
		conn.host.Cut(false, false)
		by("UDP is blocked", TransportTLS, 15*time.Second)
		conn.Watched("node", true) // idle, it is asked every ten minutes
		time.Sleep(5 * time.Minute)
		conn.host.BlockUDP(false)
		by("UDP works again", TransportUDP, 3*time.Minute)
	})
}
