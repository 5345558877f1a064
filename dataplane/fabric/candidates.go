package fabric

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// candidate is one way to a site: this node itself, a connector of the site, or a node that can reach it.
type candidate struct {
	peer    string // connector or node id; the site's own if this node stands in it
	carrier string
	addr    netip.AddrPort
	relay   bool
}

// key names what may keep a dial waiting: the two carriers to one connector are two paths.
func (c candidate) key() string { return c.carrier + "/" + c.peer }

// Ranks of candidates, best first.
const (
	rankLocal     = iota // this node dials its targets itself
	rankPreferred        // a connector, by the carrier to prefer
	rankOther            // a connector, by the other one
	rankConnected        // an assigned node, reachable, that says that it has the site connected
	rankRelay            // an assigned node, reachable and not known to be down
	rankStandIn          // one of these two, by the carrier that stands in
	rankUnknown          // an assigned node whose tunnel from here is not up: dialling it wakes it
	rankDown             // an assigned node that is known to be down
	rankLate             // added to anything that recently kept a dial waiting
)

// view is what candidates are ordered by beside the configuration.
type view struct {
	up      func(carrier, peer string) bool
	reaches func(carrier, node string) bool
	prefer  func(s Site, connector string) (carrier string)
	late    func(key string) bool // it recently kept a dial waiting
	quality func(node string) liveness.Quality
	load    func(peer string) int
	turn    int // of the connectors of a site, which share its streams
}

// candidates gives the ways to a site as they are now, best first.
func (f *Fabric) candidates(site string, relays bool) []candidate {
	return f.table.Load().candidates(site, relays, view{
		up: f.carriers.up, prefer: f.prefer, late: f.late.has, load: f.loads.load, turn: int(f.turn.Add(1)),
		reaches: f.carriers.reaches, quality: f.carriers.toNode,
	})
}

// ranked is a candidate with what orders it.
type ranked struct {
	candidate
	rank    int
	region  int // distance of regions
	latency int // class of round trip
	load    int // class of what the node carries
	busy    int // attempts of this node in progress
}

// candidates orders the ways to a site. A connector is left out by a carrier that is not up: nobody knows
// where it is.
func (t *table) candidates(site string, relays bool, v view) []candidate {
	s, ok := t.sites[site]
	if !ok {
		return nil
	}
	out := make([]ranked, 0, 2*len(s.Connectors)+len(s.Nodes))
	add := func(r ranked) {
		if v.late(r.key()) {
			r.rank += rankLate
		}
		out = append(out, r)
	}
	if s.Local && slices.Contains(s.Nodes, t.self) && v.up(CarrierLocal, s.ID) {
		add(ranked{candidate: candidate{peer: s.ID, carrier: CarrierLocal}, rank: rankLocal})
	}
	for i := range s.Connectors {
		c := s.Connectors[(i+v.turn)%len(s.Connectors)]
		first := v.prefer(s, c.ID)
		for i, name := range []string{first, otherCarrier(first)} {
			if v.up(name, c.ID) {
				add(ranked{candidate: candidate{peer: c.ID, carrier: name, addr: netip.AddrPortFrom(c.Addr, ConnectorPort)}, rank: rankPreferred + i})
			}
		}
	}
	if relays {
		for _, id := range s.Nodes {
			if n, ok := t.nodes[id]; ok && id != t.self {
				for _, r := range t.relay(s, n, v) {
					add(r)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.region, b.region), cmp.Compare(a.latency, b.latency),
			cmp.Compare(a.load, b.load), cmp.Compare(a.busy, b.busy))
	})
	cs := make([]candidate, len(out))
	for i, r := range out {
		cs[i] = r.candidate
	}
	return cs
}

// connected reports whether a node says that it can reach a site itself, and will for a while.
func (n Node) connected(site string) bool {
	_, ok := slices.BinarySearch(n.Connected, site)
	return ok && !n.Draining
}

// relay is the ways by another node: over the TLS connections that are kept to it, if they answer, and inside the
// tunnel to it, which stands in.
func (t *table) relay(s Site, n Node, v view) []ranked {
	r := ranked{
		candidate: candidate{peer: n.ID, carrier: CarrierWireGuard, addr: netip.AddrPortFrom(n.Addr, RelayPort), relay: true},
		rank:      rankRelay, region: t.distance(s, n), latency: latencyClass(v.quality(n.ID).RTT), load: loadClass(n.Load), busy: v.load(n.ID),
	}
	if n.connected(s.ID) {
		r.rank = rankConnected
	}
	if n.Down {
		r.rank = rankDown
	}
	var out []ranked
	if v.reaches(CarrierStream, n.ID) {
		first := r
		first.carrier = CarrierStream
		out = append(out, first)
		r.rank = max(r.rank, rankStandIn)
	}
	if !v.reaches(CarrierWireGuard, n.ID) {
		r.rank = max(r.rank, rankUnknown)
	}
	return append(out, r)
}

// distance orders relays by region: here, where the site is, elsewhere.
func (t *table) distance(s Site, n Node) int {
	switch {
	case n.Region == "":
		return 2
	case n.Region == t.region:
		return 0
	case n.Region == s.Region:
		return 1
	}
	return 2
}

// latencyClass makes round trips comparable that differ by no more than chance: each class is twice as
// wide as the one before. What is not measured comes last.
func latencyClass(rtt time.Duration) int {
	if rtt <= 0 {
		return bits.UintSize
	}
	return bits.Len64(uint64(rtt.Milliseconds()))
}

// loadClass makes loads comparable that do not differ by much: each class is twice as wide as the one before, so
// that relays which carry about the same are chosen in the order of their assignment, by all nodes alike.
func loadClass(load int) int { return bits.Len(uint(max(0, load))) }

// table is a Config, indexed.
type table struct {
	self       string
	region     string
	sites      map[string]Site
	connectors map[string]Site // by connector
	nodes      map[string]Node
	peers      map[netip.Addr]string // other nodes by overlay address: who may use the relay port
}

// isOther reports whether id is another node of the cluster.
func (t *table) isOther(id string) bool {
	_, ok := t.nodes[id]
	return ok && id != t.self
}

func newTable(cfg Config) *table {
	t := &table{
		self: cfg.Self, region: cfg.Region,
		sites:      make(map[string]Site, len(cfg.Sites)),
		connectors: make(map[string]Site, len(cfg.Sites)),
		nodes:      make(map[string]Node, len(cfg.Nodes)),
		peers:      make(map[netip.Addr]string, len(cfg.Nodes)),
	}
	for _, s := range cfg.Sites {
		t.sites[s.ID] = s
		for _, c := range s.Connectors {
			t.connectors[c.ID] = s
		}
	}
	for _, n := range cfg.Nodes {
		t.nodes[n.ID] = n
		if n.ID != cfg.Self {
			t.peers[n.Addr] = n.ID
		}
	}
	return t
}
