package gossip

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// How often a peer that is no member is dialled: at once, then at longer and longer times, so that two
// halves of a cluster find each other soon after the network between them is back.
const (
	rejoinMin = 500 * time.Millisecond
	rejoinMax = 3 * time.Second
)

// engineGrace is how long a new engine has to find a peer that the one before knew alive.
const engineGrace = 3 * time.Second

// slowAtLeast is how long a pace is kept before a faster one is tried.
const slowAtLeast = 30 * time.Second

// recordsAtOnce is how many peers are sent this node's record at a time.
const recordsAtOnce = 4

// Serve gossips on the sockets until ctx ends, says good-bye, and closes them. It may be called once.
func (g *Gossip) Serve(ctx context.Context, udp net.PacketConn, tcp net.Listener) error {
	g.wire = &wire{udp: udp, tcp: tcp, dial: g.dial, m: g.m}
	// The sockets outlive ctx by a good-bye.
	sockets, closeSockets := context.WithCancel(context.WithoutCancel(ctx))
	defer closeSockets()
	stop := context.AfterFunc(sockets, func() { _, _ = udp.Close(), tcp.Close() })
	defer stop()
	var readers errgroup.Group
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, read := range []func(context.Context) error{g.wire.readPackets, g.wire.acceptStreams} {
		readers.Go(func() error {
			err := read(sockets)
			if err != nil {
				fail(err)
			}
			return err
		})
	}

	var talks talks // with single peers; they may have to wait for an end, so they end with the engine
	work, ctx := errgroup.WithContext(failed)
	work.Go(func() error { return g.publish(ctx) })
	work.Go(func() error { g.names.Run(ctx); return nil })
	work.Go(func() error { return g.keep(ctx, &talks.joins) })
	work.Go(func() error { return g.exchange(ctx, &talks.sends) })
	err := work.Wait()

	g.mu.Lock()
	e, peers := g.engine, g.cfg.Peers
	g.engine = nil
	g.mu.Unlock()
	if e != nil {
		e.stop(peers)
	}
	close(g.left)
	talks.joins.Wait()
	_ = talks.sends.Wait()
	closeSockets()
	return errors.Join(err, readers.Wait())
}

// talks are the conversations under way.
type talks struct {
	joins sync.WaitGroup
	sends errgroup.Group
}

// publish turns news into views until ctx ends. It never waits for the network.
func (g *Gossip) publish(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		if next := g.refresh(now); next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(next.Sub(now))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.news:
		case <-timer.C:
		}
	}
}

// refresh makes the view be what is believed now. It returns when to do so again without any news.
func (g *Gossip) refresh(now time.Time) time.Time {
	g.mu.Lock()
	verdicts, next := g.life.judge(now)
	old := g.view.Load()
	v := View{make(map[string]Node, len(verdicts))}
	for id, is := range verdicts {
		if is.state == Dead && old.nodes[id].State != Dead {
			g.records.forget(id)
			delete(g.loads, id)
			delete(g.rtts, id)
		}
		n := Node{State: is.state, Unreachable: is.unreachable, Sites: g.records.sites(id), Load: g.loads[id], Since: now}
		if was, ok := old.nodes[id]; ok && was.State == n.State && was.Unreachable == n.Unreachable {
			n.Since = was.Since
		}
		v.nodes[id] = n
	}
	g.mu.Unlock()
	if old.same(v) {
		return next
	}
	for id, n := range v.nodes {
		if was := old.nodes[id]; was.State != n.State {
			g.log.Info("node is "+n.State.String(), "peer", id, "was", was.State.String())
		}
	}
	g.view.Store(&v)
	g.m.changes.Inc()
	for _, s := range []State{Unknown, Alive, Draining, Dead} {
		g.m.members.WithLabelValues(s.String()).Set(float64(v.count(s)))
	}
	poke(g.changed)
	return next
}

// keep makes the engine be as configured, and looks for peers that are not members, until ctx ends.
func (g *Gossip) keep(ctx context.Context, joins *sync.WaitGroup) error {
	wait := map[string]time.Duration{} // by peer, until it is dialled once more
	due := map[string]time.Time{}
	for {
		e := g.reconcile(ctx)
		next := rejoinMax
		if e != nil {
			now := time.Now()
			var missing []Peer
			for _, p := range g.missing(e, now) {
				if now.Before(due[p.ID]) {
					continue
				}
				missing = append(missing, p)
				w := min(max(rejoinMin, 2*wait[p.ID]), rejoinMax)
				wait[p.ID], due[p.ID] = w, now.Add(w/2+rand.N(w/2))
			}
			g.forgetFound(wait, due)
			joins.Go(func() { e.join(ctx, missing) })
			next = rejoinMin
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.want:
		case <-time.After(next):
		}
	}
}

// forgetFound starts the waits of members over.
func (g *Gossip) forgetFound(wait map[string]time.Duration, due map[string]time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range wait {
		_, member := g.members[id]
		if _, peer := g.places[id]; member || !peer {
			delete(wait, id)
			delete(due, id)
		}
	}
}

// missing are the peers that are not members. Those that another engine knew alive, and this one could not
// find in time, are dead.
func (g *Gossip) missing(e *engine, now time.Time) (missing []Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.cfg.Peers {
		if _, ok := g.members[p.ID]; ok {
			continue
		}
		missing = append(missing, p)
		if now.Sub(e.started) > engineGrace {
			g.life.isMissed(p.ID, now)
			poke(g.news)
		}
	}
	return missing
}

// reconcile makes the engine be as configured and returns it; nil while gossip is off.
func (g *Gossip) reconcile(ctx context.Context) *engine {
	g.mu.Lock()
	cfg, e, class := g.cfg, g.engine, g.rtts.class()
	w := g.say(cfg.Draining || g.drained)
	g.mu.Unlock()
	trusted := make(map[netip.Addr]bool, len(cfg.Peers))
	for _, p := range cfg.Peers {
		trusted[p.Endpoint.Addr.Addr().Unmap()] = true
		for _, a := range g.names.Addrs(p.Endpoint.Host) {
			trusted[a] = true
		}
	}
	g.wire.expect(trusted)
	switch {
	case ctx.Err() != nil:
		return e
	case !cfg.on():
		if e != nil {
			g.log.Info("gossip is off")
			g.replace(e, nil, cfg.Peers)
		}
		return nil
	case e == nil:
	case e.self != cfg.Self || e.endpoint != cfg.Endpoint.Addr:
		g.replace(e, nil, cfg.Peers) // peers believe a new address only of who has left
	case class > e.class || class < e.class && time.Since(e.started) > slowAtLeast:
		g.log.Info("peers are farther or nearer than thought, probing at another pace", "rtt", classes[class])
		g.replace(e, nil, nil) // nobody notices: the same member, in other words
	default:
		if ok, err := rekey(e.ring, cfg.Keys); err != nil || !ok {
			g.replace(e, nil, nil)
			break
		}
		if e.word.Swap(w) != w {
			_ = e.list.UpdateNode(leaveTime) // waits until it is told; if nobody is there, nobody is told
		}
		return e
	}
	return g.start(cfg, class, w)
}

func (g *Gossip) start(cfg Config, class int, w word) *engine {
	g.mu.Lock()
	g.life.pace = tuningOf(class, len(cfg.Peers)+1).pace()
	g.mu.Unlock()
	e, err := g.startEngine(cfg, class, w)
	if err != nil {
		g.log.Error("gossip can't start", "err", err) // tried again by keep
		return nil
	}
	g.m.restarts.Inc()
	g.replace(nil, e, nil)
	return e
}

// replace ends an engine, saying good-bye if it leaves anybody, and puts another in its place.
func (g *Gossip) replace(old, next *engine, leave []Peer) {
	if old != nil {
		old.stop(leave)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if old != nil {
		clear(g.members)
	}
	g.engine = next
	if next == nil && leave != nil { // what was known is no longer watched
		for _, f := range g.life.peers {
			*f = fate{}
		}
		poke(g.news)
	}
}

// exchange asks for records that this node is behind with, and sends its own to who asked.
func (g *Gossip) exchange(ctx context.Context, sends *errgroup.Group) error {
	sends.SetLimit(recordsAtOnce)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := g.repairOnce(sends, time.Now()); next > 0 {
			timer.Reset(next)
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.repair:
		case <-timer.C:
		}
	}
}

// repairOnce asks and sends what is due now. It returns after how long there is more to ask; 0: not before
// more news.
func (g *Gossip) repairOnce(sends *errgroup.Group, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	ask, next := g.records.wants(now)
	e := g.engine
	if e == nil {
		clear(g.owed)
		return 0
	}
	for _, id := range ask {
		p, want := Peer{id, g.places[id]}, message{kind: msgWant, node: g.cfg.Self}
		sends.TryGo(func() error { // if too many talk, it is asked the next time
			return e.list.SendBestEffort(e.node(p), want.encode())
		})
	}
	whole := g.records.whole()
	for id := range g.owed {
		p := Peer{id, g.places[id]}
		if !sends.TryGo(func() error {
			defer poke(g.repair) // for the next
			return e.list.SendReliable(e.node(p), whole.encode())
		}) {
			break
		}
		delete(g.owed, id)
	}
	if next.IsZero() {
		return 0
	}
	return next.Sub(now)
}
