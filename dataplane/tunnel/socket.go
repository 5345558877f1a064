package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// network is the TCP and UDP of a device.
type network interface {
	dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	listen(ctx context.Context, port uint16) (net.Listener, error)
	listenPacket(ctx context.Context, port uint16) (net.PacketConn, error)
	// route tells the addresses of all peers.
	route(to []netip.Addr) error
}

// network gives the sockets of the device.
func (t *Tunnel) network() (network, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.isClosed():
		return nil, ErrClosed
	case t.net == nil:
		return nil, ErrDown
	}
	return t.net, nil
}

// DialContext opens a TCP connection inside the tunnel. It can close one half (CloseWrite).
func (t *Tunnel) DialContext(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	nw, err := t.network()
	if err != nil {
		return nil, err
	}
	if !fabric.Overlay.Contains(to.Addr()) {
		return nil, fmt.Errorf("tunnel: %s is not in %s", to.Addr(), fabric.Overlay)
	}
	return nw.dial(ctx, to)
}

// Dial is DialContext for a peer: the address must be its own.
func (t *Tunnel) Dial(ctx context.Context, peer string, to netip.AddrPort) (net.Conn, error) {
	t.mu.Lock()
	addr, ok := t.addrs[peer]
	t.mu.Unlock()
	if !ok || addr != to.Addr() {
		return nil, fmt.Errorf("tunnel: no peer %s with address %s", peer, to.Addr())
	}
	t.beats.Use(peer)
	return t.DialContext(ctx, to)
}

// await waits until the device is up.
func (t *Tunnel) await(ctx context.Context) (network, error) {
	select {
	case <-t.up:
	case <-t.failed:
	case <-t.closed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return t.network()
}

// Listen takes TCP connections on our own overlay address. It waits until the device is up.
func (t *Tunnel) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	nw, err := t.await(ctx)
	if err != nil {
		return nil, fmt.Errorf("tunnel: listen on port %d: %w", port, err)
	}
	l, err := nw.listen(ctx, port)
	if err != nil && t.isClosed() { // the device ended meanwhile, whatever it says of that
		err = fmt.Errorf("tunnel: listen on port %d: %w", port, ErrClosed)
	}
	return l, err
}

// ListenPacket takes datagrams on our own overlay address; the filter lets those to the heartbeat port
// in. It waits until the device is up.
func (t *Tunnel) ListenPacket(ctx context.Context, port uint16) (net.PacketConn, error) {
	nw, err := t.await(ctx)
	if err != nil {
		return nil, fmt.Errorf("tunnel: listen on UDP port %d: %w", port, err)
	}
	return nw.listenPacket(ctx, port)
}

// route does nothing: whatever the stack sends goes to the device.
func (d *netstackDevice) route([]netip.Addr) error { return nil }

func (d *netstackDevice) listenPacket(_ context.Context, port uint16) (net.PacketConn, error) {
	fail := func(err tcpip.Error) (net.PacketConn, error) {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.self, port)), Err: tcpError(err)}
	}
	wq := new(waiter.Queue)
	ep, terr := d.stack.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, wq)
	if terr != nil {
		return fail(terr)
	}
	if terr := ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(d.self.As16()), Port: port}); terr != nil {
		ep.Close()
		return fail(terr)
	}
	return gonet.NewUDPConn(wq, ep), nil
}
