package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs f until the test ends or stop is called, and waits for it.
func serve(t testing.TB, f func(ctx context.Context) error) (stop func()) {
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

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// echo is a target that sends back what it gets, and after the end of that a farewell.
func echo(t testing.TB) (address string) {
	l := listen(t)
	serve(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, l, func(_ context.Context, c net.Conn) {
			if _, err := io.Copy(c, c); err == nil {
				_, _ = c.Write([]byte("bye"))
			}
		})
	})
	return l.Addr().String()
}

// edge is a node: a TLS port with a Forwarder, streams behind it, a fabric on top.
type edge struct {
	id   string
	port netip.AddrPort
	node *Node
	fab  *fabric.Fabric
	// Towards other nodes: those that relay for this one, and this one that relays for them.
	others *Node
	relays *Connector
	stop   func()

	stuck   atomic.Value // the connector that said so last
	watched sync.Map     // of connectors: whether their path works, as was told last
}

func newEdge(t testing.TB, ca *identitytest.Authority, id string, connectors ...string) *edge {
	t.Helper()
	l := listen(t)
	e := &edge{id: id, port: l.Addr().(*net.TCPAddr).AddrPort()}
	e.node = NewNode(NodeOptions{
		Credentials: ca.Credentials(t, identity.Node, id), From: identity.Connector, Stuck: func(connector string) { e.stuck.Store(connector) },
		Watched: func(connector string, works bool) { e.watched.Store(connector, works) },
		Silent:  func(connector string) { e.fab.Silent(connector, fabric.CarrierStream) },
		Log:     quiet(), Registerer: prometheus.NewRegistry(),
	})
	e.others = NewNode(NodeOptions{Credentials: ca.Credentials(t, identity.Node, id), From: identity.Node, Log: quiet(), Registerer: prometheus.NewRegistry()})
	own, between := sni.NewHandoff(), sni.NewHandoff()
	forward := sni.New(sni.Options{
		Reach: reach.Dialer{Health: balance.NewHealth(quiet(), prometheus.NewRegistry()), Log: quiet()}, Limit: inbound.NewLimiter(inbound.PerIP, inbound.MaxConns()),
		HTTP: sni.NewHandoff(), Log: quiet(), Registerer: prometheus.NewRegistry(),
		Own: []sni.Own{
			{Protocol: ProtocolControl, To: own}, {Protocol: ProtocolStream, To: own},
			{Protocol: ProtocolRelayControl, To: between}, {Protocol: ProtocolRelay, To: between},
		},
	})
	e.fab = fabric.New(fabric.Carriers{WireGuard: nowhere{}, Stream: e.node, Nodes: e.others}, quiet(), prometheus.NewRegistry())
	e.relays = NewConnector(Options{
		Credentials: ca.Credentials(t, identity.Node, id), As: identity.Node, Handler: e.fab.RelayStream, TUN: func() bool { return false },
		Drain: fabric.RelayDrain, Log: quiet(), Registerer: prometheus.NewRegistry(),
	})
	e.know(connectors...)
	stopNode := serve(t, func(ctx context.Context) error { return e.node.Serve(ctx, own) })
	stopOthers := serve(t, func(ctx context.Context) error { return e.others.Serve(ctx, between) })
	stopRelays := serve(t, e.relays.Run)
	stopPort := serve(t, func(ctx context.Context) error { return forward.Serve(ctx, l) })
	e.stop = func() { stopRelays(); stopPort(); stopOthers(); stopNode() }
	return e
}

// know tells an edge of the connectors of site "s", all assigned to it.
func (e *edge) know(connectors ...string) {
	cfg, site := NodeConfig{Peers: map[string]bool{}}, fabric.Site{ID: "s"}
	for _, c := range connectors {
		cfg.Peers[c] = true
		site.Connectors = append(site.Connectors, fabric.Connector{ID: c})
	}
	e.node.Apply(cfg)
	e.fab.Apply(fabric.Config{Self: e.id, Sites: []fabric.Site{site}})
}

// nowhere is a carrier that is always down.
type nowhere struct{}

func (nowhere) Dial(context.Context, string, netip.AddrPort) (net.Conn, error) {
	return nil, net.ErrClosed
}
func (nowhere) Up(string) bool { return false }

// site is a connector with one target, "t".
type site struct {
	id   string
	link *Connector
	stop func()

	stuck   atomic.Value // the node to which its tunnel does not come up
	missed  tellings     // of nodes, that they have no answer in their tunnels
	watched sync.Map     // of nodes: whether their path works, as was told last
}

// told reports whether that was told last of a peer.
func told(watched *sync.Map, peer string, works bool) bool {
	last, ok := watched.Load(peer)
	return ok && last == works
}

func newSite(t testing.TB, ca *identitytest.Authority, id, target string, nodes ...*edge) *site {
	t.Helper()
	c := connector.New(nil, quiet(), prometheus.NewRegistry())
	allowed := connector.Config{Site: "s", Targets: map[string]connector.Target{"t": {Address: target}}, Nodes: map[netip.Addr]string{}}
	for i, n := range nodes {
		allowed.Nodes[netip.MustParseAddr(fmt.Sprintf("fd57:6172:7265::%x", i+1))] = n.id
	}
	if err := c.Apply(allowed); err != nil {
		t.Fatal(err)
	}
	s := &site{id: id}
	s.link = NewConnector(Options{
		Credentials: ca.Credentials(t, identity.Connector, id), As: identity.Connector, Handler: c.Stream, TUN: func() bool { return true }, Log: quiet(), Registerer: prometheus.NewRegistry(),
		Stuck:   func(node string) bool { return node == s.stuck.Load() },
		Watched: func(node string, works bool) { s.watched.Store(node, works) },
		Missed:  s.missed.told,
	})
	s.link.Apply(endpoints(nodes...))
	s.stop = serve(t, s.link.Run)
	return s
}

func endpoints(nodes ...*edge) ConnectorConfig {
	cfg := ConnectorConfig{Nodes: map[string]endpoint.Endpoint{}}
	for _, n := range nodes {
		cfg.Nodes[n.id] = endpoint.At(n.port)
	}
	return cfg
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func (e *edge) wait(t testing.TB, connectors ...string) {
	t.Helper()
	for _, c := range connectors {
		eventually(t, c+" up at "+e.id, func() bool { return e.node.Up(c) })
	}
}

func request(target string) fabric.Request {
	return fabric.Request{Target: target, Site: "s", Service: "v", Client: netip.MustParseAddrPort("203.0.113.9:4711"), Local: netip.MustParseAddrPort("198.51.100.1:443")}
}

func enter(t testing.TB, e *edge) net.Conn {
	t.Helper()
	conn, _, err := dialUp(e, request("t"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// dialUp opens a stream. On a machine that has no processor for a heartbeat a path is rightly held to be silent, and comes
// back: nothing here is about that.
func dialUp(e *edge, r fabric.Request) (net.Conn, fabric.Way, error) {
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, way, err := e.fab.Dial(context.Background(), r)
		var de *fabric.DialError
		if !errors.As(err, &de) || de.Status != fabric.StatusNoTunnel || time.Since(begun) > time.Minute {
			return conn, way, err
		}
	}
}

// accepted is how many connections of a protocol a node has taken so far. Who has no processor for its control connection
// makes another one, and others beside it.
func accepted(t testing.TB, n *Node, protocol string) float64 {
	t.Helper()
	return counter(t, n.m.accepts.WithLabelValues(protocol, "true")) + counter(t, n.m.accepts.WithLabelValues(protocol, "false"))
}

// free waits until no connection of a node carries a stream: the last word of the one before has been said.
func free(t testing.TB, n *Node) {
	t.Helper()
	eventually(t, "no connection is in use", func() bool { _, busy, _ := n.counts(); return busy == 0 })
}

// talk sends a message of a size, closes its half and expects the message and the farewell.
func talk(t testing.TB, conn net.Conn, size int) {
	t.Helper()
	defer conn.Close()
	msg := bytes.Repeat([]byte("warren!?"), (size+7)/8)[:size]
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(msg)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	got, err := io.ReadAll(conn)
	<-sent
	if err != nil || !bytes.Equal(got, append(msg, "bye"...)) {
		t.Errorf("%d bytes came back, %v; %d were sent, and a farewell is due", len(got), err, len(msg))
	}
}
