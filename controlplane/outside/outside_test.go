package outside

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rows = `
	organization acme
	pool edge
	node n1 pool=edge addresses=192.0.2.1 enrolled
	node n2 pool=edge addresses=192.0.2.2 enrolled
	node new pool=edge addresses=192.0.2.3
	domain example.org organization=acme pool=edge
	service wiki organization=acme pool=edge kind=http hostname=*.example.org
`

func node(name string) model.NodeID { return model.NodeID{UUID: modeltest.UUID("node", name)} }

func newWatch(t *testing.T) *Watch {
	b, err := modeltest.Parse(0, rows)
	if err != nil {
		t.Fatal(err)
	}
	world := model.NewCurrent()
	world.Set(model.Empty().Apply(b))
	return New(Options{World: world, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
}

// What silence means depends on who else answers.
func TestSilence(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		w := newWatch(t)
		var mu sync.Mutex
		says := map[model.NodeID]error{node("n1"): errSilent, node("n2"): errSilent}
		set := func(name string, err error) { mu.Lock(); defer mu.Unlock(); says[node(name)] = err }
		w.ask = func(_ context.Context, q question) answers {
			mu.Lock()
			defer mu.Unlock()
			if q.name != "warren.example.org" || q.zone != "example.org" {
				t.Errorf("asked about %q and %q", q.name, q.zone)
			}
			return answers{tls: says[q.node], dns: says[q.node], serial: new(uint32(7))}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		pass := func() { time.Sleep(every + time.Millisecond); synctest.Wait() }
		pass()
		if s := w.Sight(node("n1")); !s.TLS.At.IsZero() || !s.DNS.At.IsZero() {
			t.Errorf("nobody answers, and yet %+v", s)
		}
		set("n2", nil)
		pass()
		if s := w.Sight(node("n1")); !s.TLS.Silent || s.TLS.Err == "" || !s.DNS.Silent {
			t.Errorf("n2 answers, n1 does not: %+v", s)
		}
		if s := w.Sight(node("n2")); s.TLS.At.IsZero() || s.TLS.Silent || *s.DNS.Serial != 7 {
			t.Errorf("n2 answers: %+v", s)
		}
		set("n2", errSilent)
		pass()
		if s := w.Sight(node("n2")); !s.TLS.Silent {
			t.Errorf("n2 has answered before: %+v", s)
		}
		time.Sleep(reaching)
		if s := w.Sight(node("n1")); !s.TLS.At.IsZero() {
			t.Errorf("nobody answers for a while, and n1 never did: %+v", s)
		}
		set("n2", errNoWay)
		pass()
		if s := w.Sight(node("n2")); !s.TLS.At.IsZero() {
			t.Errorf("there is no way to n2: %+v", s)
		}
		if s := w.Sight(node("new")); !s.TLS.At.IsZero() {
			t.Errorf("new has not joined: %+v", s)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serve takes connections until the test ends.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestAsk(t *testing.T) {
	closes := serve(t, func(c net.Conn) { _ = c.Close() })
	alerts := serve(t, func(c net.Conn) { _ = tls.Server(c, &tls.Config{}).Handshake(); _ = c.Close() })
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	hangs := serve(t, func(c net.Conn) { <-hung; _ = c.Close() })
	gone := serve(t, func(net.Conn) {})
	a := asker{(&net.Dialer{}).DialContext}
	short := asker{func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == gone.String() {
			return nil, syscall.ECONNREFUSED
		}
		if strings.HasPrefix(address, "192.0.2.") {
			return nil, syscall.ENETUNREACH
		}
		return a.dial(ctx, network, address)
	}}
	for _, tt := range []struct {
		name string
		at   []netip.AddrPort
		want error
	}{
		{"closes", []netip.AddrPort{closes}, nil},
		{"no certificate", []netip.AddrPort{alerts}, nil},
		{"hangs", []netip.AddrPort{hangs}, errSilent},
		{"refuses", []netip.AddrPort{gone}, errRefused},
		{"one of two", []netip.AddrPort{gone, closes}, nil},
		{"no way to one, the other refuses", []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443"), gone}, errRefused},
		{"no way", []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}, errNoWay},
	} {
		err := short.twice(t.Context(), tt.at, func(ctx context.Context, at netip.AddrPort) error {
			_, err := short.hello(ctx, at, "example.org")
			return err
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestAskForAZone(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	soa, err := dns.NewRR("example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 4294967295 1 2 3 4")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetRcode(r, dns.RcodeRefused)
		switch r.Question[0].Name {
		case "example.org.":
			m = new(dns.Msg).SetReply(r)
			m.Authoritative, m.Answer = true, []dns.RR{soa}
		case "hearsay.org.":
			m = new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{soa}
		}
		asked <- r.Question[0].String()
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	a := asker{(&net.Dialer{}).DialContext}
	for zone, want := range map[string]*uint32{"example.org": new(uint32(1<<32 - 1)), "hearsay.org": nil, "refused.org": nil} {
		serial, err := a.soa(t.Context(), netip.MustParseAddrPort(pc.LocalAddr().String()), zone)
		if err != nil {
			t.Fatal(err)
		}
		if q := <-asked; !strings.Contains(q, zone+".") || !strings.Contains(q, "SOA") {
			t.Errorf("asked %s", q)
		}
		if (serial == nil) != (want == nil) || serial != nil && *serial != *want {
			t.Errorf("%s: serial %v, want %v", zone, serial, want)
		}
	}
}

// No resolver asks on loopback: the DNS of a node there may listen at any port, and is not asked.
func TestTheDNSOnLoopbackIsNotAsked(t *testing.T) {
	b, err := modeltest.Parse(0, `
	organization acme
	pool edge
	node here pool=edge addresses=127.0.0.1 enrolled
	node both pool=edge addresses=127.0.0.1,192.0.2.1 enrolled
	domain example.org organization=acme pool=edge
`)
	if err != nil {
		t.Fatal(err)
	}
	m := model.Empty().Apply(b)
	here, both := about(m, m.Node(node("here")), "x"), about(m, m.Node(node("both")), "x")
	if here.zone != "" || len(here.dns) != 0 || len(here.tls) != 1 {
		t.Errorf("%+v", here)
	}
	if both.zone != "example.org" || len(both.dns) != 1 || both.dns[0] != netip.MustParseAddrPort("192.0.2.1:53") || len(both.tls) != 2 {
		t.Errorf("%+v", both)
	}
}
