// Package inbound takes connections from clients within the bounds that let a machine serve all of them.
package inbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

// Accept calls serve for each connection of l. Only a closed listener ends it: out of files or a client
// that is gone already is no reason to stop serving the others. Failed is told of each error that it waits
// after, and whether the last attempt failed, too. The error is nil when ctx has ended, and else wraps
// net.ErrClosed.
func Accept(ctx context.Context, l net.Listener, serve func(net.Conn), failed func(err error, again bool)) error {
	retry := acceptRetryMin
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			retry = acceptRetryMin
			serve(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept %s: %w", l.Addr(), err)
		}
		failed(err, retry != acceptRetryMin)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
		retry = min(2*retry, acceptRetryMax)
	}
}

// Reset closes with RST and leaves no TIME_WAIT behind: for clients that are shed.
func Reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without it the close is an ordinary one
	}
	_ = c.Close()
}

// AddrPort is the address of one end of a connection; zero if it is no IP address.
func AddrPort(a net.Addr) netip.AddrPort {
	ip, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := ip.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
