package gossip

import (
	"context"
	"errors"
	"fmt"
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
