package inbound

import (
	"net"
	"net/netip"
	"testing"
)

// shaking is a connection whose handshake is in progress until it is closed.
type shaking struct {
	net.Conn
	from  string
	ended bool
}

func (s *shaking) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(s.from), 1))
}
func (s *shaking) Close() error { s.ended = true; return nil }

// Who begins handshakes and finishes none ends his own, oldest first; those of others go on, however many he begins.
func TestHandshakesOfOthersGoOn(t *testing.T) {
	h := NewHandshakes(10)
	begin := func(from string) *shaking {
		s := &shaking{from: from}
		h.Begin(s)
		return s
	}
	site := begin("192.0.2.1")
	var slow []*shaking
	for i := range 1000 {
		from := "2001:db8::1"
		if i%2 > 0 {
			from = "2001:db8::2" // of the same network, which one client has whole
		}
		slow = append(slow, begin(from))
	}
	other := begin("192.0.2.2")
	for _, s := range []*shaking{site, other} {
		if s.ended {
			t.Errorf("the handshake of %s was ended", s.from)
		}
	}
	for i, s := range slow {
		if want := i < len(slow)-8; s.ended != want {
			t.Errorf("slow handshake %d: ended %v", i, s.ended)
		}
	}
	if h.open != 10 || len(h.by) != 3 {
		t.Errorf("%d handshakes of %d clients", h.open, len(h.by))
	}
}

// What is over has its place back, once, whoever ended it.
func TestHandshakesEnd(t *testing.T) {
	h := NewHandshakes(2)
	a, b, c := &shaking{from: "192.0.2.1"}, &shaking{from: "192.0.2.1"}, &shaking{from: "192.0.2.2"}
	overA, overB, overC := h.Begin(a), h.Begin(b), h.Begin(c)
	if !a.ended || b.ended || c.ended || h.open != 2 {
		t.Errorf("%v %v %v, %d", a.ended, b.ended, c.ended, h.open)
	}
	for _, over := range []func(){overA, overA, overB, overB, overC} {
		over()
	}
	if h.open != 0 || len(h.by) != 0 {
		t.Errorf("%d left of %d clients", h.open, len(h.by))
	}
}
