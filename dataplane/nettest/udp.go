package nettest

import (
	"bytes"
	"net"
	"net/netip"
	"time"
)

// queued is how many packets a socket keeps that nobody reads.
const queued = 1024

type datagram struct {
	from netip.AddrPort
	b    []byte
}

// Socket is one of UDP.
type Socket struct {
	host *Host
	port uint16
	in   chan datagram
	done chan struct{}

	public netip.AddrPort // guarded by the net's lock; as the internet sees it
	closed bool           // guarded by the net's lock
}

// Listen opens a UDP socket.
func (h *Host) ListenUDP(port uint16) *Socket {
	s := &Socket{host: h, port: port, in: make(chan datagram, queued), done: make(chan struct{})}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.sockets[s] = true
	s.openLocked()
	return s
}

// openLocked gives it a place on the internet.
func (s *Socket) openLocked() {
	port := s.port
	if s.host.translated {
		s.host.net.turns++
		port = uint16(1024 + s.host.net.turns%64000)
	}
	s.public = netip.AddrPortFrom(s.host.addr, port)
	s.host.net.ports[s.public] = s
}

func (s *Socket) closeLocked() { delete(s.host.net.ports, s.public) }

// Send sends a datagram. That it is lost on its way is no error.
func (s *Socket) Send(b []byte, to netip.AddrPort) error {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if !s.host.up || !s.host.udp {
		return nil
	}
	d := datagram{s.public, bytes.Clone(b)}
	time.AfterFunc(latency, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if r := n.ports[to]; r != nil && r.host.down && r.host.udp {
			select {
			case r.in <- d:
			default:
			}
		}
	})
	return nil
}

// Receive waits for a datagram.
func (s *Socket) Receive(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.in:
		return copy(b, d.b), d.from, nil
	case <-s.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// Close ends Receive.
func (s *Socket) Close() {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	s.closeLocked()
	delete(s.host.sockets, s)
}
