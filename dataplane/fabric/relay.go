package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// ServeRelay takes streams from other nodes and passes them into tunnels of this node, or to sites in which it
// stands: never to another relay, so a stream takes one hop at most. It blocks until ctx ends, then closes l and what it carries.
func (f *Fabric) ServeRelay(ctx context.Context, l net.Listener) error {
	if err := Serve(ctx, l, f.relay); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// relay carries one stream.
func (f *Fabric) relay(ctx context.Context, conn net.Conn) {
	up, status := f.relayDial(ctx, conn)
	f.m.relayed.WithLabelValues(status.label()).Inc()
	if up == nil {
		_ = WriteStatus(conn, status) // the peer may be gone already
		return
	}
	defer up.Close()
	if err := WriteStatus(conn, StatusConnected); err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = up.Close() })
	defer stop()
	f.m.relaying.Inc()
	defer f.m.relaying.Dec()
	in, out := Splice(conn, up)
	f.m.bytes.WithLabelValues("to_site").Add(float64(in))
	f.m.bytes.WithLabelValues("from_site").Add(float64(out))
}

// relayDial reads and judges a header, then dials. The connection is nil unless the status is
// StatusConnected.
func (f *Fabric) relayDial(ctx context.Context, conn net.Conn) (net.Conn, Status) {
	h, err := ReadHeader(conn)
	if err != nil {
		return nil, StatusBadRequest
	}
	if _, ok := f.table.Load().peers[RemoteAddr(conn)]; !ok {
		return nil, StatusNotAllowed
	}
	if h.Hops != 1 {
		return nil, StatusBadRequest
	}
	up, err := f.dial(ctx, h, false)
	if err != nil {
		var de *DialError
		if errors.As(err, &de) {
			return nil, de.Status
		}
		return nil, StatusDialFailed
	}
	return up, StatusConnected
}

// RemoteAddr is the address of a connection's other end, without port; invalid if it has none.
func RemoteAddr(conn net.Conn) netip.Addr {
	t, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || t == nil {
		return netip.Addr{}
	}
	return t.AddrPort().Addr().Unmap()
}

// Waits after an Accept that failed for want of files or memory.
const (
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

// Serve accepts streams until ctx ends, handing each to handle in a goroutine of its own; a connection is
// closed when its handle returns or ctx ends. Serve closes l and returns after the last handle; the error
// is nil unless accepting failed for good.
func Serve(ctx context.Context, l net.Listener, handle func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	wait := acceptRetryMin
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !shortage(err) {
				return fmt.Errorf("accept: %w", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			wait = min(2*wait, acceptRetryMax)
			continue
		}
		wait = acceptRetryMin
		streams.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			handle(ctx, conn)
		})
	}
}

// shortage reports whether a failed Accept may work later.
func shortage(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
