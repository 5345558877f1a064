package sni

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge is a Forwarder on a loopback port; its dialler reaches backends by target id.
type edge struct {
	*Forwarder
	addr     string
	handoff  *Handoff
	requests chan fabric.Request
	stop     func() error // ends Serve and returns its error
}

// options are those of a Forwarder whose TLS ends at http, whatever is in it.
func options(http *Handoff, dial reach.DialFunc) Options {
	log := slog.New(slog.DiscardHandler)
	return Options{
		Reach: reach.Dialer{Dial: dial, Health: balance.NewHealth(log, prometheus.NewRegistry()), Log: log},
		Limit: inbound.NewLimiter(inbound.PerIP, inbound.MaxConns()), HTTP: http, TCP: http, Log: log, Registerer: prometheus.NewRegistry(),
	}
}

// newEdge starts a Forwarder whose target "echo" is backend; every other target can't be dialled.
func newEdge(t *testing.T, cfg Config, backend string, wrap func(net.Listener) net.Listener, edit ...func(*Options)) *edge {
	t.Helper()
	e := &edge{handoff: NewHandoff(), requests: make(chan fabric.Request, 64)}
	o := options(e.handoff, func(ctx context.Context, r fabric.Request) (net.Conn, error) {
		e.requests <- r
		if r.Target != "echo" {
			return nil, errors.New("no such target")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", backend)
	})
	for _, f := range edit {
		f(&o)
	}
	e.Forwarder = New(o)
	e.Apply(cfg)
	l := listen(t)
	e.addr = l.Addr().String()
	if wrap != nil {
		l = wrap(l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, l) }()
	ended := false
	e.stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = e.stop(); _ = e.handoff.Close() })
	return e
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// echo answers each connection with what it got, byte for byte, and with the end of it.
func echo(t testing.TB) string {
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func passRoute(host string) Route {
	return Route{Hostname: host, Mode: Passthrough, Service: "svc", Targets: []balance.Target{{ID: "echo", Site: "site", Weight: 1}}}
}

// TestT1_FragmentedHelloSelectsTheSameRoute sends one hello in every cut; the target must get the
// very bytes that the client sent, whichever way.
func TestT1_FragmentedHelloSelectsTheSameRoute(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("strict.example.org"), {Hostname: "*.example.org"}}}, echo(t), nil)
	hello := clientHello(t, "strict.example.org", nil)
	for _, tt := range []struct {
		name   string
		bytes  []byte
		writes int
	}{
		{"whole", hello, len(hello)},
		{"1-byte records", rerecord(hello, 1), 1 << 20},
		{"7-byte writes", hello, 7},
		{"1-byte records in 7-byte writes", rerecord(hello, 1), 7},
		{"record header cut", hello, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, e.addr)
			_ = c.SetNoDelay(true)
			want := append(bytes.Clone(tt.bytes), "and what follows"...)
			go func() {
				for rest := want; len(rest) > 0; {
					n := min(tt.writes, len(rest))
					_, _ = c.Write(rest[:n])
					rest = rest[n:]
				}
				_ = c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("echoed %d bytes, err %v, want %d bytes as sent", len(got), err, len(want))
			}
			r := <-e.requests
			if r.Target != "echo" || r.Site != "site" || r.Service != "svc" || r.Client != c.LocalAddr().(*net.TCPAddr).AddrPort() || r.Local.String() != e.addr {
				t.Errorf("asked for %+v", r)
			}
		})
	}
}

// TestT1_UnreadableHelloIsClosed shows that nothing unreadable reaches a route, a wildcard neither.
func TestT1_UnreadableHelloIsClosed(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("*.example.org"), passRoute("dead.example.net")}}, echo(t), nil)
	e.Apply(Config{Routes: []Route{passRoute("*.example.org"), {Hostname: "empty.example.net", Mode: Passthrough},
		{Hostname: "dead.example.net", Mode: Passthrough, Targets: []balance.Target{{ID: "dead"}}}}})
	for _, tt := range []struct {
		name string
		send []byte
		why  reason
	}{
		{"no name", clientHello(t, "", nil), reasonNoName},
		{"address", rawHello(nameExtension("127.0.0.1")), reasonBadName},
		{"plain HTTP", []byte("GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n"), reasonPlainHTTP},
		{"garbage", []byte("\x16\x03\x01\x00\x00"), reasonMalformed},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2}, reasonNotTLS},
		{"unknown", clientHello(t, "example.org", nil), reasonNoRoute},
		{"two labels below a wildcard", clientHello(t, "a.b.example.org", nil), reasonNoRoute},
		{"no target", clientHello(t, "empty.example.net", nil), reasonNoTarget},
		{"target out of reach", clientHello(t, "dead.example.net", nil), reasonDial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			counter := e.metrics.closed.WithLabelValues(string(tt.why))
			before := value(t, counter)
			c := dial(t, e.addr)
			if _, err := c.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("got %q, %v", got, err)
			}
			waitFor(t, func() bool { return value(t, counter) == before+1 })
		})
	}
}

// waitFor polls until ok, for at most ten seconds.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("did not happen in time")
		}
	}
}

func TestTerminateGetsTheHelloAgain(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{{Hostname: "*.example.org"}}}, "", nil)
	c := dial(t, e.addr)
	want := append(clientHello(t, "www.example.org", nil), "more"...)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	s, err := e.handoff.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("replayed %q, %v", got, err)
	}
	if s.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("remote address %v, want the client's, %v", s.RemoteAddr(), c.LocalAddr())
	}
	if open := value(t, e.metrics.open); open != 1 {
		t.Errorf("%v connections open, want 1", open)
	}
	_, _ = s.Close(), s.Close()
	if open := value(t, e.metrics.open); open != 0 {
		t.Errorf("%v connections open after Close, want 0", open)
	}
}

// TestLargeTransferIsWhole moves enough each way to leave the buffer for splice.
func TestLargeTransferIsWhole(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("www.example.org")}}, echo(t), nil)
	c := dial(t, e.addr)
	want := append(clientHello(t, "www.example.org", nil), make([]byte, 12<<20)...)
	for i := range want[2000:] {
		want[2000+i] = byte(i * i >> 7)
	}
	go func() {
		_, _ = c.Write(want)
		_ = c.CloseWrite() // half-close: the answer must still come
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes of %d, err %v", len(got), len(want), err)
	}
	waitFor(t, func() bool { return value(t, e.metrics.bytes.WithLabelValues("down")) == float64(len(want)) })
}

func TestVanishedRouteKeepsItsConnections(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("www.example.org")}}, echo(t), nil)
	hello := clientHello(t, "www.example.org", nil)
	c := dial(t, e.addr)
	exchange(t, c, hello)
	e.Apply(Config{})
	exchange(t, c, []byte("still here"))

	late := dial(t, e.addr)
	if _, err := late.Write(hello); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(late); len(got) > 0 {
		t.Fatalf("a new connection was served: %q", got)
	}
}

// exchange sends b to an echo and waits for all of it.
func exchange(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(b))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("echoed %q, %v", got, err)
	}
}

func TestT10_Caps(t *testing.T) {
	hello := clientHello(t, "www.example.org", nil)
	for _, tt := range []struct {
		name      string
		each, all int
		why       reason
	}{
		{"per address", 2, 10, reasonPerIP},
		{"in all", 10, 2, reasonCrowded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEdge(t, Config{Routes: []Route{passRoute("www.example.org")}}, echo(t), nil, func(o *Options) {
				o.Limit = inbound.NewLimiter(tt.each, tt.all)
			})
			first, second := dial(t, e.addr), dial(t, e.addr)
			exchange(t, first, hello)
			exchange(t, second, hello)

			third, err := net.Dial("tcp", e.addr)
			if err == nil { // else the reset was quicker than connect
				_, err = third.Read(make([]byte, 1))
				_ = third.Close()
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("the third connection: %v, want a reset", err)
			}
			if n := value(t, e.metrics.closed.WithLabelValues(string(tt.why))); n != 1 {
				t.Errorf("%v closed as %s, want 1", n, tt.why)
			}
			_ = first.Close()
			waitFor(t, func() bool { return value(t, e.metrics.open) == 1 })
			exchange(t, dial(t, e.addr), hello)
		})
	}
}

// flaky fails its first accepts as a process without files does.
type flaky struct {
	net.Listener
	left int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

func TestAcceptErrorsAreSurvived(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("www.example.org")}}, echo(t), func(l net.Listener) net.Listener { return &flaky{l, 3} })
	exchange(t, dial(t, e.addr), clientHello(t, "www.example.org", nil))
	if n := value(t, e.metrics.acceptErr); n != 3 {
		t.Errorf("%v accept errors counted, want 3", n)
	}
}

// TestDrain ends Serve while one connection is at work and two have sent half a hello.
func TestDrain(t *testing.T) {
	e := newEdge(t, Config{Routes: []Route{passRoute("www.example.org"), {Hostname: "end.example.org"}}}, echo(t), nil)
	hello, toEnd := clientHello(t, "www.example.org", nil), clientHello(t, "end.example.org", nil)
	busy, half, ended := dial(t, e.addr), dial(t, e.addr), dial(t, e.addr)
	exchange(t, busy, hello)
	for c, b := range map[net.Conn][]byte{half: hello, ended: toEnd} {
		if _, err := c.Write(b[:10]); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return value(t, e.metrics.accepted) == 3 })
	done := make(chan error, 1)
	go func() { done <- e.stop() }()
	waitFor(t, func() bool { // until it takes no more
		c, err := net.Dial("tcp", e.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if _, err := half.Write(hello[10:]); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(hello))
	if _, err := io.ReadFull(half, got); err != nil || !bytes.Equal(got, hello) {
		t.Errorf("a hello that was on its way is not carried: %v", err)
	}
	select {
	case <-e.Handed():
		t.Error("it says that nothing more will be handed over while a hello is on its way")
	default:
	}
	if _, err := ended.Write(toEnd[10:]); err != nil {
		t.Fatal(err)
	}
	c, err := e.handoff.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Close(), half.Close()
	<-e.Handed() // though passthrough connections go on
	exchange(t, busy, []byte("in flight"))
	_ = busy.CloseWrite()
	if rest, err := io.ReadAll(busy); err != nil || len(rest) > 0 {
		t.Errorf("end of a drained connection: %q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := value(t, e.metrics.closed.WithLabelValues(string(reasonDraining))); n != 0 {
		t.Errorf("%v closed as draining, want none", n)
	}
}

func TestServeFailsWhenItsListenerIsClosed(t *testing.T) {
	f := New(options(NewHandoff(), nil))
	l := listen(t)
	_ = l.Close()
	if err := f.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v, want %v", err, net.ErrClosed)
	}
}

func TestMatchOrder(t *testing.T) {
	tab := newTable(Config{Routes: []Route{{Hostname: "*.example.org", Service: "wild"}, {Hostname: "www.example.org", Service: "exact"},
		{Hostname: "*.a.example.org", Service: "deeper"}, {Hostname: "www.example.org", Service: "second"}}}, nil)
	for name, want := range map[string]string{"www.example.org": "exact", "x.example.org": "wild", "x.a.example.org": "deeper",
		"a.example.org": "wild", "example.org": "", "x.y.example.org": "", "org": ""} {
		got := ""
		if e := tab.match(name); e != nil {
			got = e.Service
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// BenchmarkPeekRoute reads a hello and finds its route, with few routes and with many: batches in
// turns, of which the fastest counts, because a shared machine is slower by turns as well.
func BenchmarkPeekRoute(b *testing.B) {
	const batch = 200
	hello := clientHello(b, "h7.example.org", nil)
	sizes := []int{10, 10_000}
	tables, best := map[int]*table{}, map[int]time.Duration{}
	for _, n := range sizes {
		var cfg Config
		for i := range n {
			cfg.Routes = append(cfg.Routes, passRoute(fmt.Sprintf("h%d.example.org", i)))
		}
		tables[n], best[n] = newTable(cfg, nil), time.Hour
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, n := range sizes {
			start := time.Now()
			for range batch {
				name, _, _, err := readHello(recorder{in: bytes.NewReader(hello)})
				if err != nil || tables[n].match(name) == nil {
					b.Fatal(err)
				}
			}
			best[n] = min(best[n], time.Since(start))
		}
	}
	few, many := float64(best[10])/batch, float64(best[10_000])/batch
	b.ReportMetric(few, "ns/hello-10")
	b.ReportMetric(many, "ns/hello-10000")
	fmt.Printf("\n{\"bench\":\"sni_peek_route\",\"ns_10_routes\":%.0f,\"ns_10000_routes\":%.0f,\"ratio\":%.2f}\n", few, many, many/few)
}

// value is what a counter or gauge stands at.
func value(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	if out.Gauge != nil {
		return out.Gauge.GetValue()
	}
	return out.Counter.GetValue()
}

func TestPassthroughTriesEveryTarget(t *testing.T) {
	route := passRoute("a.example.org")
	route.Targets = []balance.Target{{ID: "dead"}, {ID: "gone"}, {ID: "echo", Site: "site"}}
	e := newEdge(t, Config{Routes: []Route{route}}, echo(t), nil)
	for range 12 {
		c := dial(t, e.addr)
		hello := clientHello(t, "a.example.org", nil)
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, hello) {
			t.Fatalf("the hello did not come back: %v", err)
		}
		_ = c.Close()
	}
}

// Connections whose TLS ends here go where what is in them is understood.
func TestHandedOverByMode(t *testing.T) {
	tcp := NewHandoff()
	e := newEdge(t, Config{Routes: []Route{{Hostname: "web.example.org"}, {Hostname: "db.example.org", Mode: TCP}}}, "", nil, func(o *Options) { o.TCP = tcp })
	for name, to := range map[string]*Handoff{"web.example.org": e.handoff, "db.example.org": tcp} {
		hello := clientHello(t, name, nil)
		if _, err := dial(t, e.addr).Write(hello); err != nil {
			t.Fatal(err)
		}
		c, err := to.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, hello) {
			t.Errorf("%s: what was handed over is not what was sent: %v", name, err)
		}
		_ = c.Close()
	}
}

func TestPassthroughProxyProtocol(t *testing.T) {
	for version := 1; version <= 2; version++ {
		route := passRoute("www.example.org")
		route.ProxyProtocol = version
		e := newEdge(t, Config{Routes: []Route{route}}, echo(t), nil)
		c := dial(t, e.addr)
		hello := clientHello(t, "www.example.org", nil)
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c) // the target says what it has got
		h, err := proxyproto.Read(r)
		if err != nil || int(h.Version) != version || h.SourceAddr.String() != c.LocalAddr().String() || h.DestinationAddr.String() != e.addr {
			t.Errorf("version %d: %+v, %v", version, h, err)
		}
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, hello) {
			t.Errorf("version %d: no hello after the header: %v", version, err)
		}
	}
}
