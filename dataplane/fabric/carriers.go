package fabric

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// Names of carriers.
const (
	CarrierStream    = "stream"    // TLS connections that the other end, a connector or a node, dials ahead of need
	CarrierWireGuard = "wireguard" // TCP inside the tunnel
	CarrierLocal     = "local"     // none: the node dials the target itself, in its own network or to a stock WireGuard peer
)

// Carrier brings a stream to a peer.
type Carrier interface {
	// Dial connects to an address of a peer, a connector or a node. It returns soon after ctx ends. A connection
	// that was made earlier may have a method Prepared, which says whether nothing came back over it yet.
	Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error)
	// Up reports whether the peer was heard of recently. It is asked for every candidate of every dial.
	Up(peer string) bool
}

// Measured is a Carrier that knows how good the path to a peer is.
type Measured interface {
	Quality(peer string) liveness.Quality
}

// Carriers are the ways to peers. Each stands in for the other when that is down.
type Carriers struct {
	WireGuard Carrier                     // to connectors and to other nodes
	Stream    Carrier                     // to connectors; nil: there is none
	Nodes     Carrier                     // "stream" to other nodes; nil: there is none
	Local     Carrier                     // to sites whose targets this node dials itself, whose ids are its peers; nil: there are none
	BothTUN   func(connector string) bool // the tunnel is an interface of the system at both its ends, and goes over UDP; nil: it is not
}

func (c Carriers) named(name string) Carrier {
	switch name {
	case CarrierStream:
		return c.Stream
	case CarrierLocal:
		return c.Local
	}
	return c.WireGuard
}

// of is the carrier of this name to connectors, or to other nodes.
func (c Carriers) of(name string, node bool) Carrier {
	if node && name == CarrierStream {
		return c.Nodes
	}
	return c.named(name)
}

func (c Carriers) up(name, peer string) bool { return isUp(c.named(name), peer) }

// reaches reports whether another node can be reached by a carrier.
func (c Carriers) reaches(name, node string) bool { return isUp(c.of(name, true), node) }

func isUp(by Carrier, peer string) bool { return by != nil && by.Up(peer) }

func (c Carriers) quality(name, peer string) liveness.Quality { return measured(c.named(name), peer) }

// toNode is how good the path to another node is, by the first carrier that has measured it.
func (c Carriers) toNode(node string) liveness.Quality {
	if q := measured(c.Nodes, node); q.RTT > 0 {
		return q
	}
	return measured(c.WireGuard, node)
}

func measured(by Carrier, peer string) liveness.Quality {
	if m, ok := by.(Measured); ok {
		return m.Quality(peer)
	}
	return liveness.Quality{}
}

func otherCarrier(name string) string {
	if name == CarrierStream {
		return CarrierWireGuard
	}
	return CarrierStream
}

// The rule by which a carrier yields to the other one, when none is pinned. Its cost is its round trip,
// once more for every 5 % of loss. One that costs much more than the other for a while yields; it gets its
// place back when it has cost hardly more for a longer while.
const (
	yieldFactor  = 2
	yieldMargin  = 20 * time.Millisecond
	yieldAfter   = 10 * time.Second
	returnFactor = 1.25
	returnMargin = 5 * time.Millisecond
	returnAfter  = 30 * time.Second
	lossWeight   = 20
)

// paths is what is known of the two ways to a connector.
type paths struct {
	pinned            string // empty: not
	bothTUN           bool
	stream, wireguard path
}

type path struct {
	exists, up bool
	quality    liveness.Quality
}

func (p paths) named(name string) path {
	if name == CarrierStream {
		return p.stream
	}
	return p.wireguard
}

// base is the carrier to prefer as long as the other one is not much better. A TCP stack in a process
// recovers from loss a hundred times slower than the kernel's, which no heartbeat shows: the stream
// carrier is the better one unless the kernel's TCP runs through the tunnel at both ends; and the tunnel not
// through TLS, where TCP would run in TCP.
func (p paths) base() string {
	switch {
	case !p.stream.exists:
		return CarrierWireGuard
	case p.pinned != "":
		return p.pinned
	case p.bothTUN:
		return CarrierWireGuard
	}
	return CarrierStream
}

// cost is comparable between measured paths; false: not measured now.
func (p path) cost() (float64, bool) {
	q := p.quality
	return q.RTT.Seconds() * (1 + lossWeight*q.Loss), p.exists && p.up && q.RTT > 0
}

// choice is the carrier to prefer for a connector.
type choice struct {
	carrier string
	base    string
	since   time.Time // since when the measurements speak for the other one; zero: they don't
}

// next takes in what is known now. A carrier that is down needs no rule: the other one stands in.
func (c choice) next(p paths, now time.Time) choice {
	if base := p.base(); c.base != base || p.pinned != "" {
		return choice{carrier: base, base: base}
	}
	base, measured := p.named(c.base).cost()
	other, too := p.named(otherCarrier(c.base)).cost()
	against, after := base > yieldFactor*other+yieldMargin.Seconds(), yieldAfter
	if c.carrier != c.base {
		against, after = base <= returnFactor*other+returnMargin.Seconds(), returnAfter
	}
	switch {
	case !measured || !too || !against:
		c.since = time.Time{}
	case c.since.IsZero():
		c.since = now
	case now.Sub(c.since) >= after:
		return choice{carrier: otherCarrier(c.carrier), base: c.base}
	}
	return c
}

// lookEvery is how often a choice is looked at again, at most: every dial asks for it.
const lookEvery = 250 * time.Millisecond

// choices remembers what was chosen for each connector.
type choices struct {
	mu sync.Mutex
	of map[string]*chosen // guarded by mu; by connector
}

type chosen struct {
	choice
	looked time.Time
}

// prefer gives the carrier to prefer for a connector of a site.
func (f *Fabric) prefer(s Site, connector string) string {
	now := time.Now()
	f.choices.mu.Lock()
	defer f.choices.mu.Unlock()
	c, ok := f.choices.of[connector]
	if ok && now.Sub(c.looked) < lookEvery {
		return c.carrier
	}
	if !ok {
		c = &chosen{}
		if f.choices.of == nil {
			f.choices.of = map[string]*chosen{}
		}
		f.choices.of[connector] = c
	}
	was := c.carrier
	c.choice, c.looked = c.next(f.paths(s.Carrier, connector), now), now
	if c.carrier != was {
		f.m.prefers(was, c.carrier)
		if ok {
			f.log.Info("another carrier is preferred", "site", s.ID, "connector", connector, "from", was, "to", c.carrier)
		}
	}
	return c.carrier
}

func (f *Fabric) paths(pinned, connector string) paths {
	one := func(name string) path {
		return path{f.carriers.named(name) != nil, f.carriers.up(name, connector), f.carriers.quality(name, connector)}
	}
	return paths{
		pinned: pinned, bothTUN: f.carriers.BothTUN != nil && f.carriers.BothTUN(connector),
		stream: one(CarrierStream), wireguard: one(CarrierWireGuard),
	}
}

// forget drops what was chosen for connectors that are gone.
func (f *Fabric) forget(t *table) {
	f.choices.mu.Lock()
	defer f.choices.mu.Unlock()
	for id, c := range f.choices.of {
		if _, ok := t.connectors[id]; !ok {
			f.m.prefers(c.carrier, "")
			delete(f.choices.of, id)
		}
	}
}

// CarrierOf is the carrier over which streams to a connector go now; "" when none is up, or when there is
// no such connector.
func (f *Fabric) CarrierOf(connector string) string {
	s, ok := f.table.Load().connectors[connector]
	if !ok {
		return ""
	}
	first := f.prefer(s, connector)
	for _, name := range []string{first, otherCarrier(first)} {
		if f.carriers.up(name, connector) {
			return name
		}
	}
	return ""
}

// loads counts the attempts in progress, by peer.
type loads struct {
	mu sync.Mutex
	of map[string]int // guarded by mu
}

// begin counts one more; the result ends it.
func (l *loads) begin(peer string) func() {
	l.add(peer, 1)
	return func() { l.add(peer, -1) }
}

func (l *loads) add(peer string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]int{}
	}
	if l.of[peer] += n; l.of[peer] == 0 {
		delete(l.of, peer)
	}
}

func (l *loads) load(peer string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[peer]
}
