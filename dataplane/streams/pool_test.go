package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// bubble is a node and a connector, or another node that relays, without a network, in the time of a bubble.
type bubble struct {
	node  *Node
	peer  string // who dials
	link  *Connector
	conns chan net.Conn
	shut  chan struct{}
	once  sync.Once

	stopLink func()        // ends the connector and waits for it
	silent   chan struct{} // one for each time that the node found the connector silent, nine at most
	missed   tellings

	mu   sync.Mutex
	cut  bool // guarded by mu; nothing arrives any more, and nobody is told
	sent int  // guarded by mu; writes so far
}

// lossless is one end of a connection with a buffer, which can be cut without either end being told.
type lossless struct {
	net.Conn
	b      *bubble
	out    chan []byte // a queue long enough for what these tests send
	closed chan struct{}
	once   sync.Once
}

// setCut cuts everything, or undoes it.
func (b *bubble) setCut(cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = cut
}

func (b *bubble) isSilent(string) {
	select {
	case b.silent <- struct{}{}:
	default:
	}
}

func (b *bubble) pipe() (near, far net.Conn) {
	p, q := net.Pipe()
	return b.buffered(p), b.buffered(q)
}

func (b *bubble) buffered(c net.Conn) net.Conn {
	l := &lossless{Conn: c, b: b, out: make(chan []byte, 1<<12), closed: make(chan struct{})}
	go func() {
		defer c.Close()
		for {
			select {
			case p := <-l.out:
				if _, err := c.Write(p); err != nil {
					return
				}
				continue
			default:
			}
			select {
			case p := <-l.out:
				if _, err := c.Write(p); err != nil {
					return
				}
			case <-l.closed:
				return
			}
		}
	}()
	return l
}

func (l *lossless) Write(p []byte) (int, error) {
	l.b.mu.Lock()
	cut := l.b.cut
	l.b.sent++
	l.b.mu.Unlock()
	if cut {
		return len(p), nil
	}
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	case l.out <- bytes.Clone(p):
		return len(p), nil
	}
}

func (l *lossless) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (l *lossless) Close() error {
	l.once.Do(func() {
		close(l.closed)
		_ = l.Conn.SetDeadline(time.Unix(1, 0)) // the writer hands over what it can at once
	})
	return nil
}

func (l *lossless) SetReadDeadline(t time.Time) error {
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
		return l.Conn.SetReadDeadline(t)
	}
}

func (l *lossless) SetWriteDeadline(time.Time) error { return nil }
func (l *lossless) SetDeadline(t time.Time) error    { return l.SetReadDeadline(t) }

func (b *bubble) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.shut:
		return nil, net.ErrClosed
	}
}

func (b *bubble) Close() error {
	b.once.Do(func() { close(b.shut) })
	return nil
}

func (b *bubble) Addr() net.Addr { return &net.TCPAddr{} }

func (b *bubble) dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	b.mu.Lock()
	cut := b.cut
	b.mu.Unlock()
	if cut {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := b.pipe()
	select {
	case b.conns <- far:
		return near, nil
	case <-ctx.Done():
		_, _ = near.Close(), far.Close()
		return nil, ctx.Err()
	}
}

// inBubble runs f with a node and a connector that have found each other.
func inBubble(t *testing.T, f func(t *testing.T, b *bubble)) { inBubbleOf(t, identity.Connector, f) }

// inBubbleOf is inBubble with somebody of a kind in the connector's place.
func inBubbleOf(t *testing.T, kind identity.Kind, f func(t *testing.T, b *bubble)) {
	ca := identitytest.New(t)
	bubbletest.Run(t, func(t *testing.T) {
		b := &bubble{peer: string(kind) + "_1", conns: make(chan net.Conn), shut: make(chan struct{}), silent: make(chan struct{}, 9)}
		b.node = NewNode(NodeOptions{
			Credentials: ca.Credentials(t, identity.Node, "node_0"), From: kind, Silent: b.isSilent, Log: quiet(), Registerer: prometheus.NewRegistry(),
		})
		b.link = NewConnector(Options{
			Credentials: ca.Credentials(t, kind, b.peer), As: kind, TUN: func() bool { return false }, Log: quiet(), Registerer: prometheus.NewRegistry(),
			Handler: func(_ context.Context, c net.Conn, _ string) { _, _ = io.Copy(c, c); _ = c.(*stream).CloseWrite() }, Missed: b.missed.told,
		})
		b.link.dial.Connect = b.dial
		b.node.Apply(NodeConfig{Peers: map[string]bool{b.peer: true}})
		b.link.Apply(ConnectorConfig{Nodes: map[string]endpoint.Endpoint{"node_0": endpoint.MustParse("192.0.2.1:443")}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.node.Serve(ctx, b); err != nil {
				t.Error(err)
			}
		})
		linkCtx, end := context.WithCancel(ctx)
		linked := make(chan struct{})
		go func() {
			defer close(linked)
			_ = b.link.Run(linkCtx)
		}()
		b.stopLink = func() { end(); <-linked }
		time.Sleep(time.Second)
		synctest.Wait()
		f(t, b)
		b.stopLink()
		cancel()
		wg.Wait()
	})
}

func (b *bubble) open(t *testing.T) *stream {
	t.Helper()
	s, err := b.try(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bubble) try(t *testing.T) (*stream, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := b.node.Dial(ctx, b.peer, netip.AddrPortFrom(netip.Addr{}, b.node.speaks.port))
	if err != nil {
		return nil, err
	}
	_, werr := c.Write([]byte("x"))
	_, rerr := io.ReadFull(c, make([]byte, 1))
	if err := errors.Join(werr, rerr); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c.(*stream), nil
}

func (b *bubble) close(t *testing.T, s *stream) {
	t.Helper()
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	_ = s.Close()
}

func (b *bubble) want(t *testing.T, idle, busy int) {
	t.Helper()
	synctest.Wait()
	if i, busyNow, _ := b.node.counts(); i != idle || busyNow != busy {
		t.Errorf("%d idle, %d busy, want %d and %d", i, busyNow, idle, busy)
	}
}

// The pool doubles with demand, keeps what was needed for a while, and goes back to the least.
func TestPoolFollowsDemand(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.want(t, restConns, 0)
		time.Sleep(time.Hour)
		b.want(t, restConns, 0)
		var open []*stream
		for n := 1; n <= 40; n++ {
			open = append(open, b.open(t))
			time.Sleep(10 * time.Millisecond)
			b.want(t, size(n)-n, n)
		}
		for _, s := range open {
			b.close(t, s)
		}
		b.want(t, size(40), 0)
		time.Sleep(window - 2*time.Second)
		b.want(t, size(40), 0)
		time.Sleep(window + 3*sweepEvery)
		b.want(t, restConns, 0)
		b.close(t, b.open(t)) // and is used as before
	})
}

// Heartbeats are seldom while nothing happens, and frequent from the first use on.
func TestRest(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		within := func(d time.Duration) int {
			b.mu.Lock()
			before := b.sent
			b.mu.Unlock()
			time.Sleep(d)
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.sent - before
		}
		time.Sleep(2 * time.Minute)
		if n, most := within(time.Minute), 2*int(time.Minute/restEvery)+2; n > most {
			t.Errorf("%d writes in a minute of rest, want %d at most", n, most)
		}
		b.close(t, b.open(t))
		if n, least := within(5*time.Second), 2*int(5*time.Second/(2*liveness.EveryInUse)); n < least {
			t.Errorf("%d writes in five seconds of use, want %d at least", n, least)
		}
	})
}

// Waiting for a connection ends with the context, and with the control connection; a connection that comes
// too late is idle.
func TestDialWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.setCut(true) // no more connections
		p := b.node.pool("connector_1", false)
		for range restConns {
			if _, err := p.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := p.take(ctx); err == nil || time.Since(start) != 100*time.Millisecond {
			t.Errorf("waited %v, %v", time.Since(start), err)
		}
		if _, err := p.take(t.Context()); err == nil { // until the connector is given up
			t.Error("a connection out of nothing")
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("waited %v for a dead connector", took)
		}
		if _, err := p.take(t.Context()); err != errDown {
			t.Errorf("a dead connector: %v", err)
		}
	})
}

// A path that is cut without a word is noticed at both ends and found again when it is back.
func TestSilentCut(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		for range 3 {
			b.close(t, b.open(t)) // in use: heartbeats are frequent
			time.Sleep(2 * time.Second)
			if !b.node.Up("connector_1") {
				t.Fatal("not up")
			}
			b.setCut(true)
			time.Sleep(time.Second)
			if b.node.Up("connector_1") {
				t.Error("up a second after the cut")
			}
			<-b.silent
			time.Sleep(30 * time.Second)
			b.setCut(false)
			time.Sleep(5 * time.Second)
			if !b.node.Up("connector_1") {
				t.Error("not up five seconds after the path is back")
			}
			b.want(t, size(1), 0)
		}
	})
}

// The end of a control connection that still worked is as good a sign as silence; being replaced is none.
func TestEndOfControlIsSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		control := func() *session {
			p := b.node.pool("connector_1", false)
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.session
		}
		first := control()
		_ = first.conn.NetConn().Close()
		<-b.silent
		time.Sleep(5 * time.Second)
		second := control()
		if second == nil || second == first || !b.node.Up("connector_1") {
			t.Fatal("the connector is not back")
		}
		second.replace()
		time.Sleep(5 * time.Second)
		if third := control(); third == nil || third == second || len(b.silent) > 0 {
			t.Errorf("replaced, and silent %d times", len(b.silent))
		}
	})
}
