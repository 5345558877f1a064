package nettest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Times of TCP: after what time something is sent again first and at most (RFC 6298), and how long a SYN waits.
const (
	rtoLeast = 200 * time.Millisecond
	rtoMost  = 2 * time.Minute
	synAgain = time.Second
	unacked  = 15 * time.Minute // until the sender's kernel gives up
	unsent   = 64               // pieces that the sender's kernel takes before a write waits
)

// Listener takes TCP connections.
type Listener struct {
	addr netip.AddrPort
	net  *Net
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

// Listen opens a TCP port of a host that is not translated.
func (h *Host) Listen(port uint16) *Listener {
	l := &Listener{addr: netip.AddrPortFrom(h.addr, port), net: h.net, in: make(chan net.Conn), done: make(chan struct{})}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.tcp[l.addr] = l
	return l
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.tcp, l.addr)
	})
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// flow is a TCP connection between a host that dialled and one whose link is never cut.
type flow struct {
	host  *Host
	flows int // of the host when it was made
}

// passes reports whether a segment passes now, from the host or to it.
func (f flow) passes(up bool) bool {
	f.host.net.mu.Lock()
	defer f.host.net.mu.Unlock()
	if f.flows != f.host.flows {
		return false
	}
	if up {
		return f.host.up
	}
	return f.host.down
}

// Dial opens a TCP connection to another host. A SYN that is lost is sent again.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	for wait := synAgain; ; wait *= 2 {
		h.net.mu.Lock()
		f, l := flow{h, h.flows}, h.net.tcp[to]
		h.net.mu.Unlock()
		if f.passes(true) && f.passes(false) {
			if l == nil {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
			}
			return l.connect(ctx, f)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (l *Listener) connect(ctx context.Context, f flow) (net.Conn, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(2 * latency):
	}
	near, a := net.Pipe()
	b, far := net.Pipe()
	server := conn{far, l.Addr(), net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.host.addr, 1))}
	select {
	case l.in <- server:
	case <-l.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ended := make(chan struct{}) // one end was closed and the other knows
	once := sync.OnceFunc(func() { close(ended) })
	go func() {
		select {
		case <-ended:
		case <-l.net.gone:
			once()
			_, _ = a.Close(), b.Close()
		}
	}()
	go f.carry(b, a, true, ended, once)
	go f.carry(a, b, false, ended, once)
	return conn{near, net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.host.addr, 1)), l.Addr()}, nil
}

// carry brings what is written at one end to the other, in order, and at last that it was closed.
func (f flow) carry(to, from net.Conn, up bool, ended chan struct{}, end func()) {
	pieces := make(chan []byte, unsent)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case pieces <- b[:n]:
				case <-ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for b := range pieces {
		if !f.send(up, ended) {
			break
		}
		if _, err := to.Write(b); err != nil && err != io.ErrClosedPipe {
			break
		}
	}
	f.send(up, ended) // the end goes the same way
	end()
	_ = to.Close()
	_ = from.Close()
}

// send waits until a segment has got through: it is sent again, less and less often. It reports false when the
// connection has ended meanwhile, or nothing was acknowledged for too long.
func (f flow) send(up bool, ended chan struct{}) bool {
	since := time.Now()
	for rto := rtoLeast; ; rto = min(2*rto, rtoMost) {
		if time.Since(since) > unacked {
			return false
		}
		wait := rto
		passed := f.passes(up)
		if passed {
			wait = latency
		}
		select {
		case <-ended:
			return false
		case <-time.After(wait):
		}
		if passed {
			return true
		}
	}
}

// conn has the addresses of its ends.
type conn struct {
	net.Conn
	local, remote net.Addr
}

func (c conn) LocalAddr() net.Addr  { return c.local }
func (c conn) RemoteAddr() net.Addr { return c.remote }
