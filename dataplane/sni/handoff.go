package sni

import (
	"net"
	"sync"
	"time"
)

// handoffTime is how long a connection may wait for the TLS side to accept it.
const handoffTime = 5 * time.Second

// A Handoff is the listener through which connections whose TLS ends here reach whoever ends it. It
// holds no queue: a connection waits in its own goroutine.
type Handoff struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
	addr  net.Addr
}

// NewHandoff makes an open Handoff.
func NewHandoff() *Handoff {
	return &Handoff{conns: make(chan net.Conn), done: make(chan struct{}), addr: handoffAddr{}}
}

// Accept returns the next connection; its first read gives the ClientHello again.
func (h *Handoff) Accept() (net.Conn, error) {
	select {
	case <-h.done: // before a connection that is offered at the same time
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. Connections that arrive later are closed.
func (h *Handoff) Close() error {
	h.close.Do(func() { close(h.done) })
	return nil
}

// Addr names the handoff: it has no address of its own.
func (h *Handoff) Addr() net.Addr { return h.addr }

// give hands c over, or returns why not.
func (h *Handoff) give(c net.Conn) error {
	wait := time.NewTimer(handoffTime)
	defer wait.Stop()
	select {
	case h.conns <- c:
		return nil
	case <-h.done:
		return reasonDraining
	case <-wait.C:
		return reasonTLSBusy
	}
}

type handoffAddr struct{}

func (handoffAddr) Network() string { return "handoff" }
func (handoffAddr) String() string  { return "sni" }
