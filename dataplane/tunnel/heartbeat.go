package tunnel

import (
	"context"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// work exchanges heartbeats and heals tunnels until ctx ends.
func (t *Tunnel) work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.beats.Serve(ctx, t.pulse) })
	g.Go(func() error { t.heal.run(ctx); return nil })
	g.Go(func() error { t.names.Run(ctx); return nil })
	g.Go(func() error { t.bind.run(ctx); return nil })
	g.Go(func() error { t.stock.run(ctx); return nil })
	return g.Wait()
}

// paths is a Peer of the heartbeats for each of ours that knows of them. One end of each asks: a connector, and of two nodes
// the one with the smaller address.
func (t *Tunnel) paths(peers []Peer) []liveness.Peer {
	out := make([]liveness.Peer, 0, len(peers))
	for _, p := range peers {
		if p.Kind != Stock {
			out = append(out, liveness.Peer{ID: p.ID, Addr: p.Addr, Follow: !leads(t.tun.self, p)})
		}
	}
	return out
}

// leads reports whether our end is the one that asks, and heals.
func leads(self netip.Addr, p Peer) bool {
	return p.Kind == Node || p.Kind == Mesh && self.Less(p.Addr)
}

// Watched tells whether a path to a peer outside the tunnel is known to work, to lean on: an idle tunnel is asked less
// often then, and at once when that path has ended.
func (t *Tunnel) Watched(peer string, works bool) { t.beats.Lean(peer, works) }

// Missed takes that a peer has no answer of ours in the tunnel: it is asked at once.
func (t *Tunnel) Missed(peer string) { t.beats.Doubt(peer) }

// traffic is what the heartbeats take for use of a path.
func (t *Tunnel) traffic(from netip.Addr) uint64 { return t.tun.traffic(from) }

// resized takes what heartbeats have found out of the size of packets.
func (t *Tunnel) resized(to netip.Addr, mtu int) { t.tun.resize(to, mtu) }

// changed takes the changes of paths.
func (t *Tunnel) changed(c liveness.Change) {
	t.heal.observe(c)
	if c.To == liveness.Up {
		t.arrived(c.Peer)
	}
	if t.opts.Changed != nil {
		t.opts.Changed(c)
	}
}

// Up reports whether a peer answers heartbeats; of a stock peer, whether it is there (liveness.StockJudge). Of a peer that has never sent any, it reports whether there
// is a session; that answer may be stateAge old.
func (t *Tunnel) Up(peer string) bool {
	if state, _, ok := t.stock.status(peer); ok {
		return state.Usable()
	}
	if s := t.beats.Status(peer); judged(s) {
		return s.State.Usable()
	}
	return t.states.get(peer, t.Peers).Up
}

// Called reports whether a stock peer has ever shaken hands with this node: all nodes of a pool hold it, and it calls
// those that its configuration names.
func (t *Tunnel) Called(peer string) bool {
	state, _, ok := t.stock.status(peer)
	return ok && state != liveness.Unknown
}

// Transport is what WireGuard's packets to a peer go by: TransportUDP or TransportTLS; empty when none is known.
// The answer may be stateAge old.
func (t *Tunnel) Transport(peer string) string { return t.states.get(peer, t.Peers).Transport }

// Quality is what heartbeats have measured of the path to a peer.
func (t *Tunnel) Quality(peer string) liveness.Quality { return t.beats.Quality(peer) }

// judge completes the state of a peer by what heartbeats tell.
func (t *Tunnel) judge(p *PeerState) {
	if state, q, ok := t.stock.status(p.ID); ok {
		p.Up, p.RoundTrip, p.Loss = state.Usable(), q.RTT, q.Loss
		return
	}
	s := t.beats.Status(p.ID)
	if judged(s) {
		p.Up = s.State.Usable()
	}
	if s.Heard {
		p.RoundTrip, p.Loss = s.Quality.RTT, s.Quality.Loss
	}
}

// judged reports whether heartbeats decide.
func judged(s liveness.Status) bool { return s.Heard && s.State != liveness.Unknown }
