package liveness

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/warrenedge/warren/shared/bubbletest"
)

const testPort = 7102

// lan is a network in memory with a delay, from which single directions can be cut.
type lan struct {
	delay time.Duration

	mu    sync.Mutex
	hosts map[netip.Addr]*socket
	cuts  map[[2]netip.Addr]bool
	sent  map[netip.Addr]int
	mtu   map[netip.Addr]int // of the way from a host; 0: any
}

func newLAN(delay time.Duration) *lan {
	return &lan{delay: delay, hosts: map[netip.Addr]*socket{}, cuts: map[[2]netip.Addr]bool{}, sent: map[netip.Addr]int{}, mtu: map[netip.Addr]int{}}
}

func (l *lan) cut(from, to netip.Addr, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts[[2]netip.Addr{from, to}] = is
}

// count takes the number of datagrams that a host has sent since the last time.
func (l *lan) count(host netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.sent[host]
	l.sent[host] = 0
	return n
}

type datagram struct {
	from net.Addr
	b    []byte
}

type socket struct {
	net.PacketConn
	lan    *lan
	addr   netip.Addr
	in     chan datagram
	closed chan struct{}
	once   sync.Once
}

func (l *lan) listen(addr netip.Addr) *socket {
	s := &socket{lan: l, addr: addr, in: make(chan datagram, 100), closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts[addr] = s
	return s
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-s.closed:
		return 0, nil, net.ErrClosed
	case d := <-s.in:
		return copy(b, d.b), d.from, nil
	}
}

func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.lan.mu.Lock()
	defer s.lan.mu.Unlock()
	s.lan.sent[s.addr]++
	dst := to.(*net.UDPAddr).AddrPort().Addr()
	host := s.lan.hosts[dst]
	if mtu := s.lan.mtu[s.addr]; mtu > 0 && len(b)+probeHeader > mtu {
		return len(b), nil
	}
	if host == nil || s.lan.cuts[[2]netip.Addr{s.addr, dst}] {
		return len(b), nil
	}
	d := datagram{net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.addr, testPort)), append([]byte(nil), b...)}
	time.AfterFunc(s.lan.delay, func() {
		select {
		case host.in <- d:
		default:
		}
	})
	return len(b), nil
}

func (s *socket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

var (
	addrA = netip.MustParseAddr("fd57:6172:7265::a")
	addrB = netip.MustParseAddr("fd57:6172:7265::b")
)

// host is a Monitor at work.
type host struct {
	*Monitor
	stop func()
}

func start(t *testing.T, l *lan, addr netip.Addr, o Options, peers ...Peer) *host {
	t.Helper()
	o.Port, o.Log = testPort, slog.New(slog.DiscardHandler)
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	h := &host{Monitor: New(o)}
	h.Apply(peers)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := l.listen(addr)
	go func() { done <- h.Serve(ctx, s) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// inBubble runs a test in its own time; cleanups of f's t end before it does.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	bubbletest.Run(t, f)
}

func pairOn(t *testing.T, l *lan) (a, b *host) {
	t.Helper()
	return start(t, l, addrA, Options{}, Peer{ID: "b", Addr: addrB}), start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
}

func TestBothEndsLearn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(15 * ms)
		a, b := pairOn(t, l)
		time.Sleep(5 * time.Second)
		for name, s := range map[string]Status{"a of b": a.Status("b"), "b of a": b.Status("a")} {
			if s.State != Up || !s.Heard || s.Quality.RTT < 29*ms || s.Quality.RTT > 31*ms || s.Quality.Loss > .1 {
				t.Errorf("%s: %+v, want up with a round trip of 30 ms", name, s)
			}
		}
		time.Sleep(20 * time.Second)
		l.count(addrA)
		l.count(addrB)
		time.Sleep(100 * time.Second)
		if na, nb := l.count(addrA), l.count(addrB); na > 105 || nb > 105 {
			t.Errorf("idle, %d and %d messages in 100 s: want one question and one answer a second", na, nb)
		}
		a.Use("b")
		time.Sleep(5 * time.Second)
		if n := l.count(addrA); n < 23 {
			t.Errorf("in use, %d questions in 5 s", n)
		}
	})
}

func TestTrafficIsUse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(ms)
		began := time.Now()
		start(t, l, addrA, Options{Traffic: func(addr netip.Addr) uint64 {
			if addr != addrB {
				t.Errorf("asked for the traffic of %s", addr)
			}
			return uint64(time.Since(began))
		}}, Peer{ID: "b", Addr: addrB})
		start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
		time.Sleep(time.Minute)
		l.count(addrA)
		time.Sleep(10 * time.Second)
		if n := l.count(addrA); n < 48 {
			t.Errorf("%d questions in 10 s of traffic", n)
		}
	})
}

// While another path is watched at both ends, one at rest costs little; when that ends, both ask at once.
func TestLeaningOnAnotherPath(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(15 * ms)
		var traffic atomic.Uint64
		a := start(t, l, addrA, Options{Traffic: func(netip.Addr) uint64 { return traffic.Load() }})
		a.Lean("b", true) // before it is a peer
		a.Apply([]Peer{{ID: "b", Addr: addrB}})
		b := start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
		time.Sleep(time.Second)
		b.Lean("a", true)
		time.Sleep(restAfter + 30*time.Second)
		l.count(addrA)
		time.Sleep(10 * EveryLean)
		if n := l.count(addrA); n < 9 || n > 11+10 { // and the size of packets is looked at again
			t.Errorf("at rest, %d messages in %v", n, 10*EveryLean)
		}
		traffic.Add(1) // which only the other end notices by itself
		b.Use("a")
		time.Sleep(5 * time.Second)
		if n := l.count(addrA); n < 20 {
			t.Errorf("in use, %d messages in 5 s", n)
		}
		time.Sleep(restAfter + 30*time.Second)
		l.cut(addrA, addrB, true)
		a.Lean("b", false)
		b.Lean("a", false)
		time.Sleep(time.Second)
		if a.Up("b") || b.Up("a") {
			t.Errorf("a second after the other path: %v, %v", a.Status("b").State, b.Status("a").State)
		}
	})
}

// Each direction that is cut is noticed by both ends, although one of them hears the other.
func TestHalfOpen(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to netip.Addr
	}{{"the one that asks is not heard", addrA, addrB}, {"the one that follows is not heard", addrB, addrA}} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLAN(5 * ms)
				a, b := pairOn(t, l)
				time.Sleep(2 * time.Second)
				if !a.Up("b") || !b.Up("a") {
					t.Fatal("not up")
				}
				l.cut(tt.from, tt.to, true)
				time.Sleep(1100 * ms)
				if s := a.Status("b"); s.State != Down {
					t.Errorf("a holds b to be %s", s.State)
				}
				if s := b.Status("a"); s.State != Down {
					t.Errorf("b holds a to be %s", s.State)
				}
				time.Sleep(time.Minute)
				l.cut(tt.from, tt.to, false)
				time.Sleep(1500 * ms)
				if !a.Up("b") || !b.Up("a") {
					t.Error("not up again")
				}
			})
		})
	}
}

func TestChangesAreToldInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var got []Change
		l := newLAN(ms)
		start(t, l, addrA, Options{Changed: func(c Change) { got = append(got, c) }}, Peer{ID: "b", Addr: addrB})
		b := start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
		time.Sleep(time.Second)
		b.stop()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := []Change{{"b", Unknown, Up}, {"b", Up, Suspect}, {"b", Suspect, Down}}
		if len(got) != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%v, want %v", got, want)
			}
		}
	})
}

// A peer that begins anew is not taken for the old one, and is up again soon.
func TestPeerRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(ms)
		a, b := pairOn(t, l)
		time.Sleep(time.Second)
		b.stop()
		time.Sleep(time.Minute)
		if a.Up("b") {
			t.Fatal("up without anybody there")
		}
		b = start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
		time.Sleep(1500 * ms)
		if !a.Up("b") || !b.Up("a") {
			t.Error("not up again")
		}
	})
}

func TestApplyKeepsWhatIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(ms)
		a, _ := pairOn(t, l)
		time.Sleep(time.Second)
		a.Apply([]Peer{{ID: "c", Addr: netip.MustParseAddr("fd57:6172:7265::c")}, {ID: "b", Addr: addrB}})
		if !a.Up("b") {
			t.Error("b is not up any more")
		}
		time.Sleep(3 * time.Second)
		if s := a.Status("c"); s.State != Down || s.Heard {
			t.Errorf("c: %+v, want down and never heard", s)
		}
		a.Apply(nil)
		if s := a.Status("b"); s != (Status{}) {
			t.Errorf("b: %+v after it was removed", s)
		}
		synctest.Wait() // for a question that was on its way into the socket
		l.count(addrA)
		time.Sleep(time.Second)
		if n := l.count(addrA); n != 0 {
			t.Errorf("%d messages to nobody", n)
		}
	})
}

func TestStrangersAndFloods(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(0)
		reg := prometheus.NewRegistry()
		a := start(t, l, addrA, Options{Registerer: reg}, Peer{ID: "b", Addr: addrB})
		stranger, b := l.listen(netip.MustParseAddr("fd57:6172:7265::d")), l.listen(addrB)
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addrA, testPort))
		question := message{kind: ask, epoch: 1, seq: 1}.append(nil)
		send := func(s *socket, b []byte) {
			_, _ = s.WriteTo(b, to)
			synctest.Wait()
		}
		l.count(addrA)
		send(stranger, question)
		send(b, question[:10])
		if n := l.count(addrA); n > 1 { // its own question to b
			t.Errorf("%d messages sent upon a stranger's and a short one", n)
		}
		for range 1000 {
			send(b, question)
		}
		if n := l.count(addrA); n < answersMost || n > answersMost+5 {
			t.Errorf("%d answers to a flood, want %d", n, answersMost)
		}
		for reason, want := range map[string]float64{dropStranger: 1, dropMalformed: 1, dropFlood: 900} {
			var got dto.Metric
			if err := a.m.dropped.WithLabelValues(reason).Write(&got); err != nil || got.GetCounter().GetValue() != want {
				t.Errorf("%v dropped as %s, want %v", got.GetCounter().GetValue(), reason, want)
			}
		}
	})
}

// Each end finds what its own direction carries, and that does not look like loss.
func TestMTU(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLAN(10 * ms)
		l.mtu[addrA] = 1350
		var sizes []int
		a := start(t, l, addrA, Options{Resized: func(to netip.Addr, mtu int) {
			if to != addrB {
				t.Errorf("size to %s", to)
			}
			sizes = append(sizes, mtu)
		}}, Peer{ID: "b", Addr: addrB})
		b := start(t, l, addrB, Options{}, Peer{ID: "a", Addr: addrA, Follow: true})
		time.Sleep(10 * time.Second)
		if got := a.Status("b").MTU; got < 1350-sizeStep || got > 1350 {
			t.Errorf("a: %d, want nearly 1350", got)
		}
		if got := b.Status("a").MTU; got != SizeMost {
			t.Errorf("b: %d, want %d", got, SizeMost)
		}
		if q := a.Quality("b"); q.Loss > .1 {
			t.Errorf("loss of %v", q.Loss)
		}
		synctest.Wait()
		if sizes[0] != SizeLeast || sizes[len(sizes)-1] != a.Status("b").MTU {
			t.Errorf("sizes told: %v", sizes)
		}
		l.mu.Lock()
		l.mtu[addrA] = 0
		l.mu.Unlock()
		time.Sleep(11 * time.Minute)
		if got := a.Status("b").MTU; got != SizeMost {
			t.Errorf("a: %d after ten minutes, want %d", got, SizeMost)
		}
	})
}

func TestServeEndsWithItsSocket(t *testing.T) {
	s := newLAN(0).listen(addrA)
	_ = s.Close()
	m := New(Options{Port: testPort, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err := m.Serve(t.Context(), s); err == nil {
		t.Error("no error, although the socket was closed by another")
	}
}
