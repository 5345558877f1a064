package l4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newServer makes a Server on loopback that reaches targets with dial.
func newServer(dial reach.DialFunc) *Server {
	return New(Options{
		Host: "127.0.0.1", Limit: inbound.NewLimiter(inbound.PerIP, inbound.MaxConns()), Log: quiet(), Registerer: prometheus.NewRegistry(),
		Reach: reach.Dialer{Dial: dial, Health: balance.NewHealth(quiet(), prometheus.NewRegistry()), Log: quiet()},
	})
}

// run runs f until the test ends, or until stop is called, and waits for it.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wire is a carrier straight to a connector's listener, without a tunnel.
type wire struct{ to string }

func (w wire) Dial(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", w.to)
}
func (wire) Up(string) bool { return true }

// site starts a connector with targets and gives what dials them, through a fabric.
func site(t testing.TB, targets map[string]connector.Target) reach.DialFunc {
	t.Helper()
	c := connector.New(nil, quiet(), prometheus.NewRegistry())
	if err := c.Apply(connector.Config{Site: "s", Targets: targets, Nodes: map[netip.Addr]string{netip.MustParseAddr("127.0.0.1"): "n"}}); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	run(t, func(ctx context.Context) error { return c.Serve(ctx, l) })
	f := fabric.New(fabric.Carriers{WireGuard: wire{l.Addr().String()}}, quiet(), prometheus.NewRegistry())
	f.Apply(fabric.Config{Self: "n", Sites: []fabric.Site{{ID: "s", Connectors: []fabric.Connector{{ID: "c"}}}}})
	return f.DialTarget
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// echo is a TCP target that sends its name, then what it gets, then a farewell after the end of that.
func echo(t testing.TB, name string) string {
	t.Helper()
	l := listen(t)
	serveEcho(t, l, name)
	return l.Addr().String()
}

func serveEcho(t testing.TB, l net.Listener, name string) {
	run(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, l, func(_ context.Context, c net.Conn) {
			_, _ = c.Write([]byte(name))
			if _, err := io.Copy(c, c); err == nil {
				_, _ = c.Write([]byte("bye"))
			}
		})
	})
}

// udpEcho is a UDP target that answers with its name and what it got.
func udpEcho(t testing.TB, name string) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = pc.Close() })
		defer stop()
		buf := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return nil
			}
			_, _ = pc.WriteTo(append([]byte(name), buf[:n]...), from)
		}
	})
	return pc.LocalAddr().String()
}

func at(port uint16) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func targets(ids ...string) []balance.Target {
	var out []balance.Target
	for _, id := range ids {
		out = append(out, balance.Target{ID: id, Site: "s", Weight: 1})
	}
	return out
}

func apply(t testing.TB, s *Server, forwards ...Forward) {
	t.Helper()
	if err := s.Apply(Config{Forwards: forwards}); err != nil {
		t.Fatal(err)
	}
}

func dial(t testing.TB, network string, port uint16) net.Conn {
	t.Helper()
	c, err := net.Dial(network, at(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// say writes and expects an answer.
func say(t testing.TB, c net.Conn, msg, want string) {
	t.Helper()
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, want)
}

func expect(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

// ask sends a datagram and gives the answer.
func ask(t testing.TB, c net.Conn, msg string) string {
	t.Helper()
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("no answer to %d bytes: %v", len(msg), err)
	}
	return string(buf[:n])
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// value reads a counter or gauge.
func value(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func wantFault(t testing.TB, err error, service string) error {
	t.Helper()
	var fe *ForwardError
	if !errors.As(err, &fe) || fe.Service != service {
		t.Fatalf("error %v, want one of service %s", err, service)
	}
	return fe
}
