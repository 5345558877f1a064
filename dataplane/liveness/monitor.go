package liveness

import (
	"container/heap"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Change is a new state of the path to a peer.
type Change struct {
	Peer     string
	From, To State
}

// Status is what is known of the path to a peer.
type Status struct {
	State   State
	Heard   bool // a heartbeat of the peer has ever come; else it may be one that sends none
	Quality Quality
	MTU     int // the largest IPv6 packet that is known to get through; 0: nothing is known
}

// Options are what New needs.
type Options struct {
	Port uint16 // of heartbeats, at every peer
	// Traffic counts what comes from an address beside heartbeats: a path is in use while it grows. May be nil.
	Traffic func(netip.Addr) uint64
	// Changed is called in order, from one goroutine. It must not wait. May be nil.
	Changed func(Change)
	// Resized is called with the largest IPv6 packet that is known to get through to an address, from the same
	// goroutine. It must not wait. May be nil.
	Resized    func(to netip.Addr, mtu int)
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Monitor exchanges heartbeats with peers. Safe for concurrent use.
type Monitor struct {
	opts  Options
	epoch uint32
	m     *metrics
	wake  chan struct{} // holds one: the queue has another head

	mu     sync.Mutex
	byID   map[string]*path     // guarded by mu
	byAddr map[netip.Addr]*path // guarded by mu
	queue  queue                // guarded by mu
	until  time.Time            // guarded by mu; the sender sleeps until then
	told   []Change             // guarded by mu; not yet given to Changed, at most one per peer
	sized  map[netip.Addr]int   // guarded by mu; not yet given to Resized
	leans  map[string]bool      // guarded by mu; peers to which another path is watched, whether they are ours or not
}

// New makes a Monitor without peers.
func New(o Options) *Monitor {
	m := &Monitor{
		opts: o, epoch: 1 + rand.Uint32N(1<<32-1), wake: make(chan struct{}, 1),
		byID: map[string]*path{}, byAddr: map[netip.Addr]*path{}, sized: map[netip.Addr]int{},
		leans: map[string]bool{},
	}
	m.m = newMetrics(o.Registerer, m.count)
	return m
}

// Apply makes peers the whole list. What is known of those that stay is kept.
func (m *Monitor) Apply(peers []Peer) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	byID, byAddr := make(map[string]*path, len(peers)), make(map[netip.Addr]*path, len(peers))
	clear(m.queue)
	m.queue = m.queue[:0]
	for _, peer := range peers {
		p := m.byID[peer.ID]
		if p == nil || p.peer != peer {
			p = newPath(peer)
			p.judge.Leans = m.leans[peer.ID]
		}
		byID[peer.ID], byAddr[peer.Addr] = p, p
		p.due = p.next(now)
		heap.Push(&m.queue, p)
	}
	m.byID, m.byAddr = byID, byAddr
	m.rouseLocked()
}

// rouseLocked wakes the sender when it has something to do earlier than it thought.
func (m *Monitor) rouseLocked() {
	if len(m.told) == 0 && len(m.sized) == 0 && (len(m.queue) == 0 || !m.queue[0].due.Before(m.until)) {
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Status gives what is known of a peer; the zero value when there is no such peer.
func (m *Monitor) Status(peer string) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.byID[peer]
	if p == nil {
		return Status{}
	}
	return Status{State: p.state, Heard: p.heard, Quality: p.judge.Quality(), MTU: p.prober.mtu()}
}

// Up reports whether a peer answers.
func (m *Monitor) Up(peer string) bool { return m.Status(peer).State.Usable() }

// Quality gives what was measured of a peer.
func (m *Monitor) Quality(peer string) Quality { return m.Status(peer).Quality }

// Use tells that somebody relies on the path to a peer now.
func (m *Monitor) Use(peer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[peer]; p != nil {
		now := time.Now()
		p.judge.Use(now)
		m.queue.update(p, now)
		m.rouseLocked()
	}
}

// Doubt tells that there is reason to ask a peer now.
func (m *Monitor) Doubt(peer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[peer]; p != nil {
		now := time.Now()
		p.judge.Doubt(now)
		m.queue.update(p, now)
		m.rouseLocked()
	}
}

// Lean tells whether another path to a peer is watched. Then this one is asked less often while it is idle; as soon as
// it is no more, at once.
func (m *Monitor) Lean(peer string, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was := m.leans[peer]; was == on {
		return
	}
	if m.leans[peer] = on; !on {
		delete(m.leans, peer)
	}
	p := m.byID[peer]
	if p == nil {
		return
	}
	now := time.Now()
	if p.judge.Leans = on; !on && p.heard {
		p.judge.Doubt(now)
	}
	m.queue.update(p, now)
	m.rouseLocked()
}

// settleLocked draws the conclusions after a Judge was told something.
func (m *Monitor) settleLocked(p *path, now time.Time) {
	if s := p.judge.State(now); s != p.state {
		m.noteLocked(Change{p.peer.ID, p.state, s})
		if s == Up && p.state != Suspect { // it may be another path
			p.prober.begin()
		}
		p.state = s
	}
	if mtu := p.prober.mtu(); mtu != p.mtu {
		p.mtu = mtu
		m.sized[p.peer.Addr] = mtu
	}
	m.queue.update(p, now)
}

// noteLocked keeps a change for tell: one per peer, from the state last told to the newest.
func (m *Monitor) noteLocked(c Change) {
	for i := range m.told {
		if m.told[i].Peer == c.Peer {
			m.told[i].To = c.To
			return
		}
	}
	m.told = append(m.told, c)
}

// count counts paths by state.
func (m *Monitor) count() (n [Down + 1]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.byID {
		n[p.state]++
	}
	return n
}
