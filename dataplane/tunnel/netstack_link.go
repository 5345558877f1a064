package tunnel

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// gsoSize is how much a TCP sender hands down at once: what one IPv6 header can say.
	gsoSize = 1<<16 - 1
	// linkBytes bounds what waits until WireGuard reads it. What does not fit is lost, like on any link,
	// so it is as large as the buffers of a few fast connections.
	linkBytes = 16 << 20
)

// link is the stack's only interface. Packets leave the stack through a queue, TCP's as large as they may
// be: segmenter cuts them to size. On the way in, coalescer joins them again.
type link struct {
	mtu uint32

	mu       sync.Mutex
	to       stack.NetworkDispatcher // guarded by mu; nil while detached
	queue    []*stack.PacketBuffer   // guarded by mu; oldest first
	bytes    int                     // guarded by mu; in queue
	closed   bool                    // guarded by mu
	nonEmpty sync.Cond               // on mu: queue has something, or closed
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

func newLink(mtu uint32) *link {
	l := &link{mtu: mtu}
	l.nonEmpty.L = &l.mu
	return l
}

// WritePackets queues what the stack sends. It takes a reference of each packet that it keeps.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, &tcpip.ErrClosedForSend{}
	}
	n := 0
	for _, p := range pkts.AsSlice() {
		if l.bytes > linkBytes {
			break
		}
		l.queue = append(l.queue, p.IncRef())
		l.bytes += p.Size()
		n++
	}
	if n > 0 {
		l.nonEmpty.Signal() // there is one reader
	}
	if n < pkts.Len() {
		return n, &tcpip.ErrNoBufferSpace{}
	}
	return n, nil
}

// take waits until something is queued and appends all of it to pkts; the references become the caller's.
// Nothing means that the link is closed.
func (l *link) take(pkts []*stack.PacketBuffer) []*stack.PacketBuffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.nonEmpty.Wait()
	}
	pkts = append(pkts, l.queue...)
	clear(l.queue)
	l.queue, l.bytes = l.queue[:0], 0
	return pkts
}

// deliver hands a packet to the stack.
func (l *link) deliver(pkt *stack.PacketBuffer) {
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	if to != nil {
		to.DeliverNetworkPacket(header.IPv6ProtocolNumber, pkt)
	}
}

// shut ends take and drops what is queued.
func (l *link) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, p := range l.queue {
		p.DecRef()
	}
	l.queue, l.bytes = nil, 0
	l.nonEmpty.Broadcast()
}

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(to stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to != nil
}

// Capabilities implements stack.LinkEndpoint: what is delivered has been verified by coalescer.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return gsoSize }

// The rest of stack.LinkEndpoint is about links with headers and addresses of their own.

func (l *link) MTU() uint32                             { return l.mtu }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
