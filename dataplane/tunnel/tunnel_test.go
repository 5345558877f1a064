package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

func counter(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// eventually waits for a condition that other goroutines bring about: for as long as several tries take that are up to 15 s
// apart (askSilent), on a machine that has better things to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		case <-tick.C:
		}
	}
}

func options(t testing.TB, role FilterRole) Options {
	t.Helper()
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Mode: ModeNetstack, Key: key, Filter: role, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
}

// end is a tunnel and what others need to know of it.
type end struct {
	*Tunnel
	id   string
	addr netip.Addr
	role FilterRole
	stop func() // ends Run
}

// start opens a tunnel without peers.
func start(t testing.TB, id string, addr netip.Addr, o Options) *end {
	t.Helper()
	tun, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tun.Run(ctx) }()
	e := &end{Tunnel: tun, id: id, addr: addr, role: o.Filter}
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(e.stop)
	e.apply(t)
	return e
}

func (e *end) apply(t testing.TB, peers ...Peer) {
	t.Helper()
	if err := e.Apply(t.Context(), Config{Addr: e.addr, Peers: peers}); err != nil {
		t.Fatal(err)
	}
}

// seenBy is the tunnel as a peer of another one on this machine. Connectors call, nodes are called.
func (e *end) seenBy(other *end) Peer {
	p := Peer{ID: e.id, Kind: Connector, Key: e.opts.Key.Public(), Addr: e.addr}
	if e.role == NodeRole {
		p.Kind, p.Keepalive = Mesh, 15*time.Second
		if other.role == ConnectorRole {
			p.Kind, p.Keepalive = Node, 5*time.Second
		}
		p.Endpoint = endpoint.At(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.ListenPort()))
	}
	return p
}

// pair is a node and a connector with a session between them.
func pair(t testing.TB) (node, connector *end) {
	t.Helper()
	node, connector = start(t, "node", us, options(t, NodeRole)), start(t, "connector", theirConn, options(t, ConnectorRole))
	node.apply(t, connector.seenBy(node))
	connector.apply(t, node.seenBy(connector)) // last: a call to a node that does not know us is repeated after 5 s
	eventually(t, "a session", func() bool { return node.Tunnel.Up("connector") && connector.Tunnel.Up("node") })
	return node, connector
}

// echo serves one port of a tunnel until the test ends.
func echo(t *testing.T, e *end, port uint16) {
	t.Helper()
	ln, err := e.Listen(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- fabric.Serve(ctx, ln, func(_ context.Context, c net.Conn) {
			_, _ = io.Copy(c, c)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// exchange sends n random bytes and expects them back.
func exchange(t *testing.T, c net.Conn, n int) {
	t.Helper()
	out := make([]byte, n)
	_, _ = rand.Read(out)
	go func() { _, _ = c.Write(out) }()
	in := make([]byte, n)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Minute)) // 4 MiB under the race detector beside five other builds: 17 s
	if _, err := io.ReadFull(c, in); err != nil || !bytes.Equal(in, out) {
		t.Fatalf("%d bytes did not come back as they were sent: %v", n, err)
	}
}

func TestTransferGoesOnAcrossApply(t *testing.T) {
	node, connector := pair(t)
	echo(t, connector, fabric.ConnectorPort)
	conn, err := node.Dial(t.Context(), "connector", netip.AddrPortFrom(connector.addr, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := func() PeerState {
		for _, p := range node.Peers() {
			if p.ID == "connector" {
				return p
			}
		}
		t.Fatal("no such peer")
		return PeerState{}
	}
	if !state().Endpoint.IsValid() {
		t.Fatal("the connector's endpoint was not learned")
	}
	heals := func() (n float64) { // on a machine that pauses, the silence gets another session, which is right
		for _, s := range []liveness.Step{liveness.Handshake, liveness.Endpoint, liveness.Rekey, liveness.Rebind} {
			n += node.heals(t, s) + connector.heals(t, s)
		}
		return n
	}
	keep := connector.seenBy(node)
	other := with(testPeer("other", 7, 0x77), func(p *Peer) {
		p.Kind, p.Endpoint, p.Keepalive = Mesh, endpoint.MustParse("127.0.0.1:9"), 15*time.Second
	})
	for i, peers := range [][]Peer{
		{keep, other},
		{testPeer("more", 8, 0x88), keep, other},
		{keep, with(other, func(p *Peer) { p.Addr = netip.MustParseAddr("fd57:6172:7265::99") })},
		{with(keep, func(p *Peer) { p.Keepalive = 25 * time.Second })},
		{keep},
	} {
		for healed := true; healed; {
			before, n := state(), heals()
			node.apply(t, peers...)
			exchange(t, conn, 300_000)
			after := state()
			if healed = heals() != n; healed {
				node.apply(t, keep) // and once more
				continue
			}
			if !after.LastHandshake.Equal(before.LastHandshake) {
				t.Errorf("apply %d: handshake at %v, was %v: the session is another", i, after.LastHandshake, before.LastHandshake)
			}
			if after.Endpoint != before.Endpoint {
				t.Errorf("apply %d: endpoint %v, was %v", i, after.Endpoint, before.Endpoint)
			}
		}
	}
}

func TestHalfClose(t *testing.T) {
	node, connector := pair(t)
	echo(t, connector, fabric.ConnectorPort)
	conn, err := node.DialContext(t.Context(), netip.AddrPortFrom(connector.addr, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := io.ReadAll(conn); err != nil || string(b) != "all" {
		t.Errorf("%q, %v", b, err)
	}
}

// A connector can't open anything at a node, not even from the port that it answers from.
func TestConnectorGetsNoFurther(t *testing.T) {
	node, connector := pair(t)
	echo(t, node, fabric.RelayPort)
	echo(t, node, 22)
	for i, port := range []uint16{fabric.RelayPort, 22, fabric.ConnectorPort} {
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			c, err := connector.DialContext(ctx, netip.AddrPortFrom(us, port))
			if err == nil {
				_ = c.Close()
			}
			result <- err
		}()
		eventually(t, "the packet is dropped", func() bool { return counter(t, node.m.dropped[dropPort]) > float64(i) })
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("port %d: %v, want no answer", port, err)
		}
	}
}

func TestNodesReachOnlyTheRelayPort(t *testing.T) {
	a, b := start(t, "a", us, options(t, NodeRole)), start(t, "b", otherNode, options(t, NodeRole))
	b.apply(t, with(a.seenBy(b), func(p *Peer) { p.Endpoint, p.Keepalive = endpoint.Endpoint{}, 0 })) // it is called
	a.apply(t, b.seenBy(a))
	echo(t, b, fabric.RelayPort)
	echo(t, b, 22)
	c, err := a.DialContext(t.Context(), netip.AddrPortFrom(otherNode, fabric.RelayPort))
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, 100_000)
	_ = c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := a.DialContext(ctx, netip.AddrPortFrom(otherNode, 22))
		result <- err
	}()
	eventually(t, "the packet is dropped", func() bool { return counter(t, b.m.dropped[dropPort]) > 0 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want no answer", err)
	}
}

func TestPeerGetsANewKey(t *testing.T) {
	node, connector := pair(t)
	connector.stop()
	renewed := start(t, "connector", theirConn, options(t, ConnectorRole))
	node.apply(t, renewed.seenBy(node))
	renewed.apply(t, node.seenBy(renewed))
	eventually(t, "a session", func() bool { return node.Tunnel.Up("connector") })
	echo(t, renewed, fabric.ConnectorPort)
	c, err := node.Dial(t.Context(), "connector", netip.AddrPortFrom(theirConn, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, 1000)
	_ = c.Close()
}

func TestAddressesSwap(t *testing.T) {
	node := start(t, "node", us, options(t, NodeRole))
	a, b := testPeer("a", 1, 0xa), testPeer("b", 2, 0xb)
	node.apply(t, a, b)
	a.Addr, b.Addr = b.Addr, a.Addr
	node.apply(t, a, b)
	text, err := node.wg.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Peer{a, b} {
		_, rest, ok := strings.Cut(text, "public_key="+p.Key.Hex())
		rest, _, _ = strings.Cut(rest, "public_key=")
		if !ok || strings.Count(rest, "allowed_ip=") != 1 || !strings.Contains(rest, "allowed_ip="+host(p.Addr).String()+"\n") {
			t.Errorf("peer %s should have %s alone:\n%s", p.ID, p.Addr, rest)
		}
	}
}

func TestBadPeersDoNotStopTheOthers(t *testing.T) {
	node := start(t, "node", us, options(t, NodeRole))
	good, bad := testPeer("good", 1, 0xa), with(testPeer("bad", 2, 0xb), func(p *Peer) { p.Key = wgkey.Public{} })
	err := node.Apply(t.Context(), Config{Addr: us, Peers: []Peer{bad, good}})
	var pe *PeerError
	if !errors.As(err, &pe) || pe.ID != "bad" {
		t.Errorf("error %v", err)
	}
	if ps := node.Peers(); len(ps) != 1 || ps[0].ID != "good" {
		t.Errorf("peers %v", ps)
	}
}

func TestTakenPort(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := options(t, NodeRole)
	o.ListenPort = uint16(taken.LocalAddr().(*net.UDPAddr).Port)
	tun, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tun.Run(t.Context()) }()
	err = tun.Apply(t.Context(), Config{Addr: us})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "is in use by another program") {
		t.Errorf("error of Apply: %v", err)
	}
	if runErr := <-done; !errors.Is(runErr, syscall.EADDRINUSE) {
		t.Errorf("error of Run: %v", runErr)
	}
	if _, err := tun.Listen(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("error of Listen: %v", err)
	}
}

func TestBeforeAndAfter(t *testing.T) {
	tun, err := New(options(t, NodeRole))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tun.DialContext(t.Context(), netip.AddrPortFrom(otherNode, 1)); !errors.Is(err, ErrDown) {
		t.Errorf("dial: %v", err)
	}
	if tun.Peers() != nil || tun.Up("x") || tun.ListenPort() != 0 || tun.Mode() != ModeNetstack {
		t.Error("there is something before the first Apply")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tun.Listen(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("listen: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tun.Run(ctx) }()
	accepted := make(chan error, 1)
	go func() { // waits for the device
		ln, err := tun.Listen(t.Context(), 1)
		if err == nil {
			_, err = ln.Accept()
		}
		accepted <- err
	}()
	if err := tun.Apply(t.Context(), Config{Addr: us}); err != nil {
		t.Fatal(err)
	}
	if err := tun.Apply(t.Context(), Config{Addr: otherNode}); err == nil || !strings.Contains(err.Error(), "needs a restart") {
		t.Errorf("another address: %v", err)
	}
	if _, err := tun.DialContext(t.Context(), netip.MustParseAddrPort("[2001:db8::1]:80")); err == nil {
		t.Error("an address outside of the overlay was dialled")
	}
	if _, err := tun.Dial(t.Context(), "x", netip.AddrPortFrom(otherNode, 1)); err == nil {
		t.Error("an unknown peer was dialled")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) && !errors.Is(err, ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if err := tun.Apply(t.Context(), Config{Addr: us}); !errors.Is(err, ErrClosed) {
		t.Errorf("apply: %v", err)
	}
	if _, err := tun.DialContext(t.Context(), netip.AddrPortFrom(otherNode, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("dial: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, edit := range map[string]func(*Options){
		"mode": func(o *Options) { o.Mode = "kernel" }, "interface": func(o *Options) { o.Interface = "sixteen-bytes-xx" },
		"role": func(o *Options) { o.Filter = 0 }, "key": func(o *Options) { o.Key = wgkey.Private{} },
	} {
		o := options(t, NodeRole)
		edit(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tun, err := New(options(t, NodeRole))
	if err != nil {
		t.Fatal(err)
	}
	if err := tun.Apply(t.Context(), Config{Addr: netip.MustParseAddr("2001:db8::1")}); err == nil || !strings.Contains(err.Error(), "own overlay address") {
		t.Errorf("address: %v", err)
	}
}

// Closing while packets are on their way must not panic, block or leave anything.
func TestCloseUnderLoad(t *testing.T) {
	node, connector := pair(t)
	echo(t, connector, fabric.ConnectorPort)
	ends := make(chan error, 8)
	for range cap(ends) {
		c, err := node.DialContext(t.Context(), netip.AddrPortFrom(connector.addr, fabric.ConnectorPort))
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, 1000)
		go func() {
			defer c.Close()
			buf := make([]byte, 64<<10)
			for {
				if _, err := c.Write(buf); err != nil {
					ends <- err
					return
				}
			}
		}()
	}
	node.stop()
	for range cap(ends) {
		<-ends
	}
	connector.stop()
}

func TestMetrics(t *testing.T) {
	o := options(t, NodeRole)
	node := start(t, "node", us, o)
	node.apply(t, testPeer("a", 1, 0xa), with(testPeer("m", 2, 0xb), func(p *Peer) { p.Kind = Mesh }), testPeer("c", 3, 0xc))
	families, err := o.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "node_tunnel_peers" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if got["connector false"] != 2 || got["mesh false"] != 1 || got["connector true"] != 0 {
		t.Errorf("peers %v", got)
	}
}
