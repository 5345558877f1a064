package inbound

import (
	"net"
	"net/netip"
	"sync"
)

// Handshakes bounds those that are in progress at one listener. Nobody waits for a place: who comes when all are taken
// ends the oldest handshake of the client that has most of them. So whoever begins many and finishes none ends his own,
// and one who finishes them, in a round trip or two, does not notice. Safe for concurrent use.
type Handshakes struct {
	most int

	mu   sync.Mutex
	by   map[netip.Addr][]net.Conn // guarded by mu; oldest first
	open int                       // guarded by mu
}

// NewHandshakes makes a Handshakes for so many at once.
func NewHandshakes(most int) *Handshakes {
	return &Handshakes{most: most, by: map[netip.Addr][]net.Conn{}}
}

// Begin counts a connection until done is called, which may happen more than once. It may close another one.
func (h *Handshakes) Begin(c net.Conn) (done func()) {
	client := Bucket(AddrPort(c.RemoteAddr()).Addr())
	h.mu.Lock()
	var late net.Conn
	if h.open >= h.most {
		late = h.oldest()
	}
	h.by[client] = append(h.by[client], c)
	h.open++
	h.mu.Unlock()
	if late != nil {
		_ = late.Close() // its handshake ends with that
	}
	return func() { h.end(client, c) }
}

// oldest takes out the oldest handshake of the client with most of them.
func (h *Handshakes) oldest() net.Conn {
	var who netip.Addr
	for client, list := range h.by {
		if len(list) > len(h.by[who]) {
			who = client
		}
	}
	list := h.by[who]
	if len(list) == 0 {
		return nil
	}
	h.remove(who, 0)
	return list[0]
}

func (h *Handshakes) end(client netip.Addr, c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, other := range h.by[client] {
		if other == c {
			h.remove(client, i)
			return
		}
	}
}

func (h *Handshakes) remove(client netip.Addr, i int) {
	left := make([]net.Conn, 0, len(h.by[client]))
	left = append(append(left, h.by[client][:i]...), h.by[client][i+1:]...)
	if h.by[client] = left; len(left) == 0 {
		delete(h.by, client)
	}
	h.open--
}
