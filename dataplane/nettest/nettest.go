// Package nettest is a network for tests in simulated time (testing/synctest): hosts whose links are cut, whose
// addresses change and whose translations are forgotten, with UDP that is lost and TCP that is sent again.
package nettest

import (
	"net/netip"
	"sync"
	"time"
)

// latency is how long everything takes that passes.
const latency = 10 * time.Millisecond

// Net is one internet.
type Net struct {
	gone  chan struct{}              // closed by Close
	mu    sync.Mutex                 // guards everything of all hosts
	hosts map[netip.Addr]*Host       // by the address that they have now
	turns int                        // numbers that were given to translations
	ports map[netip.AddrPort]*Socket // of UDP, as the internet sees them
	tcp   map[netip.AddrPort]*Listener
}

// New makes an internet without hosts.
func New() *Net {
	return &Net{gone: make(chan struct{}), hosts: map[netip.Addr]*Host{}, ports: map[netip.AddrPort]*Socket{}, tcp: map[netip.AddrPort]*Listener{}}
}

// Close ends every connection.
func (n *Net) Close() { close(n.gone) }

// Host is one machine. It may stand behind an address translator; the internet sees that one's address.
type Host struct {
	net        *Net
	translated bool

	// Guarded by net.mu.
	addr    netip.Addr
	up      bool          // what it sends arrives
	down    bool          // what it is sent arrives
	udp     bool          // UDP passes
	flows   int           // raised when flows that exist come to their end: other translations, another address
	gate    chan struct{} // closed: it runs; open: it is suspended
	sockets map[*Socket]bool
}

// Host adds a machine with an address on the internet.
func (n *Net) Host(addr netip.Addr, translated bool) *Host {
	h := &Host{net: n, translated: translated, addr: addr, up: true, down: true, udp: true, gate: make(chan struct{}), sockets: map[*Socket]bool{}}
	close(h.gate)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	return h
}

// Cut says which directions of the host's link are cut.
func (h *Host) Cut(up, down bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.up, h.down = !up, !down
}

// BlockUDP says whether UDP is dropped.
func (h *Host) BlockUDP(blocked bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.udp = !blocked
}

// Rebind forgets all translations: flows that go on come from other ports, and what comes for the old ones arrives
// nowhere.
func (h *Host) Rebind() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.rebindLocked()
}

func (h *Host) rebindLocked() {
	h.flows++
	for s := range h.sockets {
		s.closeLocked()
		s.openLocked()
	}
}

// Move gives the host another address. Flows that exist are none of it.
func (h *Host) Move(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	delete(h.net.hosts, h.addr)
	for s := range h.sockets {
		s.closeLocked()
	}
	h.addr = addr
	h.net.hosts[addr] = h
	h.rebindLocked()
}

// Suspend makes what asks Awake stand still until Resume.
func (h *Host) Suspend() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.gate = make(chan struct{})
}

// Resume ends a Suspend.
func (h *Host) Resume() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	close(h.gate)
}

// Awake waits while the host is suspended.
func (h *Host) Awake() {
	h.net.mu.Lock()
	gate := h.gate
	h.net.mu.Unlock()
	<-gate
}
