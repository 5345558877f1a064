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

// RelayDrain is how long streams of other nodes go on when this one ends: as long as connections of clients.
const RelayDrain = 10 * time.Second

// ServeRelay takes streams that other nodes open inside their tunnels and passes them into tunnels of this node,
// or to sites in which it stands: never to another relay, so a stream takes one hop at most. It blocks until ctx
// ends, then closes l. What it carries then has RelayDrain to end.
func (f *Fabric) ServeRelay(ctx context.Context, l net.Listener) error {
	err := serveDraining(ctx, l, RelayDrain, func(ctx context.Context, conn net.Conn) {
		f.relay(ctx, conn, func() bool {
			_, ok := f.table.Load().peers[RemoteAddr(conn)]
			return ok
		})
	})
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// RelayStream carries a stream that another node has opened on a connection on which it has proved who it is.
func (f *Fabric) RelayStream(ctx context.Context, conn net.Conn, node string) {
	f.relay(ctx, conn, func() bool { return f.table.Load().isOther(node) })
}

// relay carries one stream of somebody who may be one of the other nodes.
func (f *Fabric) relay(ctx context.Context, conn net.Conn, node func() bool) {
	up, way, h, status := f.relayDial(ctx, conn, node)
	f.m.relayed.WithLabelValues(status.label()).Inc()
	if up == nil {
		_ = WriteStatus(conn, status) // the peer may be gone already
		return
	}
	defer up.Close()
	tells, ok := conn.(Forsaker)
	var framed *teller
	if !ok && h.Framed {
		framed = newTeller(conn)
		tells, ok, status = framed, true, StatusFramed
	}
	if ok && h.Kept {
		defer f.passing.add(way.Peer, way.Carrier, tells)()
		if !f.carriers.up(way.Carrier, way.Peer) { // it has fallen silent before we could be told
			tells.Forsake()
		}
	}
	if err := WriteStatus(conn, status); err != nil {
		return
	}
	if framed != nil {
		defer framed.tell()()
		conn = framed
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
func (f *Fabric) relayDial(ctx context.Context, conn net.Conn, node func() bool) (net.Conn, Way, Header, Status) {
	fail := func(s Status) (net.Conn, Way, Header, Status) { return nil, Way{}, Header{}, s }
	h, err := ReadHeader(conn)
	if err != nil {
		return fail(StatusBadRequest)
	}
	if !node() {
		return fail(StatusNotAllowed)
	}
	if h.Hops != 1 {
		return fail(StatusBadRequest)
	}
	up, way, err := f.dial(ctx, h, false)
	if err != nil {
		var de *DialError
		if errors.As(err, &de) {
			return fail(de.Status)
		}
		return fail(StatusDialFailed)
	}
	return up, way, h, StatusConnected
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
	return serveDraining(ctx, l, 0, handle)
}

// serveDraining is Serve that gives connections some time after ctx has ended. The context that handles get ends
// with that time.
func serveDraining(ctx context.Context, l net.Listener, drain time.Duration, handle func(context.Context, net.Conn)) error {
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var streams sync.WaitGroup
	err := accept(ctx, l, func(conn net.Conn) {
		streams.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(live, func() { _ = conn.Close() })
			defer stop()
			handle(live, conn)
		})
	})
	if err != nil {
		cut()
	}
	late := time.AfterFunc(drain, cut)
	defer late.Stop()
	streams.Wait()
	return err
}

// accept calls take for each connection until ctx ends, then closes l. The error is nil unless accepting failed
// for good.
func accept(ctx context.Context, l net.Listener, take func(net.Conn)) error {
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
		take(conn)
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
