package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds of what strangers can occupy. Whoever holds no key can make a node read, in all, no more than
// (knownConns + otherConns) × maxStream bytes at a time.
const (
	maxPacket  = 2048      // bytes; memberlist's are 1400 at most
	maxStream  = 768 << 10 // bytes of one connection: the largest record and what seals it
	streamTime = 5 * time.Second
	dialTime   = 2 * time.Second
	knownConns = 32 // open connections from addresses of peers
	otherConns = 16 // open connections from elsewhere: strangers, and peers that are multihomed
)

// Dialer opens a TCP connection to a peer.
type Dialer func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

// wire owns the sockets. It outlives the memberlists on it, which come and go as settings change; without
// one, packets are dropped and connections closed.
type wire struct {
	udp  net.PacketConn
	tcp  net.Listener
	dial Dialer
	m    *metrics

	mu           sync.Mutex
	link         *link // guarded by mu; nil: gossip is off
	known, other int   // guarded by mu; open connections taken
	trusted      map[netip.Addr]bool
}

// attach makes a link the one that gets what arrives; nil for none.
func (w *wire) attach(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
}

func (w *wire) attached() *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.link
}

// expect sets the addresses of peers, which don't share places with strangers.
func (w *wire) expect(addrs map[netip.Addr]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trusted = addrs
}

// readPackets hands packets to the link until the socket is closed. While the link is busy they wait in
// the kernel's bounded queue.
func (w *wire) readPackets(ctx context.Context) error {
	if u, ok := w.udp.(interface{ SetReadBuffer(int) error }); ok {
		_ = u.SetReadBuffer(2 << 20) // as much of it as the system allows
	}
	buf := make([]byte, maxPacket+1)
	for {
		n, from, err := w.udp.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("gossip: read packets: %w", err)
			}
			w.m.drop(dropRead)
			pause(ctx)
			continue
		}
		l := w.attached()
		switch {
		case l == nil:
			w.m.drop(dropOff)
			continue
		case n > maxPacket || !isSealed(buf[:n]):
			w.m.drop(dropMalformed)
			continue
		}
		w.m.received.Add(float64(n))
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case l.packets <- p:
		case <-l.done:
		}
	}
}

// acceptStreams hands connections to the link until the listener is closed.
func (w *wire) acceptStreams(ctx context.Context) error {
	for {
		c, err := w.tcp.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("gossip: accept: %w", err)
			}
			w.m.drop(dropRead)
			pause(ctx)
			continue
		}
		w.take(c)
	}
}

// pause lets some time pass after an error of a socket: files, memory or the network may come back.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

func (w *wire) take(c net.Conn) {
	l := w.attached()
	if l == nil {
		w.m.drop(dropOff)
		_ = c.Close()
		return
	}
	release, ok := w.enter(c.RemoteAddr())
	if !ok {
		w.m.drop(dropConnections)
		_ = c.Close()
		return
	}
	s := l.track(c, release)
	_ = s.SetDeadline(time.Now().Add(streamTime)) // memberlist sets its own when it gets to it
	select {
	case l.streams <- s:
	case <-l.done:
		_ = s.Close()
	}
}

// enter counts one more connection; release must be called when it is closed.
func (w *wire) enter(from net.Addr) (release func(), ok bool) {
	var ip netip.Addr
	if a, ok := from.(*net.TCPAddr); ok {
		ip = a.AddrPort().Addr().Unmap()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	count, most := &w.other, otherConns
	if w.trusted[ip] {
		count, most = &w.known, knownConns
	}
	if *count >= most {
		return nil, false
	}
	*count++
	w.m.conns.Inc()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		*count--
		w.m.conns.Dec()
	}, true
}

// link is the wire as one memberlist sees it: a transport that reaches peers only, each where the
// configuration says that it is, whatever address others tell of it.
type link struct {
	wire    *wire
	self    netip.AddrPort
	where   func(id string) (netip.AddrPort, bool)
	dialled func(id string, took time.Duration, err error)
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	ctx     context.Context // of dials; ends with done
	cancel  context.CancelFunc
	once    sync.Once

	mu   sync.Mutex
	open map[*stream]struct{} // guarded by mu; nil after Shutdown
}

var _ memberlist.NodeAwareTransport = (*link)(nil)

func newLink(w *wire, self netip.AddrPort, where func(string) (netip.AddrPort, bool), dialled func(string, time.Duration, error)) *link {
	l := &link{
		wire: w, self: self, where: where, dialled: dialled,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}), open: map[*stream]struct{}{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

var errNoPeer = errors.New("not a peer")

// FinalAdvertiseAddr implements memberlist.Transport.
func (l *link) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return l.self.Addr().AsSlice(), int(l.self.Port()), nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (l *link) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, ok := l.where(to.Name)
	if !ok {
		// In this form memberlist takes it for a failed probe: a member that is no peer any more dies.
		return time.Time{}, &net.OpError{Op: "write", Net: "udp", Err: fmt.Errorf("send to %s: %w", to.Name, errNoPeer)}
	}
	n, err := l.wire.udp.WriteTo(b, net.UDPAddrFromAddrPort(at))
	l.wire.m.sent.Add(float64(n))
	if err != nil {
		// The network or room for the packet is missing: it is lost like any packet. What memberlist
		// makes of an error would end the probe without a verdict.
		l.wire.m.drop(dropWrite)
	}
	return time.Now(), nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (l *link) DialAddressTimeout(to memberlist.Address, limit time.Duration) (net.Conn, error) {
	at, ok := l.where(to.Name)
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", to.Name, errNoPeer)
	}
	ctx, cancel := context.WithTimeout(l.ctx, min(limit, dialTime))
	defer cancel()
	c, took, err := l.wire.connect(ctx, at)
	l.dialled(to.Name, took, err)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", to.Name, at, err)
	}
	return l.track(c, func() {}), nil
}

// synAgain is when a connection that has not come about is tried anew, beside the first: a lost SYN is
// repeated after a second, and by then a living peer would be buried.
const synAgain = 60 * time.Millisecond

// connect dials, and dials once more when it takes long. It returns how long the successful dial took.
func (w *wire) connect(ctx context.Context, to netip.AddrPort) (net.Conn, time.Duration, error) {
	type result struct {
		conn net.Conn
		took time.Duration
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, 2)
	start := func() {
		begin := time.Now()
		c, err := w.dial(ctx, to)
		results <- result{c, time.Since(begin), err}
	}
	go start()
	running := 1
	again := time.NewTimer(synAgain)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			running++
			go start()
		case r := <-results:
			running--
			if r.err != nil && running > 0 && !refused(r.err) {
				continue
			}
			cancel()
			for range running { // it ends soon
				if late := <-results; late.conn != nil {
					_ = late.conn.Close()
				}
			}
			return r.conn, r.took, r.err
		}
	}
}

// refused reports whether a dial failed because nobody listens on a host that is there.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// PacketCh implements memberlist.Transport.
func (l *link) PacketCh() <-chan *memberlist.Packet { return l.packets }

// StreamCh implements memberlist.Transport.
func (l *link) StreamCh() <-chan net.Conn { return l.streams }

// Shutdown implements memberlist.Transport: nothing more comes or goes.
func (l *link) Shutdown() error {
	l.once.Do(func() {
		l.cancel()
		close(l.done)
		l.mu.Lock()
		open := l.open
		l.open = nil
		l.mu.Unlock()
		for s := range open {
			_ = s.Close()
		}
	})
	return nil
}

// The transports that memberlist composes; it calls none of these on ours.

// WriteTo implements memberlist.Transport.
func (l *link) WriteTo(_ []byte, addr string) (time.Time, error) {
	return time.Time{}, fmt.Errorf("send to %s: no name: %w", addr, errNoPeer)
}

// DialTimeout implements memberlist.Transport.
func (l *link) DialTimeout(addr string, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: no name: %w", addr, errNoPeer)
}

// IngestPacket implements memberlist.IngestionAwareTransport.
func (l *link) IngestPacket(c net.Conn, _ net.Addr, _ time.Time, _ bool) error {
	return errors.Join(errors.ErrUnsupported, c.Close())
}

// IngestStream implements memberlist.IngestionAwareTransport.
func (l *link) IngestStream(c net.Conn) error {
	return errors.Join(errors.ErrUnsupported, c.Close())
}

// stream is a connection that yields a sealed message of no more than maxStream bytes, and ends with its link.
type stream struct {
	net.Conn
	link    *link
	begun   bool   // the frame's head was read; memberlist reads from one goroutine
	head    []byte // of which this is still to be handed over
	left    int    // of what may be read
	once    sync.Once
	release func()
}

func (l *link) track(c net.Conn, release func()) *stream {
	s := &stream{Conn: c, link: l, left: maxStream, release: release}
	l.mu.Lock()
	closed := l.open == nil
	if !closed {
		l.open[s] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		_ = s.Close()
	}
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	if !s.begun {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	if len(s.head) > 0 {
		n := copy(b, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	if s.left <= 0 {
		s.link.wire.m.drop(dropTooLong)
		return 0, fmt.Errorf("stream from %s: more than %d bytes: %w", s.RemoteAddr(), maxStream, io.ErrUnexpectedEOF)
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	s.link.wire.m.received.Add(float64(n))
	return n, err
}

// begin reads the frame's head. memberlist sees nothing of a frame that is not sealed or holds nothing.
func (s *stream) begin() error {
	head := make([]byte, frameHead)
	n, err := io.ReadFull(s.Conn, head)
	s.left -= n
	s.link.wire.m.received.Add(float64(n))
	if err != nil {
		return err
	}
	if err := checkFrame(head); err != nil {
		s.link.wire.m.drop(dropMalformed)
		return fmt.Errorf("stream from %s: %w", s.RemoteAddr(), err)
	}
	s.begun, s.head = true, head
	return nil
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.link.wire.m.sent.Add(float64(n))
	return n, err
}

func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		s.link.mu.Lock()
		if s.link.open != nil {
			delete(s.link.open, s)
		}
		s.link.mu.Unlock()
		s.release()
	})
	return err
}
