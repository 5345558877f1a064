package connector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/porttest"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// wire is the one node of these tests: a carrier straight to a connector's listener, without a tunnel.
type wire struct{ to string }

func (w wire) Dial(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", w.to)
}
func (wire) Up(string) bool { return true }

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve runs f until the test ends and waits for it.
func serve(t *testing.T, f func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// echo is a target that sends back what it gets, and after the end of that a farewell.
func echo(t *testing.T) (address string) {
	t.Helper()
	ln := listen(t)
	serve(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, ln, func(_ context.Context, c net.Conn) {
			if _, err := io.Copy(c, c); err == nil {
				_, _ = c.Write([]byte("bye"))
			}
		})
	})
	return ln.Addr().String()
}

// talk sends a message, closes its half and expects the message and the farewell.
func talk(t *testing.T, conn net.Conn) {
	t.Helper()
	msg := bytes.Repeat([]byte("warren"), 50_000)
	go func() {
		_, _ = conn.Write(msg)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, append(msg, "bye"...)) {
		t.Errorf("%d bytes came back, %v; %d were sent, and a farewell is due", len(got), err, len(msg))
	}
	_ = conn.Close()
}

// node starts a connector on loopback and gives the fabric of a node that reaches it.
func node(t *testing.T, r *net.Resolver, cfg Config) *fabric.Fabric {
	t.Helper()
	c := New(r, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err := c.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	serve(t, func(ctx context.Context) error { return c.Serve(ctx, ln) })
	f := fabric.New(fabric.Carriers{WireGuard: wire{ln.Addr().String()}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Apply(fabric.Config{Self: "n", Sites: []fabric.Site{{ID: "s", Connectors: []fabric.Connector{{ID: "c"}}}, {ID: "other", Connectors: []fabric.Connector{{ID: "c"}}}}})
	return f
}

func request(target string) fabric.Request {
	return fabric.Request{Target: target, Site: "s", Service: "v", Client: netip.MustParseAddrPort("203.0.113.9:4711"), Local: netip.MustParseAddrPort("198.51.100.1:443")}
}

// edit changes a request for the target "t".
func edit(f func(*fabric.Request)) fabric.Request {
	r := request("t")
	f(&r)
	return r
}

func wantStatus(t *testing.T, err error, want fabric.Status) {
	t.Helper()
	var de *fabric.DialError
	if !errors.As(err, &de) || de.Status != want {
		t.Errorf("error %v, want status %v", err, want)
	}
}

func TestStream(t *testing.T) {
	f := node(t, nil, Config{Site: "s", Targets: map[string]Target{"t": {Address: echo(t)}}, Nodes: map[netip.Addr]string{loopback: "n"}})
	conn, err := f.DialTarget(t.Context(), request("t"))
	if err != nil {
		t.Fatal(err)
	}
	talk(t, conn)
}

func TestRefusals(t *testing.T) {
	target := echo(t)
	nodes := map[netip.Addr]string{loopback: "n"}
	targets := map[string]Target{"t": {Address: target}, "off": {Address: porttest.Address(t)}, "u": {Address: target, Network: fabric.UDP}}
	for _, tt := range []struct {
		name string
		cfg  Config
		r    fabric.Request
		want fabric.Status
	}{
		{"a target of nobody", Config{Site: "s", Targets: targets, Nodes: nodes}, request("x"), fabric.StatusNotAllowed},
		{"a target that is off", Config{Site: "s", Targets: targets, Nodes: nodes}, request("off"), fabric.StatusDialFailed},
		{"another site", Config{Site: "s", Targets: targets, Nodes: nodes}, edit(func(r *fabric.Request) { r.Site = "other" }), fabric.StatusNotAllowed},
		{"another address", Config{Site: "s", Targets: targets, Nodes: map[netip.Addr]string{netip.MustParseAddr("127.0.0.2"): "n"}}, request("t"), fabric.StatusNotAllowed},
		{"datagrams for a TCP target", Config{Site: "s", Targets: targets, Nodes: nodes}, edit(func(r *fabric.Request) { r.Network = fabric.UDP }), fabric.StatusNotAllowed},
		{"a stream for a UDP target", Config{Site: "s", Targets: targets, Nodes: nodes}, edit(func(r *fabric.Request) { r.Target = "u" }), fabric.StatusNotAllowed},
		{"a port too many", Config{Site: "s", Targets: targets, Nodes: nodes}, edit(func(r *fabric.Request) { r.Port = 1 }), fabric.StatusNotAllowed},
		{"no configuration", Config{}, request("t"), fabric.StatusNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := node(t, nil, tt.cfg).DialTarget(t.Context(), tt.r)
			wantStatus(t, err, tt.want)
		})
	}
}

// names is a DNS server with the given addresses of names.
func names(t *testing.T, addrs map[string][]string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		for _, s := range addrs[q.Question[0].Name] {
			ip := net.ParseIP(s)
			h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET}
			switch {
			case ip.To4() != nil && h.Rrtype == dns.TypeA:
				a.Answer = append(a.Answer, &dns.A{Hdr: h, A: ip})
			case ip.To4() == nil && h.Rrtype == dns.TypeAAAA:
				a.Answer = append(a.Answer, &dns.AAAA{Hdr: h, AAAA: ip})
			}
		}
		_ = w.WriteMsg(a)
	})}
	ready := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(ready) }
	done := make(chan error, 1)
	go func() { done <- srv.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// What a name resolves to is judged when the connection is made.
func TestT19_NamesLeadNowhereForbidden(t *testing.T) {
	_, port, err := net.SplitHostPort(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	r := names(t, map[string][]string{
		"rebind.test.": {"127.0.0.1"}, "rebind6.test.": {"::1"}, "meta.test.": {"169.254.169.254"}, "any.test.": {"0.0.0.0"},
		"overlay.test.": {"fd57:6172:7265::1"}, "group.test.": {"ff02::1"},
	})
	targets := map[string]Target{"localhost": {Address: "localhost:" + port}, "unknown": {Address: "unknown.test.:" + port}}
	for _, n := range []string{"rebind", "rebind6", "meta", "any", "overlay", "group"} {
		targets[n] = Target{Address: n + ".test.:" + port}
		targets[n+"-udp"] = Target{Address: n + ".test.:" + port, Network: fabric.UDP}
	}
	f := node(t, r, Config{Site: "s", Targets: targets, Nodes: map[netip.Addr]string{loopback: "n"}})
	for id := range targets {
		t.Run(id, func(t *testing.T) {
			r := request(id)
			r.Network = targets[id].Network
			conn, err := f.DialTarget(t.Context(), r)
			switch id {
			case "localhost":
				if err != nil {
					t.Fatal(err)
				}
				talk(t, conn)
			case "unknown":
				wantStatus(t, err, fabric.StatusDialFailed)
			default:
				wantStatus(t, err, fabric.StatusNotAllowed)
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	c := New(nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ln := listen(t)
	serve(t, func(ctx context.Context) error { return c.Serve(ctx, ln) })
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n")) // sixteen bytes, as many as are read
	if b, err := io.ReadAll(conn); err != nil || !bytes.Equal(b, []byte{byte(fabric.StatusBadRequest)}) {
		t.Errorf("answer %x, %v", b, err)
	}
}
