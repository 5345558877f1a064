package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
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

// stockNetwork is what a network does besides for stock peers.
type stockNetwork interface {
	dialPacket(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	send(packets [][]byte) // of IPv6, as they are
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

// DialStock connects to a port of a stock peer over a network, "tcp" or "udp".
func (t *Tunnel) DialStock(ctx context.Context, network, peer string, to netip.AddrPort) (net.Conn, error) {
	nw, err := t.network()
	if err != nil {
		return nil, err
	}
	stock, ok := nw.(stockNetwork)
	if !ok {
		return nil, errors.New("tunnel: this device has no stock peers")
	}
	t.mu.Lock()
	addr, ok := t.addrs[peer]
	f := t.tun.flow(to.Addr())
	t.mu.Unlock()
	if !ok || addr != to.Addr() || f == nil || f.kind != Stock {
		return nil, fmt.Errorf("tunnel: no stock peer %s with address %s", peer, to.Addr())
	}
	t.stock.use(peer)
	if network != "udp" {
		return nw.dial(ctx, to)
	}
	conn, err := stock.dialPacket(ctx, to)
	if err != nil {
		return nil, err
	}
	own, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("tunnel: a UDP socket at %v", conn.LocalAddr())
	}
	end := sync.OnceFunc(f.await(ports{uint16(own.Port), to.Port()})) // once: the next socket may have the same ports. Nothing was sent yet
	if u, ok := conn.(*net.UDPConn); ok {
		return &awaited{u, end}, nil
	}
	return &awaitedPacket{conn, end}, nil
}

// awaited is a UDP socket of the system whose answers are let in until it is closed.
type awaited struct {
	*net.UDPConn
	end func()
}

// UDP gives the socket itself, to read from.
func (a *awaited) UDP() *net.UDPConn { return a.UDPConn }

func (a *awaited) Close() error {
	a.end()
	return a.UDPConn.Close()
}

// awaitedPacket is the same on another stack.
type awaitedPacket struct {
	net.Conn
	end func()
}

func (a *awaitedPacket) Close() error {
	a.end()
	return a.Conn.Close()
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

func (n *kernelNet) dialPacket(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.self, 0)), Control: n.bound}
	return d.DialContext(ctx, "udp6", to.String())
}

func (d *netstackDevice) dialPacket(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	at := func(a netip.AddrPort) *tcpip.FullAddress {
		return &tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(a.Addr().As16()), Port: a.Port()}
	}
	return gonet.DialUDP(d.stack, at(netip.AddrPortFrom(d.self, 0)), at(to), ipv6.ProtocolNumber)
}

func (d *netstackDevice) send(packets [][]byte) {
	for _, p := range packets {
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
		var one stack.PacketBufferList
		one.PushBack(pkt)
		_, _ = d.link.WritePackets(one) // what is not taken is lost, like on any link
		pkt.DecRef()
	}
}

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
