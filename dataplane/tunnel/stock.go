package tunnel

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// Times of the watch over stock peers.
const (
	countEvery = time.Second     // WireGuard is asked for what it counts
	keepEvery  = 5 * time.Second // it is written down where they are, if that is news
	callEvery  = 5 * time.Second // a peer that has stopped answering is asked for a handshake (RekeyTimeout of the protocol)
)

// stockWatch watches the peers that know nothing of heartbeats: by echoes, and by what WireGuard counts.
type stockWatch struct {
	t    *Tunnel
	mark echoMark
	wake chan struct{} // holds one

	mu    sync.Mutex // taken with the tunnel's held, never the other way round
	peers map[string]*stockPeer
	addrs map[netip.Addr]*stockPeer
	seq   uint64
}

// stockPeer is one of them. Guarded by stockWatch.mu.
type stockPeer struct {
	peer    Peer
	judge   liveness.StockJudge
	state   liveness.State // as told to others
	traffic uint64
	called  time.Time // when it was asked for a handshake
}

func newStockWatch(t *Tunnel) *stockWatch {
	return &stockWatch{t: t, mark: echoMark{uint16(rand.Uint32()), rand.Uint64()}, wake: make(chan struct{}, 1), peers: map[string]*stockPeer{}}
}

// apply makes the stock peers of a list all that are watched. One with another key is another one.
func (s *stockWatch) apply(all []Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers, addrs := map[string]*stockPeer{}, map[netip.Addr]*stockPeer{}
	for _, p := range all {
		if p.Kind != Stock {
			continue
		}
		w := s.peers[p.ID]
		if w == nil || w.peer.Key != p.Key || w.peer.Addr != p.Addr {
			w = &stockPeer{}
		}
		w.peer = p
		peers[p.ID], addrs[p.Addr] = w, w
	}
	s.peers, s.addrs = peers, addrs
	s.rouse()
}

func (s *stockWatch) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// status gives what is known of a peer; false if it is none of these.
func (s *stockWatch) status(id string) (liveness.State, liveness.Quality, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.peers[id]
	if w == nil {
		return liveness.Unknown, liveness.Quality{}, false
	}
	return w.judge.State(time.Now()), w.judge.Quality(), true
}

// use tells that somebody relies on the tunnel to a peer.
func (s *stockWatch) use(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.peers[id]; w != nil {
		w.judge.Use(time.Now())
		s.rouse()
	}
}

// answered takes the body of an echo's answer, of whatever content.
func (s *stockWatch) answered(from netip.Addr, body []byte) bool {
	seq, ok := s.mark.seq(body)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.addrs[from]
	if w == nil || !w.judge.Received(seq, time.Now()) {
		return false
	}
	if w.judge.State(time.Now()) != w.state {
		s.rouse()
	}
	return true
}

// run watches until ctx ends.
func (s *stockWatch) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var counted, kept time.Time
	where := recall{path: s.t.opts.Recall}
	if err := where.load(); err != nil {
		s.t.log.Warn("stock peers are not called", "err", err)
	}
	unmet := maps.Clone(where.last)
	for {
		s.meet(unmet) // who is configured only now is called now
		select {
		case <-ctx.Done():
			s.keep(&where)
			return
		case <-s.wake:
		case <-timer.C:
		}
		if s.none() {
			timer.Reset(time.Hour)
			continue
		}
		if now := time.Now(); now.Sub(counted) >= countEvery || now.Before(counted) {
			counted = now
			_, states := s.t.read()
			s.count(states, now)
			if now.Sub(kept) >= keepEvery || now.Before(kept) {
				kept = now
				s.keep(&where)
			}
		}
		wait := s.round(time.Now())
		timer.Reset(min(wait, time.Until(counted.Add(countEvery))))
	}
}

// meet calls the peers of whom it is known where they were, each once: it takes them out.
func (s *stockWatch) meet(where map[string]whereabouts) {
	for _, p := range s.list() {
		at, ok := where[p.ID]
		if !ok {
			continue
		}
		if delete(where, p.ID); at.Key != p.Key {
			continue
		}
		if err := s.t.meet(p.ID, at); err != nil {
			s.t.log.Debug("call stock peer", "peer", p.ID, "err", err)
		}
	}
}

// keep writes down where the peers are.
func (s *stockWatch) keep(where *recall) {
	_, all := s.t.read()
	states := make(map[string]PeerState, len(all))
	for _, p := range all {
		states[p.ID] = p
	}
	if err := where.keep(s.list(), states); err != nil {
		s.t.log.Warn("stock peers won't be called after a restart", "err", err)
	}
}

func (s *stockWatch) list() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Peer
	for _, w := range s.peers {
		out = append(out, w.peer)
	}
	return out
}

func (s *stockWatch) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers) == 0
}

// count takes in what WireGuard says.
func (s *stockWatch) count(states []PeerState, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range states {
		w := s.peers[p.ID]
		if w == nil {
			continue
		}
		w.judge.Counted(p.LastHandshake, p.RxBytes, now)
		if n := s.t.tun.traffic(w.peer.Addr); n != w.traffic {
			w.traffic = n
			w.judge.Use(now)
		}
	}
}

// round sends the echoes that are due, tells what has changed, and says how long there is nothing to do.
func (s *stockWatch) round(now time.Time) time.Duration {
	var echoes [][]byte
	var calls []string
	var changes []liveness.Change
	wait := countEvery
	s.mu.Lock()
	for id, w := range s.peers {
		if !w.judge.Next(now).After(now) {
			s.seq++
			w.judge.Sent(s.seq, now)
			echoes = append(echoes, s.mark.request(s.t.tun.self, w.peer.Addr, s.seq))
		}
		if w.judge.Doubtful(now) && now.Sub(w.called) >= callEvery {
			w.called = now
			calls = append(calls, id)
		}
		if is := w.judge.State(now); is != w.state {
			changes = append(changes, liveness.Change{Peer: id, From: w.state, To: is})
			w.state = is
		}
		wait = min(wait, max(w.judge.Next(now).Sub(now), time.Millisecond))
	}
	s.mu.Unlock()
	if nw, ok := s.t.net.(stockNetwork); ok && len(echoes) > 0 { // it was set before run is called
		nw.send(echoes)
	}
	for _, id := range calls {
		if err := s.t.call(id); err != nil {
			s.t.log.Debug("ask stock peer for a handshake", "peer", id, "err", err)
		}
	}
	for _, c := range changes {
		if c.To == liveness.Down || !c.From.Usable() {
			s.t.log.Info("path changed", "peer", c.Peer, "from", c.From.String(), "to", c.To.String())
		}
		if s.t.opts.Changed != nil {
			s.t.opts.Changed(c)
		}
		if c.To == liveness.Down && s.t.opts.Lost != nil {
			s.t.opts.Lost(c.Peer)
		}
	}
	return wait
}

// call begins a handshake with a peer, if it is known where that is.
func (t *Tunnel) call(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wg == nil {
		return ErrDown
	}
	for _, p := range t.have {
		if p.ID != id {
			continue
		}
		if peer := t.wg.LookupPeer(device.NoisePublicKey(p.Key)); peer != nil {
			return peer.SendHandshakeInitiation(false)
		}
	}
	return fmt.Errorf("no peer %s", id)
}
