package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// link is the wire as one memberlist sees it: a transport that reaches peers only, each where the
// configuration says that it is, whatever address others tell of it.
type link struct {
	wire    *wire
	self    netip.AddrPort
	where   func(id string) (netip.AddrPort, bool)
	dialled func(id string, took time.Duration, err error)
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	ctx     context.Context // of dials; ends with done
	cancel  context.CancelFunc
	once    sync.Once

	mu   sync.Mutex
	open map[*stream]struct{} // guarded by mu; nil after Shutdown
}

var _ memberlist.NodeAwareTransport = (*link)(nil)

func newLink(w *wire, self netip.AddrPort, where func(string) (netip.AddrPort, bool), dialled func(string, time.Duration, error)) *link {
	l := &link{
		wire: w, self: self, where: where, dialled: dialled,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}), open: map[*stream]struct{}{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

var errNoPeer = errors.New("not a peer")

// FinalAdvertiseAddr implements memberlist.Transport.
func (l *link) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return l.self.Addr().AsSlice(), int(l.self.Port()), nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (l *link) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, ok := l.where(to.Name)
	if !ok {
		// In this form memberlist takes it for a failed probe: a member that is no peer any more dies.
		return time.Time{}, &net.OpError{Op: "write", Net: "udp", Err: fmt.Errorf("send to %s: %w", to.Name, errNoPeer)}
	}
	n, err := l.wire.udp.WriteTo(b, net.UDPAddrFromAddrPort(at))
	l.wire.m.sent.Add(float64(n))
	if err != nil {
		// The network or room for the packet is missing: it is lost like any packet. What memberlist
		// makes of an error would end the probe without a verdict.
		l.wire.m.drop(dropWrite)
	}
	return time.Now(), nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (l *link) DialAddressTimeout(to memberlist.Address, limit time.Duration) (net.Conn, error) {
	at, ok := l.where(to.Name)
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", to.Name, errNoPeer)
	}
	ctx, cancel := context.WithTimeout(l.ctx, min(limit, dialTime))
	defer cancel()
	c, took, err := l.wire.connect(ctx, at)
	l.dialled(to.Name, took, err)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", to.Name, at, err)
	}
	return l.track(c, func() {}), nil
}

// PacketCh implements memberlist.Transport.
func (l *link) PacketCh() <-chan *memberlist.Packet { return l.packets }

// StreamCh implements memberlist.Transport.
func (l *link) StreamCh() <-chan net.Conn { return l.streams }

// Shutdown implements memberlist.Transport: nothing more comes or goes.
func (l *link) Shutdown() error {
	l.once.Do(func() {
		l.cancel()
		close(l.done)
		l.mu.Lock()
		open := l.open
		l.open = nil
		l.mu.Unlock()
		for s := range open {
			_ = s.Close()
		}
	})
	return nil
}

// The transports that memberlist composes; it calls none of these on ours.

// WriteTo implements memberlist.Transport.
func (l *link) WriteTo(_ []byte, addr string) (time.Time, error) {
	return time.Time{}, fmt.Errorf("send to %s: no name: %w", addr, errNoPeer)
}

// DialTimeout implements memberlist.Transport.
func (l *link) DialTimeout(addr string, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: no name: %w", addr, errNoPeer)
}

// IngestPacket implements memberlist.IngestionAwareTransport.
func (l *link) IngestPacket(c net.Conn, _ net.Addr, _ time.Time, _ bool) error {
	return errors.Join(errors.ErrUnsupported, c.Close())
}

// IngestStream implements memberlist.IngestionAwareTransport.
func (l *link) IngestStream(c net.Conn) error {
	return errors.Join(errors.ErrUnsupported, c.Close())
}
