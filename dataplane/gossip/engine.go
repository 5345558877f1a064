package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxQueue bounds the deltas waiting to be told. Older ones are dropped: who misses one asks.
const maxQueue = 256

// engine is one memberlist with the callbacks that it wants. What they learn goes to Gossip, under its
// lock; they are called under memberlist's, so Gossip never calls memberlist under its own.
type engine struct {
	g       *Gossip
	list    *memberlist.Memberlist
	ring    *memberlist.Keyring
	link    *link
	queue   *memberlist.TransmitLimitedQueue
	started time.Time
	ended   atomic.Bool

	self     string
	endpoint netip.AddrPort
	class    int
	word     atomic.Value // as last told

	joining sync.Map // ids of peers that are being dialled
}

// startEngine joins nobody yet.
func (g *Gossip) startEngine(cfg Config, class int, w word) (*engine, error) {
	ring, err := newRing(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	e := &engine{g: g, ring: ring, started: time.Now(), self: cfg.Self, endpoint: cfg.Endpoint.Addr, class: class}
	e.word.Store(w)
	e.link = newLink(g.wire, cfg.Endpoint.Addr, g.where, g.dialled)
	tune := tuningOf(class, len(cfg.Peers)+1)
	c := tune.config()
	c.Name, c.Transport, c.Keyring = cfg.Self, e.link, ring
	c.BindPort, c.AdvertisePort = int(cfg.Endpoint.Addr.Port()), int(cfg.Endpoint.Addr.Port())
	c.Delegate, c.Events, c.Alive, c.Ping, c.Conflict = e, e, e, e, e
	c.Logger = log.New(complaints{g}, "", 0)
	e.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: c.RetransmitMult, NumNodes: g.size}
	g.wire.attach(e.link)
	if e.list, err = memberlist.Create(c); err != nil {
		e.link.Shutdown()
		g.wire.attach(nil)
		return nil, fmt.Errorf("gossip: start: %w", err)
	}
	return e, nil
}

// stop ends the engine; it says good-bye before to whom it leaves.
func (e *engine) stop(leave []Peer) {
	for _, p := range leave {
		_ = e.list.SendBestEffort(e.node(p), message{kind: msgLeave, node: e.self}.encode())
	}
	if len(leave) > 0 {
		_ = e.list.Leave(leaveTime) // the only error is that nobody could be told in time
	}
	e.ended.Store(true)
	e.g.wire.attach(nil)
	_ = e.list.Shutdown()
}

// join exchanges states with peers, all at once, and waits.
func (e *engine) join(ctx context.Context, peers []Peer) {
	var all sync.WaitGroup
	for _, p := range peers {
		if _, busy := e.joining.LoadOrStore(p.ID, true); busy {
			continue
		}
		all.Go(func() {
			defer e.joining.Delete(p.ID)
			if ctx.Err() == nil {
				_, _ = e.list.Join([]string{p.ID + "/" + p.Endpoint.Addr.String()}) // tried again until it is a member
			}
		})
	}
	all.Wait()
}

// tell queues a message for everybody.
func (e *engine) tell(b []byte) {
	e.queue.QueueBroadcast(rumour(b))
	if n := e.queue.NumQueued(); n > maxQueue {
		e.queue.Prune(maxQueue)
		e.g.m.drop(dropQueue)
	}
	e.g.m.queue.Set(float64(e.queue.NumQueued()))
}

// rumour is a message in the queue; none replaces another.
type rumour []byte

func (rumour) Invalidates(memberlist.Broadcast) bool { return false }
func (r rumour) Message() []byte                     { return r }
func (rumour) Finished()                             {}
func (rumour) UniqueBroadcast()                      {}

// node is what memberlist needs to send to a peer.
func (e *engine) node(p Peer) *memberlist.Node {
	return &memberlist.Node{Name: p.ID, Addr: p.Endpoint.Addr.Addr().AsSlice(), Port: p.Endpoint.Addr.Port()}
}

// NodeMeta implements memberlist.Delegate.
func (e *engine) NodeMeta(int) []byte { return e.word.Load().(word).meta() }

// NotifyMsg implements memberlist.Delegate.
func (e *engine) NotifyMsg(b []byte) {
	if e.ended.Load() {
		return
	}
	m, err := decodeMessage(b)
	if err != nil {
		e.g.m.drop(dropMalformed)
		return
	}
	if e.g.receive(m) {
		e.tell(bytes.Clone(b)) // as with any rumour: who hears it first passes it on
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (e *engine) GetBroadcasts(overhead, limit int) [][]byte {
	out := e.queue.GetBroadcasts(overhead, limit)
	if len(out) > 0 {
		e.g.m.queue.Set(float64(e.queue.NumQueued()))
	}
	return out
}

// LocalState implements memberlist.Delegate: which members died, for those who start after that.
func (e *engine) LocalState(bool) []byte { return encodeIDs(e.g.departed()) }

// MergeRemoteState implements memberlist.Delegate.
func (e *engine) MergeRemoteState(b []byte, _ bool) {
	ids, err := decodeIDs(b)
	if err != nil || e.ended.Load() {
		return
	}
	e.g.note(func(now time.Time) {
		e.g.life.hear(now)
		for _, id := range ids {
			e.g.life.wasMember(id)
		}
	})
}

// NotifyAlive implements memberlist.AliveDelegate: who is no peer is no member, whatever key it has.
func (e *engine) NotifyAlive(n *memberlist.Node) error {
	if n.Name == e.self {
		return nil
	}
	if _, ok := e.g.where(n.Name); !ok {
		e.g.m.drop(dropRefused)
		return errNoPeer
	}
	return nil
}

// NotifyJoin implements memberlist.EventDelegate.
func (e *engine) NotifyJoin(n *memberlist.Node) { e.NotifyUpdate(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e *engine) NotifyUpdate(n *memberlist.Node) {
	if n.Name == e.self || e.ended.Load() {
		return
	}
	id, w := n.Name, wordOf(n.Meta)
	e.g.note(func(now time.Time) {
		e.g.members[id] = true
		e.g.life.hear(now)
		e.g.heed(id, w)
		e.g.life.isAlive(id, e.g.words[id].draining)
	})
}

// NotifyLeave implements memberlist.EventDelegate.
func (e *engine) NotifyLeave(n *memberlist.Node) {
	if n.Name == e.self || e.ended.Load() {
		return
	}
	id := n.Name
	e.g.note(func(now time.Time) {
		delete(e.g.members, id)
		e.g.life.isMissed(id, now)
	})
	poke(e.g.want) // it is dialled once more
}

// AckPayload implements memberlist.PingDelegate: somebody with a key has asked.
func (e *engine) AckPayload() []byte {
	if e.ended.Load() {
		return nil
	}
	return e.g.pulse().encode()
}

// NotifyPingComplete implements memberlist.PingDelegate.
func (e *engine) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	if e.ended.Load() {
		return
	}
	p, err := decodePulse(payload)
	if err != nil {
		p = pulse{}
	}
	e.g.answered(n.Name, rtt, p)
}

// NotifyConflict implements memberlist.ConflictDelegate: a peer has moved, or its state was copied and is
// in use twice.
func (e *engine) NotifyConflict(have, other *memberlist.Node) {
	e.g.complain.Do(func() {
		e.g.log.Warn("node answers at two addresses", "node", have.Name, "addr", have.Address(), "other", other.Address())
	})
}

// complaints takes memberlist's log: strangers cause most of it, so it is counted and shown for debugging.
type complaints struct{ g *Gossip }

func (c complaints) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(b, []byte("[DEBUG]")) && !bytes.HasPrefix(b, []byte("[INFO]")) {
		c.g.m.drop(dropMemberlist)
	}
	if c.g.log.Enabled(context.Background(), slog.LevelDebug) {
		c.g.log.Debug("memberlist", "says", string(bytes.TrimSpace(b)))
	}
	return len(b), nil
}
