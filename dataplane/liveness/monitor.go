package liveness

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
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

// Serve exchanges heartbeats over a socket until ctx ends; then the socket is closed.
func (m *Monitor) Serve(ctx context.Context, socket net.PacketConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { m.send(ctx, socket) })
	err := m.receive(ctx, socket)
	cancel()
	wg.Wait()
	_ = socket.Close()
	return err
}

// send asks who is due.
func (m *Monitor) send(ctx context.Context, socket net.PacketConn) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		for {
			to, msg, size, wait := m.next(time.Now())
			m.tell()
			if size == 0 {
				timer.Reset(wait)
				break
			}
			buf = msg.append(buf[:0])
			buf = append(buf, make([]byte, size-len(buf))...)
			m.write(socket, buf, to)
		}
	}
}

// next takes the message that is due, with the size that it should have; or says how long there is none.
func (m *Monitor) next(now time.Time) (to netip.Addr, msg message, size int, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		m.until = now.Add(time.Hour)
		return to, msg, 0, time.Hour
	}
	p := m.queue[0]
	if wait := p.due.Sub(now); wait > 0 {
		wait = min(wait, EveryIdle) // a clock may jump
		m.until = now.Add(wait)
		return to, msg, 0, wait
	}
	m.lookLocked(p, now)
	msg, size, ok := p.probe(m.epoch, now)
	if !ok {
		msg, size = p.ask(m.epoch, now), messageSize
	}
	m.settleLocked(p, now)
	return p.peer.Addr, msg, size, 0
}

// lookLocked notices use.
func (m *Monitor) lookLocked(p *path, now time.Time) {
	if m.opts.Traffic == nil {
		return
	}
	if n := m.opts.Traffic(p.peer.Addr); n != p.traffic {
		p.traffic = n
		p.judge.Use(now)
	}
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

// tell gives changes to Changed. Only the sender calls it.
func (m *Monitor) tell() {
	m.mu.Lock()
	told := m.told
	m.told = nil
	var sized map[netip.Addr]int
	if len(m.sized) > 0 {
		sized, m.sized = m.sized, map[netip.Addr]int{}
	}
	m.mu.Unlock()
	for to, mtu := range sized {
		if m.opts.Resized != nil {
			m.opts.Resized(to, mtu)
		}
	}
	for _, c := range told {
		if c.From == c.To {
			continue
		}
		m.m.changes.WithLabelValues(c.To.String()).Inc()
		if c.To == Down || c.From == Down {
			m.opts.Log.Info("path changed", "peer", c.Peer, "from", c.From.String(), "to", c.To.String())
		}
		if m.opts.Changed != nil {
			m.opts.Changed(c)
		}
	}
}

// receive takes heartbeats in.
func (m *Monitor) receive(ctx context.Context, socket net.PacketConn) error {
	in, out := make([]byte, SizeMost), make([]byte, 0, messageSize)
	for {
		n, from, err := socket.ReadFrom(in)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("heartbeats: %w", err)
		case err != nil: // about one datagram: an ICMP error, a full buffer
			m.m.dropped.WithLabelValues(dropRead).Inc()
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(hurry):
			}
			continue
		}
		addr, ok := m.sender(from)
		if !ok {
			m.m.dropped.WithLabelValues(dropStranger).Inc()
			continue
		}
		msg, err := parse(in[:n])
		if err != nil {
			m.m.dropped.WithLabelValues(dropMalformed).Inc()
			continue
		}
		if reply, ok := m.take(addr, msg, time.Now()); ok {
			m.write(socket, reply.append(out), addr)
		}
	}
}

// sender tells who a datagram is from; false if not from the heartbeat port.
func (m *Monitor) sender(from net.Addr) (netip.Addr, bool) {
	u, ok := from.(*net.UDPAddr)
	if !ok || u.Port != int(m.opts.Port) {
		return netip.Addr{}, false
	}
	return u.AddrPort().Addr().Unmap().WithZone(""), true
}

// take gives a message to its path.
func (m *Monitor) take(from netip.Addr, msg message, now time.Time) (reply message, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.byAddr[from]
	if p == nil {
		m.m.dropped.WithLabelValues(dropStranger).Inc()
		return message{}, false
	}
	reply, ok = p.receive(msg, m.epoch, now)
	m.lookLocked(p, now) // the other end has noticed use that we, who ask seldom, have not
	m.settleLocked(p, now)
	m.rouseLocked()
	if (msg.kind == ask || msg.kind == probe) && !ok {
		m.m.dropped.WithLabelValues(dropFlood).Inc()
	}
	return reply, ok
}

// write sends one message. What can't be sent is lost, like on any path.
func (m *Monitor) write(socket net.PacketConn, b []byte, to netip.Addr) {
	if _, err := socket.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, m.opts.Port))); err != nil {
		m.m.dropped.WithLabelValues(dropWrite).Inc()
	}
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
