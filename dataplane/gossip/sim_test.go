package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/endpoint"
)

// sim is a network in the bubble's time: packets take a while, get lost by a seeded coin, and hosts can be
// killed, switched off, or cut from each other.
type sim struct {
	delay time.Duration // one way
	loss  float64
	stall func(h *host) time.Duration // how long a host that waits for a processor will not take or send anything

	mu    sync.Mutex
	rnd   *rand.Rand
	hosts map[netip.AddrPort]*host
	names map[string]netip.Addr // what each has in the DNS
	cut   func(a, b *host) bool
	bytes int
}

func newSim(seed uint64) *sim {
	return &sim{delay: time.Millisecond, rnd: rand.New(rand.NewPCG(seed, 0)), hosts: map[netip.AddrPort]*host{}}
}

// host is a machine of the sim with one UDP and one TCP socket.
type host struct {
	sim     *sim
	index   int
	addr    netip.AddrPort
	packets chan datagram
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	killed  bool // its process: connections are refused
	off     bool // all of it: nothing answers
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

func (s *sim) host(i int) *host {
	h := &host{
		sim: s, index: i, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7946),
		packets: make(chan datagram, 4096), conns: make(chan net.Conn), closed: make(chan struct{}),
	}
	s.mu.Lock()
	s.hosts[h.addr] = h
	s.mu.Unlock()
	return h
}

func (s *sim) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// lookup is the DNS.
func (s *sim) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.names[name]; ok {
		return []netip.Addr{at}, nil
	}
	return nil, errors.New("no such host")
}

// move gives a host another address.
func (s *sim) move(h *host, to netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hosts, h.addr)
	h.addr = netip.AddrPortFrom(to, h.addr.Port())
	s.hosts[h.addr] = h
}

// way is how long something takes from one host to another; false: it never arrives.
func (s *sim) way(from, to *host) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.killed || from.off || to.off || s.cut != nil && s.cut(from, to) {
		return 0, false
	}
	d := s.delay
	if s.stall != nil {
		d += max(s.stall(from), s.stall(to))
	}
	return d, true
}

func (s *sim) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.Float64() < s.loss
}

func (h *host) WriteTo(b []byte, to net.Addr) (int, error) {
	h.sim.mu.Lock()
	dst := h.sim.hosts[to.(*net.UDPAddr).AddrPort()]
	h.sim.bytes += len(b)
	h.sim.mu.Unlock()
	if dst == nil {
		return len(b), nil
	}
	d, ok := h.sim.way(h, dst)
	if !ok || h.sim.lost() {
		return len(b), nil
	}
	p := datagram{append([]byte(nil), b...), h.at()}
	time.AfterFunc(d, func() {
		h.sim.mu.Lock()
		dead := dst.killed || dst.off
		h.sim.mu.Unlock()
		if !dead {
			select {
			case dst.packets <- p:
			default:
			}
		}
	})
	return len(b), nil
}

func (h *host) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-h.packets:
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-h.closed:
		return 0, nil, net.ErrClosed
	}
}

func (h *host) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *host) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// at is the host's address now.
func (h *host) at() netip.AddrPort {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	return h.addr
}

func (h *host) Addr() net.Addr                   { return net.TCPAddrFromAddrPort(h.at()) }
func (h *host) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(h.at()) }
func (h *host) SetDeadline(time.Time) error      { return nil }
func (h *host) SetReadDeadline(time.Time) error  { return nil }
func (h *host) SetWriteDeadline(time.Time) error { return nil }

// dial takes a round trip, and a second more for each lost SYN.
func (h *host) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	h.sim.mu.Lock()
	dst := h.sim.hosts[to]
	h.sim.mu.Unlock()
	if dst == nil { // nobody is there
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for { // the kernels do this, however busy the processes are
		_, ok := h.sim.way(h, dst)
		d := h.sim.delay
		if !ok {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		syn, ack := h.sim.lost(), h.sim.lost()
		lost := syn || ack
		if lost {
			d = time.Second
		}
		select {
		case <-time.After(2 * d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !lost {
			break
		}
	}
	h.sim.mu.Lock()
	dead := dst.killed
	h.sim.mu.Unlock()
	a, b := net.Pipe()
	select {
	case <-dst.closed:
		dead = true
	default:
	}
	if dead {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	select {
	case dst.conns <- &pipe{b, dst, h}:
		return &pipe{a, h, dst}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-dst.closed:
		return nil, errors.New("reset")
	}
}

// pipe is a connection whose writes take a while, or never end.
type pipe struct {
	net.Conn
	from, to *host
}

func (p *pipe) Write(b []byte) (int, error) {
	d, ok := p.from.sim.way(p.from, p.to)
	if !ok {
		_, _ = p.Conn.Read(make([]byte, 1)) // ends with the deadline
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(d)
	return p.Conn.Write(b)
}
func (p *pipe) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(p.from.at()) }
func (p *pipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.to.at()) }

// member is a node of a test.
type member struct {
	*Gossip
	id   string
	host *host
	cfg  Config
	end  context.CancelFunc
	done chan error
}

func key(b byte) Key {
	k := make(Key, KeySize)
	for i := range k {
		k[i] = b
	}
	return k
}

// cluster is nodes that know each other.
type cluster struct {
	t   testing.TB
	sim *sim
	all []*member
}

func newCluster(t testing.TB, s *sim, n int) *cluster {
	c := &cluster{t: t, sim: s}
	var peers []Peer
	for i := range n {
		h := s.host(i)
		peers = append(peers, Peer{fmt.Sprintf("node_%d", i), endpoint.At(h.addr)})
		c.all = append(c.all, &member{id: peers[i].ID, host: h})
	}
	for i, m := range c.all {
		m.cfg = Config{Self: m.id, Endpoint: endpoint.At(m.host.addr), Keys: []Key{key('a')}}
		m.cfg.Peers = append(append(m.cfg.Peers, peers[:i]...), peers[i+1:]...)
		m.start(t)
	}
	return c
}

func (m *member) start(t testing.TB) {
	m.Gossip = New(Options{Dial: m.host.dial, Lookup: m.host.sim.lookup, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err := m.Apply(m.cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.end, m.done = cancel, make(chan error, 1)
	go func() { m.done <- m.Serve(ctx, m.host, m.host) }()
}

// stop ends a node and waits for it.
func (m *member) stop() error {
	m.end()
	return <-m.done
}

func (c *cluster) stop() {
	c.t.Helper()
	for _, m := range c.all {
		m.end()
	}
	for _, m := range c.all {
		if err := <-m.done; err != nil {
			c.t.Errorf("%s: %v", m.id, err)
		}
	}
	time.Sleep(30 * time.Second) // memberlist's last probes end by themselves; time stops when the test returns
}

// kill ends a node's process without a word.
func (c *cluster) kill(i int) { c.sim.set(func() { c.all[i].host.killed = true }) }

// off takes the power from a node.
func (c *cluster) off(i int) { c.sim.set(func() { c.all[i].host.off = true }) }

// every reports whether the nodes for which who is true all see the node as being in a state.
func (c *cluster) every(state State, of int, who func(i int) bool) bool {
	for i, m := range c.all {
		if i != of && who(i) && m.View().Node(c.all[of].id).State != state {
			return false
		}
	}
	return true
}

func but(not ...int) func(int) bool {
	return func(i int) bool {
		for _, n := range not {
			if i == n {
				return false
			}
		}
		return true
	}
}

// until lets the bubble's time pass, 10 ms at a time, until ok; it returns how long that took.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		synctest.Wait()
		if ok() {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// together waits until everybody sees everybody alive.
func (c *cluster) together() time.Duration {
	c.t.Helper()
	return until(c.t, 30*time.Second, "all alive", func() bool {
		for i := range c.all {
			if !c.every(Alive, i, but()) {
				return false
			}
		}
		return true
	})
}
