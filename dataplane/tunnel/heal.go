package tunnel

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// rebindLeast is the least time between two new sockets, whoever asks for them.
const rebindLeast = 5 * time.Second

// healer works on tunnels that are down, at the end that leads, until they are up.
type healer struct {
	t     *Tunnel
	wake  chan struct{}             // holds one
	watch func(ctx context.Context) // for what makes it begin anew

	mu      sync.Mutex
	paths   map[string]*liveness.Recovery // guarded by mu; by peer id
	rebound time.Time                     // of run alone
}

func newHealer(t *Tunnel) *healer {
	h := &healer{t: t, wake: make(chan struct{}, 1), paths: map[string]*liveness.Recovery{}}
	h.watch = func(ctx context.Context) { watch(ctx, look, h.t.endpoints, h.networkChanged, h.clockJumped) }
	return h
}

// apply makes the peers the whole list. It is called with the tunnel's lock held.
func (h *healer) apply(peers []Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths := make(map[string]*liveness.Recovery, len(peers))
	for _, p := range peers {
		if !leads(h.t.tun.self, p) {
			continue
		}
		if paths[p.ID] = h.paths[p.ID]; paths[p.ID] == nil {
			paths[p.ID] = new(liveness.Recovery)
		}
	}
	h.paths = paths
}

// observe takes a change of a path.
func (h *healer) observe(c liveness.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.paths[c.Peer]; r != nil {
		r.Observe(c.To, time.Now())
		h.rouse()
	}
}

// shake begins anew with every path: the network or the clock has changed.
func (h *healer) shake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, r := range h.paths {
		r.Shake(now)
	}
	h.rouse()
}

// moved begins anew with a peer that is reached elsewhere.
func (h *healer) moved(peer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.paths[peer]; r != nil {
		r.Shake(time.Now())
		h.rouse()
	}
}

// stuck reports whether a path has been down for a while.
func (h *healer) stuck(peer string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.paths[peer]
	if r == nil {
		return false
	}
	since, down := r.Down()
	return down && now.Sub(since) >= stuckAfter
}

func (h *healer) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run does what is due until ctx ends.
func (h *healer) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.watch(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(h.round(time.Now()))
		h.t.wander()
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// round does the rounds that are due, and says how long there is none.
func (h *healer) round(now time.Time) (wait time.Duration) {
	type work struct {
		peer string
		step liveness.Step
	}
	var todo []work
	wait = time.Second // a clock may jump
	h.mu.Lock()
	for id, r := range h.paths {
		for _, s := range r.Round(now) {
			todo = append(todo, work{id, s})
		}
		if due, ok := r.Next(); ok {
			wait = min(wait, max(due.Sub(now), 0))
		}
	}
	h.mu.Unlock()
	for _, w := range todo {
		if w.step == liveness.Rebind && !h.mayRebind(now) {
			continue
		}
		if err := h.t.heals(w.peer, w.step); err != nil {
			h.t.log.Debug("heal tunnel", "peer", w.peer, "step", w.step.String(), "err", err)
		}
		h.t.m.heals[w.step].Inc()
	}
	return wait
}

// mayRebind spares the peers whose tunnels work: a new socket is for when none does.
func (h *healer) mayRebind(now time.Time) bool {
	if d := now.Sub(h.rebound); d >= 0 && d < rebindLeast {
		return false
	}
	h.mu.Lock()
	ids := slices.Collect(maps.Keys(h.paths))
	h.mu.Unlock()
	if slices.ContainsFunc(ids, h.t.Up) { // without mu: Apply holds the tunnel's lock when it takes mu
		return false
	}
	h.rebound = now
	return true
}

// networkChanged takes a change of the address that leads to any peer: the socket may be bound to what is
// gone.
func (h *healer) networkChanged() {
	h.t.log.Info("network changed, calling all peers")
	h.t.names.AskAll()
	if err := h.t.rebind(); err != nil {
		h.t.log.Warn("no new UDP socket", "err", err)
	}
	h.shake()
}

// clockJumped takes a jump of the clock: we were suspended, and peers may have forgotten us.
func (h *healer) clockJumped(by time.Duration) {
	h.t.log.Info("clock jumped, calling all peers", "by", by)
	h.t.names.AskAll()
	h.shake()
}

// heals does one step for one peer. One that has never sent heartbeats may be one that sends none: its
// session is left alone. If it has none, there is nothing to spare, and no reason for a handshake to wait.
func (t *Tunnel) heals(id string, s liveness.Step) error {
	t.ask(id)
	if !t.beats.Status(id).Heard {
		if t.states.get(id, t.Peers).Up {
			return nil
		}
		if s == liveness.Handshake {
			s = liveness.Rekey
		}
	}
	if s == liveness.Rebind {
		return t.rebind()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wg == nil {
		return ErrDown
	}
	for _, p := range t.have {
		if p.ID != id {
			continue
		}
		if s == liveness.Endpoint {
			return t.endpointLocked(p)
		}
		peer := t.wg.LookupPeer(device.NoisePublicKey(p.Key))
		if peer == nil {
			return nil
		}
		if s == liveness.Rekey {
			peer.ExpireCurrentKeypairs()
		}
		return peer.SendHandshakeInitiation(false)
	}
	return nil
}

// rebind opens new UDP sockets; on another port, unless there is a fixed one.
func (t *Tunnel) rebind() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wg == nil {
		return ErrDown
	}
	return t.bind.room.readers(func() error { return t.wg.IpcSet(fmt.Sprintf("listen_port=%d\n", t.opts.ListenPort)) })
}

// endpoints are the configured ones.
func (t *Tunnel) endpoints() []netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []netip.AddrPort
	for _, p := range t.have {
		if p.Endpoint.Addr.IsValid() {
			out = append(out, p.Endpoint.Addr)
		}
	}
	return out
}
