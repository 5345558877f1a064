package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/nettest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
	"github.com/warrenedge/warren/shared/wgkey"
)

// simUDP is WireGuard's socket in a simulated network.
type simUDP struct {
	host   *nettest.Host
	mu     sync.Mutex
	socket *nettest.Socket // guarded by mu
	next   uint16          // guarded by mu
}

func (u *simUDP) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if port == 0 {
		u.next++
		port = 40000 + u.next%20000
	}
	s := u.host.ListenUDP(port)
	u.socket = s
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := s.Receive(bufs[0])
		sizes[0], eps[0] = n, &conn.StdNetEndpoint{AddrPort: from}
		return 1, err
	}}, port, nil
}

func (u *simUDP) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.socket != nil {
		u.socket.Close()
	}
	return nil
}

func (u *simUDP) Send(bufs [][]byte, ep conn.Endpoint) error {
	u.mu.Lock()
	s := u.socket
	u.mu.Unlock()
	for _, b := range bufs {
		if err := s.Send(b, ep.(*conn.StdNetEndpoint).AddrPort); err != nil {
			return err
		}
	}
	return nil
}

func (u *simUDP) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return &conn.StdNetEndpoint{AddrPort: a}, err
}

func (u *simUDP) SetMark(uint32) error { return nil }
func (u *simUDP) BatchSize() int       { return 1 }

// simDevice is an interface that knows datagrams, and one socket on it.
type simDevice struct {
	self    netip.Addr
	host    *nettest.Host
	out, in chan []byte // IPv6 packets
	events  chan tun.Event
	done    chan struct{}
	once    sync.Once

	answered atomic.Int64 // the latest time at which the path is known to have led there and back
}

func newSimDevice(self netip.Addr, host *nettest.Host) *simDevice {
	return &simDevice{self: self, host: host, out: make(chan []byte, 256), in: make(chan []byte, 256), events: make(chan tun.Event), done: make(chan struct{})}
}

func (d *simDevice) File() *os.File           { return nil }
func (d *simDevice) MTU() (int, error)        { return mtu, nil }
func (d *simDevice) Name() (string, error)    { return "sim", nil }
func (d *simDevice) Events() <-chan tun.Event { return d.events }
func (d *simDevice) BatchSize() int           { return 1 }

func (d *simDevice) route([]netip.Addr) error { return nil }

func (d *simDevice) Close() error {
	d.once.Do(func() { close(d.done); close(d.events) })
	return nil
}

func (d *simDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case p := <-d.out:
		sizes[0] = copy(bufs[0][offset:], p)
		return 1, nil
	case <-d.done:
		return 0, os.ErrClosed
	}
}

func (d *simDevice) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		select {
		case d.in <- append([]byte(nil), b[offset:]...):
		default:
		}
	}
	return len(bufs), nil
}

var errNoTCP = errors.New("no TCP here")

func (d *simDevice) dial(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errNoTCP }
func (d *simDevice) listen(context.Context, uint16) (net.Listener, error)   { return nil, errNoTCP }
func (d *simDevice) listenPacket(context.Context, uint16) (net.PacketConn, error) {
	return &simPulse{PacketConn: nil, d: d, done: make(chan struct{})}, nil
}

// learn takes what a heartbeat (liveness/message.go) proves: an answer, that of now; a question, when the answer of ours
// that it acknowledges had come. While the other end asks more often, we are not the one that asks.
func (d *simDevice) learn(m []byte) {
	const ask, answer = 1, 2
	at := time.Now()
	switch {
	case m[1] == answer:
	case m[1] == ask && binary.BigEndian.Uint32(m[16:]) != 0:
		at = at.Add(-time.Duration(binary.BigEndian.Uint32(m[20:])) * time.Microsecond)
	default:
		return
	}
	d.answered.Store(max(d.answered.Load(), at.UnixNano()))
}

// simPulse is the socket of the heartbeats.
type simPulse struct {
	net.PacketConn
	d    *simDevice
	done chan struct{}
	once sync.Once
}

func (s *simPulse) Close() error { s.once.Do(func() { close(s.done) }); return nil }

func (s *simPulse) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-s.d.in:
		s.d.host.Awake()
		u := p[ipv6Header:]
		s.d.learn(u[udpHeader:])
		from := netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:24])), binary.BigEndian.Uint16(u))
		return copy(b, u[udpHeader:]), net.UDPAddrFromAddrPort(from), nil
	case <-s.done:
		return 0, nil, net.ErrClosed
	case <-s.d.done:
		return 0, nil, net.ErrClosed
	}
}

func (s *simPulse) WriteTo(b []byte, to net.Addr) (int, error) {
	s.d.host.Awake()
	dst := to.(*net.UDPAddr).AddrPort()
	p := make([]byte, ipv6Header+udpHeader, ipv6Header+udpHeader+len(b))
	p[0], p[6] = 0x60, protoUDP
	size := uint16(udpHeader + len(b))
	binary.BigEndian.PutUint16(p[4:], size)
	copy(p[8:], s.d.self.AsSlice())
	copy(p[24:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[40:], fabric.HeartbeatPort)
	binary.BigEndian.PutUint16(p[42:], dst.Port())
	binary.BigEndian.PutUint16(p[44:], size)
	select {
	case s.d.out <- append(p, b...):
	default:
	}
	return len(b), nil
}

// simEnd is a tunnel of the real machinery on a simulated host.
type simEnd struct {
	*Tunnel
	id   string
	host *nettest.Host
	dev  *simDevice
	addr netip.Addr
}

func newSimEnd(t testing.TB, ca *identitytest.Authority, id string, role FilterRole, self netip.Addr, host *nettest.Host) *simEnd {
	t.Helper()
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	return newSimEndOf(t, key, ca, id, role, self, host)
}

// newSimEndOf is newSimEnd with a key that another end had.
func newSimEndOf(t testing.TB, key wgkey.Private, ca *identitytest.Authority, id string, role FilterRole, self netip.Addr, host *nettest.Host) *simEnd {
	t.Helper()
	kind := identity.Node
	if role == ConnectorRole {
		kind = identity.Connector
	}
	c := ca.Credentials(t, kind, id)
	o := Options{Mode: ModeNetstack, Key: key, Filter: role, TLS: &c, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	if role == NodeRole {
		o.ListenPort = 51820
	}
	tn, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e := &simEnd{Tunnel: tn, id: id, host: host, dev: newSimDevice(self, host), addr: self}
	tn.open = func(netip.Addr) (tun.Device, network, string, error) { return e.dev, e.dev, ModeNetstack, nil }
	tn.bind.Bind = &simUDP{host: host}
	if role == ConnectorRole {
		tn.bind.dial = func(ctx context.Context, node string, to endpoint.Endpoint) (net.Conn, error) {
			return dialTLS(ctx, c, node, to, dial.Dialer{Connect: host.Dial})
		}
	}
	// A change of address is behind the translator: nothing here tells of it.
	tn.heal.watch = func(context.Context) {}
	return e
}

// keptPeers holds WireGuard's peers. Its queues have finalizers that empty them, which may not touch what was made
// in simulated time.
var keptPeers struct {
	mu    sync.Mutex
	peers []*device.Peer
}

// hold keeps the peers that the tunnel has.
func (e *simEnd) hold(peers []Peer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keptPeers.mu.Lock()
	defer keptPeers.mu.Unlock()
	for _, p := range peers {
		keptPeers.peers = append(keptPeers.peers, e.wg.LookupPeer(device.NoisePublicKey(p.Key)))
	}
}

// answeredSince reports whether heartbeats went there and back since a time.
func (e *simEnd) answeredSince(since time.Time) bool { return e.dev.answered.Load() > since.UnixNano() }
