package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// netstackDevice is a TCP stack in this process with one IPv6 address. WireGuard's own (tun/netstack)
// takes and gives packets one at a time and lets the stack do the work of the network's hardware, which
// costs three quarters of the throughput; it panics when it is closed while a packet is on its way out;
// its connections have no keepalive.
type netstackDevice struct {
	stack  *stack.Stack
	link   *link
	self   netip.Addr
	events chan tun.Event

	// For Read alone, which WireGuard calls from one goroutine.
	out outbound
	buf []*stack.PacketBuffer // for what is taken from the link

	in sync.Pool // of *coalescer, one a Write

	done chan struct{} // closed by Close
	once sync.Once
}

// outbound is what was taken from the link and has not been read.
type outbound struct {
	pkts []*stack.PacketBuffer // not cut yet
	cut  segmenter
	of   *stack.PacketBuffer // what cut is at; nil: nothing
}

const (
	nicID = 1

	receiveBuffer = 8 << 20 // at most; measured against 1 MiB on a link with delay
	sendBuffer    = 6 << 20

	keepaliveIdle  = 15 * time.Second // like net.Dialer
	keepaliveCount = 9
	listenBacklog  = 4096
)

func openNetstack(self netip.Addr) (*netstackDevice, error) {
	d := &netstackDevice{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
			HandleLocal:        true,
		}),
		link:   newLink(mtu),
		self:   self,
		events: make(chan tun.Event),
		done:   make(chan struct{}),
	}
	d.in.New = func() any { return &coalescer{deliver: d.deliver} }
	if err := d.setUp(); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *netstackDevice) setUp() error {
	sack := tcpip.TCPSACKEnabled(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcp.DefaultReceiveBufferSize, Max: receiveBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcp.DefaultSendBufferSize, Max: sendBuffer}
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &receive, &send, &moderate} {
		if err := d.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("userspace stack: option %T: %s", o, err)
		}
	}
	if err := d.stack.CreateNIC(nicID, d.link); err != nil {
		return fmt.Errorf("userspace stack: create interface: %s", err)
	}
	addr := tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom16(d.self.As16()).WithPrefix()}
	if err := d.stack.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("userspace stack: set address %s: %s", d.self, err)
	}
	d.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv6EmptySubnet, NIC: nicID}})
	return nil
}

// What WireGuard reads at once it sends as one datagram that the kernel cuts, if it is not too large for that:
// headers included it has to stay below 64 KiB, which WireGuard does not look at. Datagrams of our usual size
// would end just above; the kernel then cuts them before they are on their way, and the other end reads them one
// by one.
const (
	trainMost    = 1<<16 - 64   // all headers and what they may be more
	sealedPacket = 16 + 16 + 15 // what sealing adds: header, tag, padding
)

// Read gives packets that the stack sends, each no larger than the MTU, and not more at once than make a train.
func (d *netstackDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for n, train := 0, 0; ; {
		for ; n < len(bufs) && train+mtu+sealedPacket <= trainMost; n++ {
			var ok bool
			if sizes[n], ok = d.out.read(bufs[n][offset:]); !ok {
				break
			}
			train += sizes[n] + sealedPacket
		}
		if n > 0 {
			return n, nil
		}
		if d.buf = d.link.take(d.buf[:0]); len(d.buf) == 0 {
			return 0, os.ErrClosed
		}
		d.out.pkts = d.buf
	}
}

// read writes the next packet; false if there is none.
func (o *outbound) read(dst []byte) (int, bool) {
	if o.of == nil {
		if len(o.pkts) == 0 {
			return 0, false
		}
		pkt := o.pkts[0]
		o.pkts[0], o.pkts = nil, o.pkts[1:]
		mss := 0
		if pkt.GSOOptions.Type == stack.GSOTCPv6 {
			mss = int(pkt.GSOOptions.MSS)
		}
		pieces := pkt.AsSlices()
		if !o.cut.start(pieces, mss) {
			size := 0
			for _, b := range pieces {
				size += copy(dst[size:], b)
			}
			pkt.DecRef()
			return size, true
		}
		o.of = pkt
	}
	size, done := o.cut.next(dst)
	if done {
		o.of.DecRef()
		o.of = nil
	}
	return size, true
}

// Write gives packets to the stack. The filter has seen them: they are IPv6.
func (d *netstackDevice) Write(bufs [][]byte, offset int) (int, error) {
	c := d.in.Get().(*coalescer)
	defer d.in.Put(c)
	for _, b := range bufs {
		c.add(b[offset:]) // one with a wrong checksum is lost, like on any link
	}
	c.flush()
	return len(bufs), nil
}

func (d *netstackDevice) deliver(packet buffer.Buffer) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: packet})
	d.link.deliver(pkt)
	pkt.DecRef()
}

// Close aborts all connections and ends the stack's goroutines.
func (d *netstackDevice) Close() error {
	d.once.Do(func() {
		close(d.done)
		d.link.shut()
		d.stack.Close()
		d.stack.RemoveNIC(nicID)
		d.stack.Wait()
		close(d.events)
	})
	return nil
}

func (d *netstackDevice) File() *os.File           { return nil }
func (d *netstackDevice) MTU() (int, error)        { return mtu, nil }
func (d *netstackDevice) Name() (string, error)    { return "netstack", nil }
func (d *netstackDevice) Events() <-chan tun.Event { return d.events }
func (d *netstackDevice) BatchSize() int           { return conn.IdealBatchSize }

func (d *netstackDevice) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	wq := new(waiter.Queue)
	ep, terr := d.stack.NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, wq)
	if terr != nil {
		return fail(tcpError(terr))
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	terr = ep.Connect(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(to.Addr().As16()), Port: to.Port()})
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			ep.Close()
			return fail(ctx.Err())
		case <-ready:
		}
		terr = ep.LastError()
	}
	if terr != nil {
		ep.Close()
		return fail(tcpError(terr))
	}
	keepAlive(ep)
	return gonet.NewTCPConn(wq, ep), nil
}

func (d *netstackDevice) listen(_ context.Context, port uint16) (net.Listener, error) {
	addr := netip.AddrPortFrom(d.self, port)
	fail := func(err tcpip.Error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: tcpError(err)}
	}
	wq := new(waiter.Queue)
	ep, terr := d.stack.NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, wq)
	if terr != nil {
		return fail(terr)
	}
	if terr := ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(d.self.As16()), Port: port}); terr != nil {
		ep.Close()
		return fail(terr)
	}
	if terr := ep.Listen(listenBacklog); terr != nil {
		ep.Close()
		return fail(terr)
	}
	return &netstackListener{ep: ep, wq: wq, addr: addr, closed: make(chan struct{}), down: d.done}, nil
}

// netstackListener ends with Close, or with its device.
type netstackListener struct {
	ep     tcpip.Endpoint
	wq     *waiter.Queue
	addr   netip.AddrPort
	closed chan struct{}
	down   <-chan struct{}
	once   sync.Once
}

func (l *netstackListener) Accept() (net.Conn, error) {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	l.wq.EventRegister(&entry)
	defer l.wq.EventUnregister(&entry)
	for {
		select {
		case <-l.closed:
			return nil, l.error(net.ErrClosed)
		case <-l.down:
			return nil, l.error(net.ErrClosed)
		default:
		}
		ep, wq, terr := l.ep.Accept(nil)
		switch terr.(type) {
		case nil:
			keepAlive(ep)
			return gonet.NewTCPConn(wq, ep), nil
		case *tcpip.ErrWouldBlock:
		default:
			return nil, l.error(tcpError(terr))
		}
		select {
		case <-l.closed:
		case <-l.down:
		case <-ready:
		}
	}
}

func (l *netstackListener) error(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
}

func (l *netstackListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.ep.Close()
	})
	return nil
}

func (l *netstackListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// keepAlive notices a peer that is gone on a stream that says nothing.
func keepAlive(ep tcpip.Endpoint) {
	idle, every := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveIdle)
	// None of these options can be refused by a TCP endpoint.
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&every)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	ep.SocketOptions().SetKeepAlive(true)
}

// tcpError says it in the words of the system, where callers may ask for them.
func tcpError(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrConnectionRefused:
		return syscall.ECONNREFUSED
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		return syscall.ECONNRESET
	case *tcpip.ErrTimeout:
		return syscall.ETIMEDOUT
	case *tcpip.ErrPortInUse:
		return syscall.EADDRINUSE
	case *tcpip.ErrHostUnreachable, *tcpip.ErrNetworkUnreachable:
		return syscall.EHOSTUNREACH
	case *tcpip.ErrInvalidEndpointState, *tcpip.ErrClosedForReceive:
		return net.ErrClosed
	}
	return errors.New(err.String())
}
