package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/dataplane/nettest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity/identitytest"
	"github.com/warrenedge/warren/shared/porttest"
)

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

func (e *end) state(t testing.TB, peer string) PeerState {
	t.Helper()
	for _, p := range e.Peers() {
		if p.ID == peer {
			return p
		}
	}
	t.Fatalf("no peer %s", peer)
	return PeerState{}
}

// heals is how often something was done about tunnels that were down.
func (e *end) heals(t testing.TB, s liveness.Step) float64 {
	t.Helper()
	return counter(t, e.m.heals[s])
}

// beating waits until both ends have heard the other.
func beating(t testing.TB, node, connector *end) {
	t.Helper()
	eventually(t, "heartbeats", func() bool {
		return node.beats.Status("connector").State == liveness.Up && connector.beats.Status("node").State == liveness.Up
	})
}

// through is a pair whose UDP passes a middlebox.
func through(t testing.TB) (node, connector *end, box *middlebox) {
	t.Helper()
	return throughNode(t, options(t, NodeRole))
}

// throughNode is through with a node of one's own.
func throughNode(t testing.TB, o Options) (node, connector *end, box *middlebox) {
	t.Helper()
	node, connector = start(t, "node", us, o), start(t, "connector", theirConn, options(t, ConnectorRole))
	box = newMiddlebox(t, node.ListenPort())
	node.apply(t, connector.seenBy(node))
	connector.apply(t, with(node.seenBy(connector), func(p *Peer) { p.Endpoint = endpoint.At(box.addr) }))
	beating(t, node, connector)
	return node, connector, box
}

func TestBothEndsMeasure(t *testing.T) {
	node, connector := pair(t)
	beating(t, node, connector)
	eventually(t, "round trips", func() bool {
		return node.state(t, "connector").RoundTrip > 0 && connector.state(t, "node").RoundTrip > 0
	})
	if q := connector.Quality("node"); q.RTT <= 0 || q.RTT > 5*time.Second {
		t.Errorf("%+v", q)
	}
}

// The session is valid for minutes, but nobody is there.
func TestPeerThatIsGoneIsDown(t *testing.T) {
	node, connector := pair(t)
	beating(t, node, connector)
	gone := time.Now()
	connector.stop()
	eventually(t, "down", func() bool { return !node.Tunnel.Up("connector") })
	t.Logf("found after %v", time.Since(gone).Round(time.Millisecond))
	if s := node.state(t, "connector"); s.Up || time.Since(s.LastHandshake) > HandshakeTime {
		t.Errorf("%+v, want down in spite of a session", s)
	}
}

func TestHalfOpenTunnelIsDown(t *testing.T) {
	node, connector, box := through(t)
	box.set(false, true) // the node hears the connector
	cut := time.Now()
	eventually(t, "both down", func() bool { return !node.Tunnel.Up("connector") && !connector.Tunnel.Up("node") })
	t.Logf("found after %v", time.Since(cut).Round(time.Millisecond))
	box.set(false, false)
	healed := time.Now()
	eventually(t, "both up", func() bool { return node.Tunnel.Up("connector") && connector.Tunnel.Up("node") })
	t.Logf("healed after %v", time.Since(healed).Round(time.Millisecond))
}

func TestStaleTranslationIsLeft(t *testing.T) {
	_, connector, box := through(t)
	before := connector.ListenPort()
	box.refuse()
	cut := time.Now()
	eventually(t, "down", func() bool { return !connector.Tunnel.Up("node") })
	eventually(t, "up", func() bool { return connector.Tunnel.Up("node") })
	t.Logf("healed after %v", time.Since(cut).Round(time.Millisecond))
	if after := connector.ListenPort(); after == before || after == 0 {
		t.Errorf("UDP port %d, was %d: want another", after, before)
	}
}

// Whoever translates the connector's address may give it another one at any time: nobody notices.
func TestNewTranslationIsNoEvent(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer running.Wait()
		ca, internet := identitytest.New(t), nettest.New()
		defer internet.Close()
		defer cancel()
		at := netip.MustParseAddr("198.18.2.1")
		node := newSimEnd(t, ca, "node", NodeRole, us, internet.Host(at, false))
		conn := newSimEnd(t, ca, "connector", ConnectorRole, theirConn, internet.Host(netip.MustParseAddr("198.19.0.1"), true))
		var downs atomic.Int64
		for e, peer := range map[*simEnd]Peer{
			node: {ID: conn.id, Kind: Connector, Key: conn.opts.Key.Public(), Addr: conn.addr, Keepalive: 25 * time.Second},
			conn: {ID: node.id, Kind: Node, Key: node.opts.Key.Public(), Addr: node.addr, Keepalive: 25 * time.Second, Endpoint: endpoint.At(netip.AddrPortFrom(at, 51820))},
		} {
			e.opts.Changed = func(c liveness.Change) {
				if c.To == liveness.Down {
					downs.Add(1)
				}
			}
			running.Go(func() {
				if err := e.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			if err := e.Apply(ctx, Config{Addr: e.addr, Peers: []Peer{peer}}); err != nil {
				t.Fatal(err)
			}
			e.hold([]Peer{peer})
		}
		time.Sleep(30 * time.Second)
		if !conn.Up("node") || !node.Up("connector") {
			t.Fatal("not up")
		}
		downs.Store(0) // whoever began first had no answer
		for i := range 7 {
			before := node.Peers()[0].Endpoint
			conn.host.Rebind()
			time.Sleep(5*time.Second + time.Duration(i)*150*time.Millisecond) // between two heartbeats at another time each time
			synctest.Wait()
			if node.Peers()[0].Endpoint == before || !conn.Up("node") || !node.Up("connector") || downs.Load() > 0 {
				t.Errorf("%d: %+v and %+v, down %d times", i, node.Peers(), conn.Peers(), downs.Load())
			}
		}
	})
}

// A path that swallows large packets and tells nobody carries streams all the same, in both directions.
func TestSmallPathIsFound(t *testing.T) {
	const carries = 1330 // inside the tunnel
	node, connector, box := through(t)
	box.mu.Lock()
	box.most = carries + 32 // WireGuard's header and tag; it pads to 16 octets, but to no more than its MTU
	box.mu.Unlock()
	box.set(true, false)
	eventually(t, "down", func() bool { return !node.Tunnel.Up("connector") && !connector.Tunnel.Up("node") })
	box.set(false, false)
	found := func(e *end, peer string) bool {
		mtu := e.beats.Status(peer).MTU
		return e.Tunnel.Up(peer) && mtu > carries-32 && mtu <= carries
	}
	eventually(t, "the size", func() bool { return found(node, "connector") && found(connector, "node") })
	t.Logf("%d and %d of %d", node.beats.Status("connector").MTU, connector.beats.Status("node").MTU, carries)
	echo(t, connector, fabric.ConnectorPort)
	conn, err := node.Dial(t.Context(), "connector", netip.AddrPortFrom(theirConn, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exchange(t, conn, 1_000_000)
}

// A node that has forgotten its sessions is called again, without waiting for WireGuard's own 15 s.
func TestNodeThatRestarts(t *testing.T) {
	o := options(t, NodeRole)
	o.ListenPort = porttest.Free(t, 1) // nobody else's when it comes back
	node, connector, _ := throughNode(t, o)
	o.Registerer = options(t, NodeRole).Registerer
	node.stop()
	eventually(t, "down", func() bool { return !connector.Tunnel.Up("node") })
	again := start(t, "node", us, o)
	began := time.Now()
	again.apply(t, connector.seenBy(again))
	eventually(t, "up", func() bool { return connector.Tunnel.Up("node") && again.Tunnel.Up("connector") })
	t.Logf("healed after %v", time.Since(began).Round(time.Millisecond))
	if connector.heals(t, liveness.Handshake) == 0 {
		t.Error("nothing was done about it")
	}
}

// plainPeer is WireGuard without heartbeats, with one peer.
func plainPeer(t *testing.T, self netip.Addr, o Options, other *end) *device.Device {
	t.Helper()
	dev, err := openNetstack(self)
	if err != nil {
		t.Fatal(err)
	}
	d := device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	if err := d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nallowed_ip=%s\nendpoint=127.0.0.1:%d\npersistent_keepalive_interval=1\n",
		o.Key.RevealHex(), other.opts.Key.Public().Hex(), host(other.addr), other.ListenPort())); err != nil {
		t.Fatal(err)
	}
	if err := d.Up(); err != nil {
		t.Fatal(err)
	}
	return d
}

// A peer that sends no heartbeats is up while there is a session, as before there were any.
func TestPeerWithoutHeartbeats(t *testing.T) {
	node := start(t, "node", us, options(t, NodeRole))
	o := options(t, ConnectorRole)
	node.apply(t, Peer{ID: "connector", Kind: Connector, Key: o.Key.Public(), Addr: theirConn})
	plainPeer(t, theirConn, o, node)
	eventually(t, "a session", func() bool { return node.state(t, "connector").RxBytes > 300 })
	if s := node.beats.Status("connector"); s.Heard {
		t.Errorf("%+v of one that says nothing", s)
	}
	eventually(t, "up", func() bool { return node.Tunnel.Up("connector") })
	if !node.state(t, "connector").Up {
		t.Error("not up in its state")
	}
}

// A session with a node that sends no heartbeats is not taken for a dead one.
func TestSessionWithoutHeartbeatsIsSpared(t *testing.T) {
	connector := start(t, "connector", theirConn, options(t, ConnectorRole))
	o := options(t, NodeRole)
	connector.apply(t, Peer{ID: "node", Kind: Node, Key: o.Key.Public(), Addr: us})
	plainPeer(t, us, o, connector)
	eventually(t, "a session", func() bool { return connector.Tunnel.Up("node") })
	eventually(t, "no answer", func() bool { return connector.beats.Status("node").State == liveness.Down })
	before := connector.state(t, "node")
	port := connector.ListenPort()
	for _, s := range []liveness.Step{liveness.Handshake, liveness.Endpoint, liveness.Rekey, liveness.Rebind} {
		if err := connector.Tunnel.heals("node", s); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "more packets", func() bool { return connector.state(t, "node").RxBytes >= before.RxBytes+64 })
	if after := connector.state(t, "node"); !after.LastHandshake.Equal(before.LastHandshake) || !after.Up || connector.ListenPort() != port {
		t.Errorf("%+v on port %d, was %+v on %d", after, connector.ListenPort(), before, port)
	}
}

// What the filter refuses on its way in never reaches a socket, and the right datagrams do.
func TestListenPacket(t *testing.T) {
	node, connector := pair(t)
	c, err := connector.ListenPacket(t.Context(), 9999)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := connector.ListenPacket(t.Context(), fabric.HeartbeatPort); err == nil {
		t.Error("the heartbeat port was given away")
	}
	dropped := counter(t, node.m.dropped[dropPort])
	if _, err := c.WriteTo([]byte("let me in"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(us, fabric.HeartbeatPort))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "dropped", func() bool { return counter(t, node.m.dropped[dropPort]) == dropped+1 })
}
