package l4

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/udp"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/porttest"
)

func udpForward(service string, port uint16, ids ...string) Forward {
	return Forward{Service: service, Network: fabric.UDP, FirstPort: port, LastPort: port, Targets: targets(ids...)}
}

func TestUDPAffinity(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{
		"a": {Address: udpEcho(t, "a"), Network: fabric.UDP}, "b": {Address: udpEcho(t, "b"), Network: fabric.UDP},
	}))
	run(t, s.Run)
	port := porttest.Free(t, 1)
	apply(t, s, udpForward("s", port, "a", "b"))
	seen := map[string]bool{}
	var clients []net.Conn
	for range 8 {
		c := dial(t, "udp", port)
		clients = append(clients, c)
		first := ask(t, c, "")
		seen[first] = true
		for range 20 {
			if got := ask(t, c, "x"); got != first+"x" {
				t.Fatalf("answer %q after one of %s", got, first)
			}
		}
	}
	if !seen["a"] || !seen["b"] {
		t.Errorf("targets %v, want both", seen)
	}
	// A flow whose target is gone gets another one; the others stay.
	apply(t, s, udpForward("s", port, "b"))
	for _, c := range clients {
		if got := ask(t, c, "y"); got != "by" {
			t.Errorf("answer %q", got)
		}
	}
	apply(t, s)
	if n, sources := s.flows.len(); n != 0 || sources != 0 {
		t.Errorf("%d flows of %d sources are left of a closed port", n, sources)
	}
}

func TestBigDatagrams(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{"a": {Address: udpEcho(t, ""), Network: fabric.UDP}}))
	run(t, s.Run)
	port := porttest.Free(t, 1)
	apply(t, s, udpForward("s", port, "a"))
	c := dial(t, "udp", port)
	for _, n := range []int{65507, 0, 1, 1472, 4094, 4095, 9000, 65506} {
		want := strings.Repeat("0123456789", n/10+1)[:n]
		if got := ask(t, c, want); got != want {
			t.Fatalf("%d bytes came back as %d", n, len(got))
		}
	}
}

// An answer comes from the address that was asked, of several that a port listens on, and the target's side
// is told which one that was.
func TestAnswersComeFromTheAddressAsked(t *testing.T) {
	dialTarget := site(t, map[string]connector.Target{"a": {Address: udpEcho(t, "a"), Network: fabric.UDP}})
	asked := make(chan fabric.Request, 8)
	s := newServer(func(ctx context.Context, r fabric.Request) (net.Conn, error) {
		asked <- r
		return dialTarget(ctx, r)
	})
	s.host = ""
	run(t, s.Run)
	port := porttest.Free(t, 1)
	apply(t, s, udpForward("s", port, "a"))
	for _, host := range []string{"127.0.0.2", "127.0.0.1", "::1"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), port)
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // takes answers from there only
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if got := ask(t, c, "1"); got != "a1" {
			t.Errorf("answer %q", got)
		}
		if r := <-asked; r.Local != to || r.Client != c.LocalAddr().(*net.UDPAddr).AddrPort() || r.Network != fabric.UDP || r.Port != 0 {
			t.Errorf("asked for %+v", r)
		}
	}
}

// A target that is not there costs datagrams, not the flow.
func TestTargetThatComesLater(t *testing.T) {
	port := porttest.Free(t, 2)
	s := newServer(site(t, map[string]connector.Target{"a": {Address: at(port), Network: fabric.UDP}}))
	run(t, s.Run)
	apply(t, s, udpForward("s", port+1, "a"))
	c := dial(t, "udp", port+1)
	for range 3 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "a flow", func() bool { n, _ := s.flows.len(); return n == 1 })
	pc, err := net.ListenPacket("udp", at(port))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	waitFor(t, "a datagram arrives", func() bool {
		_, _ = c.Write([]byte("y"))
		_ = pc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, _, err := pc.ReadFrom(make([]byte, 10))
		return err == nil
	})
}

// packets is a PacketConn whose datagrams a test makes up, from whom it likes.
type packets struct {
	in     chan packet
	out    chan packet
	closed chan struct{}
	once   sync.Once
}

type packet struct {
	addr netip.AddrPort
	data string
}

func newPackets() *packets {
	return &packets{in: make(chan packet), out: make(chan packet, 1024), closed: make(chan struct{})}
}

func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case in := <-p.in:
		return copy(b, in.data), net.UDPAddrFromAddrPort(in.addr), nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *packets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.out <- packet{to.(*net.UDPAddr).AddrPort(), string(b)}
	return len(b), nil
}
func (p *packets) Close() error                     { p.once.Do(func() { close(p.closed) }); return nil }
func (p *packets) LocalAddr() net.Addr              { return &net.UDPAddr{Port: 53} }
func (p *packets) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (p *packets) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (p *packets) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// serves makes a port of a Server that stands on what the test gives, instead of on the system.
func (s *Server) serves(t *testing.T, f Forward, l net.Listener, pc net.PacketConn) *port {
	t.Helper()
	p := &port{key: key{f.Network, f.FirstPort}, listener: l, forward: newForward(f, s.reach.Health), conns: map[*conn]struct{}{}}
	if pc != nil {
		var err error
		if p.socket, err = udp.NewSocket(pc); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[p.key] = p
	s.fresh = append(s.fresh, p)
	s.wake <- struct{}{}
	return p
}

// stream is a target's end of a flow.
type stream struct {
	*fabric.Datagrams
	net.Conn
	r fabric.Request
}

// streams is a dialler that hands out the other ends.
func streams(out chan stream) func(context.Context, fabric.Request) (net.Conn, error) {
	return func(_ context.Context, r fabric.Request) (net.Conn, error) {
		near, far := net.Pipe()
		out <- stream{fabric.NewDatagrams(far), far, r}
		return near, nil
	}
}

func client(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 4711)
}

func TestFlowEndsWhenIdle(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		far := make(chan stream, 1)
		s := newServer(streams(far))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		pc := newPackets()
		s.serves(t, udpForward("s", 53, "a"), nil, pc)
		pc.in <- packet{client(1), "one"}
		a := <-far
		read := func(want string) {
			t.Helper()
			if b, err := a.ReadPacket(); err != nil || string(b) != want {
				t.Fatalf("got %q, %v, want %q", b, err, want)
			}
		}
		read("one")
		for range 5 { // answers alone keep it, as questions do
			time.Sleep(idleFlow - sweepTime)
			if err := a.WritePacket([]byte("answer")); err != nil {
				t.Fatal(err)
			}
			if got := <-pc.out; got != (packet{client(1), "answer"}) {
				t.Errorf("sent %v", got)
			}
			time.Sleep(idleFlow - sweepTime)
			pc.in <- packet{client(1), "question"}
			read("question")
		}
		start := time.Now()
		if _, err := a.ReadPacket(); err == nil {
			t.Error("a datagram out of nothing")
		}
		if d := time.Since(start); d < idleFlow || d > idleFlow+sweepTime {
			t.Errorf("ended after %v, want %v", d, idleFlow)
		}
		// The next datagram begins again.
		pc.in <- packet{client(1), "two"}
		a = <-far
		read("two")
		_ = a.Close() // the way to the target is lost
		synctest.Wait()
		pc.in <- packet{client(1), "three"}
		a = <-far
		read("three")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.memory.used.Load(); n != 0 {
			t.Errorf("%d bytes count as queued", n)
		}
	})
}

// A target that does not answer is looked for once a second, whatever a client sends.
func TestFlowWithoutATarget(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		dials := 0
		s := newServer(func(context.Context, fabric.Request) (net.Conn, error) {
			dials++
			return nil, errors.New("nobody there")
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		pc := newPackets()
		s.serves(t, udpForward("s", 53, "a"), nil, pc)
		for range 1000 {
			pc.in <- packet{client(1), "x"}
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		<-done
		if dials < 9 || dials > 11 {
			t.Errorf("%d dials in ten seconds", dials)
		}
	})
}

// A flood from many sources: no more streams are asked for at once, no more flows kept than there may be,
// and who talked before goes on talking.
func TestFloodOfSources(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		block := make(chan struct{})
		var mu sync.Mutex
		opened := 0
		ends := make(chan stream, 1)
		honest := streams(ends)
		s := newServer(func(ctx context.Context, r fabric.Request) (net.Conn, error) {
			if r.Client == client(1) {
				return honest(ctx, r)
			}
			mu.Lock()
			opened++
			mu.Unlock()
			select {
			case <-block:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			near, far := net.Pipe()
			go func() { // a target that never answers
				b := make([]byte, 2048)
				for {
					if _, err := far.Read(b); err != nil {
						return
					}
				}
			}()
			return near, nil
		})
		const most, flood = 1000, 6000
		s.flows = newFlows(4, most)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		pc := newPackets()
		s.serves(t, udpForward("s", 53, "a"), nil, pc)

		pc.in <- packet{client(1), "hello"}
		me := <-ends
		for range 2 {
			if b, err := me.ReadPacket(); err != nil || string(b) != "hello" {
				t.Fatalf("%q, %v", b, err)
			}
			_ = me.WritePacket([]byte("hi"))
			<-pc.out
			pc.in <- packet{client(1), "hello"}
		}
		_, _ = me.ReadPacket()

		for n := range flood {
			pc.in <- packet{client(1000 + n), "flood"}
		}
		synctest.Wait()
		if opened > maxOpening {
			t.Errorf("%d streams were asked for at once, want %d at most", opened, maxOpening)
		}
		if v := value(t, s.m.dropped.WithLabelValues(string(reasonOpening))); v != float64(flood-opened) {
			t.Errorf("%v datagrams count as dropped", v)
		}
		close(block)
		for n := range flood {
			pc.in <- packet{client(1000 + n), "flood"}
			if n%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n, _ := s.flows.len(); n > most {
			t.Errorf("%d flows, want %d at most", n, most)
		}
		if opened < 5*most {
			t.Errorf("only %d flows were begun: this test shows nothing", opened)
		}
		pc.in <- packet{client(1), "still here"}
		if b, err := me.ReadPacket(); err != nil || string(b) != "still here" {
			t.Errorf("after the flood: %q, %v", b, err)
		}
		// One source with many ports pushes out its own flows only.
		for n := range 100 {
			pc.in <- packet{netip.AddrPortFrom(client(7).Addr(), uint16(1000+n)), "flood"}
		}
		synctest.Wait()
		own := s.flows.bySource[client(7).Addr()]
		if own == nil || own.Len() != 4 {
			t.Error("one source does not have what it may have")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.opening.Load(); n != 0 {
			t.Errorf("%d flows count as opening", n)
		}
	})
}

// A stream that takes nothing holds up to its bound, and nobody else.
func TestSlowStream(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		far := make(chan stream, 2)
		s := newServer(streams(far))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		pc := newPackets()
		s.serves(t, udpForward("s", 53, "a"), nil, pc)
		const size, sent = 1000, 1000
		data := strings.Repeat("x", size)
		pc.in <- packet{client(1), data}
		slow := <-far
		synctest.Wait() // the first one is being written
		for range sent - 1 {
			pc.in <- packet{client(1), data}
		}
		synctest.Wait()
		held := s.memory.used.Load()
		if held > maxQueue+size+2 {
			t.Errorf("%d bytes are held for one stream", held)
		}
		kept := int(held) / (size + 2)
		if v := value(t, s.m.dropped.WithLabelValues(string(reasonQueue))); int(v) != sent-kept {
			t.Errorf("%v datagrams were dropped, %d kept of %d", v, kept, sent)
		}
		pc.in <- packet{client(2), "quick"}
		quick := <-far
		if b, err := quick.ReadPacket(); err != nil || string(b) != "quick" {
			t.Errorf("the other one: %q, %v", b, err)
		}
		for i := range kept {
			if b, err := slow.ReadPacket(); err != nil || string(b) != data {
				t.Fatalf("datagram %d of %d: %d bytes, %v", i, kept, len(b), err)
			}
		}
		synctest.Wait()
		if n := s.memory.used.Load(); n != 0 {
			t.Errorf("%d bytes count as held", n)
		}
		// One that takes nothing for long is given up.
		pc.in <- packet{client(1), data}
		time.Sleep(writeTime + time.Second)
		synctest.Wait()
		if v := value(t, s.m.ended.WithLabelValues(string(reasonStream))); v != 1 {
			t.Errorf("%v flows ended with their stream", v)
		}
		cancel()
		<-done
	})
}

func TestMemoryOfAllQueues(t *testing.T) {
	m := memory{most: 100}
	var a, b queue
	if _, why := a.put(make([]byte, 58), &m); why != "" {
		t.Error(why)
	}
	if _, why := b.put(make([]byte, 58), &m); why != reasonMemory {
		t.Errorf("%q", why)
	}
	a.end(&m)
	if _, why := a.put(nil, &m); why != reasonStream {
		t.Errorf("%q", why)
	}
	if _, why := b.put(make([]byte, 58), &m); why != "" {
		t.Error(why)
	}
	b.end(&m)
	if n := m.used.Load(); n != 0 {
		t.Errorf("%d bytes are held by nothing", n)
	}
}
