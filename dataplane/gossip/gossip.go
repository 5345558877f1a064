// Package gossip lets nodes tell each other which of them are alive, draining or dead, and which sites
// have a connector connected at which node, so that none has to ask the control plane.
//
// The failure detector is SWIM, by hashicorp/memberlist, sealed with keys that Apply may change at any
// time. Without keys gossip is off; it never runs in the clear. Who is not among the configured peers is
// not a member, whatever key it holds. View is what is believed after damping and after asking whether it
// is this node that is cut off; Changed says when to look again.
package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/endpoint"
)

// Options are what New needs.
type Options struct {
	Dial       Dialer      // nil: the system's
	Lookup     dial.Lookup // of peers that are reached by name; nil: the system's
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// leaveTime is how long a good-bye may take to get out.
const leaveTime = time.Second

// Gossip is this node among the others. Safe for concurrent use.
type Gossip struct {
	log      *slog.Logger
	m        *metrics
	dial     Dialer
	complain rate.Sometimes // what a stranger can cause must not fill the log

	names *dial.Names
	wire  *wire         // set by Serve
	left  chan struct{} // closed when peers have been told that this node ends

	want    chan struct{} // of capacity 1: the configuration changed
	news    chan struct{} // of capacity 1: what is believed may have changed
	repair  chan struct{} // of capacity 1: a record may have to be asked for, or sent
	changed chan struct{} // of capacity 1: the view changed

	load atomic.Int64
	view atomic.Pointer[View] // replaced whole

	mu      sync.Mutex
	cfg     Config                       // guarded by mu
	drained bool                         // guarded by mu; by Drain
	places  map[string]endpoint.Endpoint // guarded by mu; by peer
	turns   map[string]int               // guarded by mu; how often a peer could not be dialled: it may have another address
	members map[string]bool              // guarded by mu; of the engine
	own     word                         // guarded by mu
	words   map[string]word              // guarded by mu; the last of each peer
	life    *liveness                    // guarded by mu
	records *records                     // guarded by mu
	loads   map[string]int               // guarded by mu
	rtts    roundTrips                   // guarded by mu
	engine  *engine                      // guarded by mu; nil: off. Only keep replaces it
	owed    map[string]bool              // guarded by mu; who asked for this node's record
}

// New makes a Gossip that is off.
func New(o Options) *Gossip {
	g := &Gossip{
		log: o.Log, m: newMetrics(o.Registerer), dial: o.Dial, complain: rate.Sometimes{Interval: time.Second},
		left: make(chan struct{}), want: make(chan struct{}, 1), news: make(chan struct{}, 1),
		repair: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		places: map[string]endpoint.Endpoint{}, turns: map[string]int{}, members: map[string]bool{}, words: map[string]word{}, life: newLiveness(), records: newRecords("", rand.Uint64()|1),
		loads: map[string]int{}, rtts: roundTrips{}, owed: map[string]bool{},
	}
	if g.dial == nil {
		g.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to.String())
		}
	}
	g.names = dial.NewNames(o.Lookup, g.renamed)
	g.view.Store(&View{})
	return g
}

// String names the task.
func (g *Gossip) String() string { return "gossip" }

// View is what is known of the other nodes now.
func (g *Gossip) View() View { return *g.view.Load() }

// Changed yields after one or more changes of View. It is meant for one reader.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Left is closed as soon as Serve has told the peers that this node ends: who closes listeners only then
// is not asked for by anybody any more.
func (g *Gossip) Left() <-chan struct{} { return g.left }

// Apply makes cfg the desired state; members stay members when keys or other peers change. It may be
// repeated. A cfg with mistakes changes nothing.
func (g *Gossip) Apply(cfg Config) error {
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	cfg.Peers, cfg.Keys = slices.Clone(cfg.Peers), slices.Clone(cfg.Keys)
	ids := make([]string, len(cfg.Peers))
	where, hosts := make(map[string]endpoint.Endpoint, len(cfg.Peers)), []string(nil)
	for i, p := range cfg.Peers {
		ids[i], where[p.ID] = p.ID, p.Endpoint
		if p.Endpoint.Host != "" {
			hosts = append(hosts, p.Endpoint.Host)
		}
	}
	g.names.Apply(hosts)
	g.mu.Lock()
	g.cfg, g.places = cfg, where
	g.life.expect(ids)
	g.records.self = cfg.Self
	g.records.expect(ids)
	for id := range g.rtts {
		if _, ok := where[id]; !ok {
			delete(g.rtts, id)
			delete(g.loads, id)
			delete(g.turns, id)
		}
	}
	for id := range g.words {
		if _, ok := where[id]; !ok && !g.members[id] {
			delete(g.words, id)
		}
	}
	for id := range g.members { // of those that have become peers again
		if _, ok := where[id]; ok {
			g.life.isAlive(id, g.words[id].draining)
		}
	}
	g.mu.Unlock()
	poke(g.want)
	poke(g.news)
	return nil
}

// SetSites says which sites have a connector connected here. Order does not matter; more than 8192 are
// not told.
func (g *Gossip) SetSites(sites []string) {
	g.mu.Lock()
	m, changed := g.records.set(sites)
	e := g.engine
	g.mu.Unlock()
	if changed && e != nil {
		e.tell(m.encode())
	}
}

// SetLoad says what this node carries, in thousandths of what it can. Peers hear of it when they next probe this node.
func (g *Gossip) SetLoad(thousandths int) { g.load.Store(int64(max(0, thousandths))) }

// Drain tells peers that this node is not to be named to clients any more. It does not wait, and is not
// taken back while the process lives.
func (g *Gossip) Drain() {
	g.mu.Lock()
	g.drained = true
	g.mu.Unlock()
	poke(g.want)
}

// poke makes a reader of a channel of capacity 1 run once more.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will, already
	}
}

// note changes what is known, under the lock.
func (g *Gossip) note(f func(now time.Time)) {
	g.mu.Lock()
	f(time.Now())
	g.mu.Unlock()
	poke(g.news)
}

// where is the address of a peer: one of those that its name has, if it has one.
func (g *Gossip) where(id string) (netip.AddrPort, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.places[id]
	if has := g.names.Addrs(at.Host); at.Host != "" && len(has) > 0 {
		return netip.AddrPortFrom(has[g.turns[id]%len(has)], at.Addr.Port()), ok
	}
	return at.Addr, ok
}

// renamed takes that a name has other addresses: who is there is dialled soon.
func (g *Gossip) renamed(string) { poke(g.want) }

// size is how many nodes there are.
func (g *Gossip) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) + 1
}

// dialled takes what a dial says of a peer and the way there.
func (g *Gossip) dialled(id string, took time.Duration, err error) {
	if err != nil {
		g.mu.Lock()
		at := g.places[id]
		if at.Host != "" {
			g.turns[id]++
			g.names.Ask(at.Host)
		}
		g.mu.Unlock()
	}
	switch {
	case err == nil:
		g.note(func(now time.Time) { g.life.isReached(id, now) })
		g.measured(id, took)
	case refused(err):
		g.note(func(now time.Time) { g.life.isRefusing(id, now) })
	}
}

// answered takes a peer's answer to a probe.
func (g *Gossip) answered(id string, rtt time.Duration, p pulse) {
	g.mu.Lock()
	now := time.Now()
	news := now.Sub(g.life.heard) > g.life.pace.silence/2
	g.life.hear(now)
	if _, ok := g.places[id]; ok && p.epoch != 0 {
		news = g.records.compare(id, p, now) || g.loads[id] != int(p.load) || news
		news = p.told && g.heed(id, word{epoch: p.epoch, count: p.count, draining: p.draining}) || news
		g.loads[id] = int(p.load)
	}
	g.mu.Unlock()
	g.measured(id, rtt)
	if news {
		poke(g.news)
	}
	poke(g.repair)
}

func (g *Gossip) measured(id string, rtt time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.places[id]; !ok {
		return
	}
	g.rtts.add(id, rtt)
	if e := g.engine; e != nil && g.rtts.class() > e.class {
		poke(g.want)
	}
}

// receive takes a message; true: it is to be passed on.
func (g *Gossip) receive(m message) (fresh bool) {
	g.mu.Lock()
	now := time.Now()
	g.life.hear(now)
	changed := false
	switch m.kind {
	case msgWant:
		if _, ok := g.places[m.node]; ok {
			g.owed[m.node] = true
		}
	case msgLeave:
		g.life.isLeaving(m.node, now)
	default:
		fresh, changed = g.records.take(m, now)
	}
	g.mu.Unlock()
	if changed {
		poke(g.news)
	}
	poke(g.repair)
	return fresh
}

// pulse is what answers to probes carry. It also counts as a word from a peer.
func (g *Gossip) pulse() pulse {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Sub(g.life.heard) > g.life.pace.silence/2 {
		poke(g.news)
	}
	g.life.hear(now)
	return pulse{
		epoch: g.records.own.epoch, seq: g.records.own.seq, load: uint64(rounded(int(g.load.Load()))),
		told: true, count: g.own.count, draining: g.own.draining,
	}
}

// rounded keeps the two highest bits: a load that changes a little is no news.
func rounded(n int) int {
	if shift := bits.Len(uint(n)) - 2; shift > 0 {
		return n >> shift << shift
	}
	return n
}

// departed are the peers that were members and are not.
func (g *Gossip) departed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ids []string
	for id, f := range g.life.peers {
		if f.met && !f.alive && len(ids) < maxSites {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
