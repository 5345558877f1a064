package fabric

import (
	"cmp"
	"net/netip"
	"slices"
)

// candidate is one way to a site: a connector of it, or a node that has a tunnel to one.
type candidate struct {
	peer  string // connector or node id
	addr  netip.AddrPort
	relay bool
}

// Ranks of candidates, best first.
const (
	rankLocal     = iota // a connector whose tunnel is up here
	rankConnected        // an assigned node, reachable, that says that it has the site connected
	rankRelay            // an assigned node, reachable and not known to be down
	rankUnknown          // an assigned node whose tunnel from here is not up: dialling it wakes it
	rankDown             // an assigned node that is known to be down
	rankLate             // added to anything that recently kept a dial waiting
)

// candidates orders the ways to a site. Connectors without an up tunnel are left out: nobody knows where
// they are. late says whether a peer recently kept a dial waiting.
func (t *table) candidates(site string, relays bool, up, late func(peer string) bool) []candidate {
	s, ok := t.sites[site]
	if !ok {
		return nil
	}
	type ranked struct {
		candidate
		rank int
	}
	var out []ranked
	add := func(rank int, c candidate) {
		if late(c.peer) {
			rank += rankLate
		}
		out = append(out, ranked{c, rank})
	}
	for _, c := range s.Connectors {
		if up(c.ID) {
			add(rankLocal, candidate{peer: c.ID, addr: netip.AddrPortFrom(c.Addr, ConnectorPort)})
		}
	}
	if relays {
		for _, id := range s.Nodes {
			n, ok := t.nodes[id]
			if !ok || id == t.self {
				continue
			}
			rank := rankRelay
			switch {
			case n.Down:
				rank = rankDown
			case !up(id):
				rank = rankUnknown
			case n.connected(site):
				rank = rankConnected
			}
			add(rank, candidate{peer: id, addr: netip.AddrPortFrom(n.Addr, RelayPort), relay: true})
		}
	}
	slices.SortStableFunc(out, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	cs := make([]candidate, len(out))
	for i, r := range out {
		cs[i] = r.candidate
	}
	return cs
}

// connected reports whether a node says that it has a site connected, and will have it for a while.
func (n Node) connected(site string) bool {
	_, ok := slices.BinarySearch(n.Connected, site)
	return ok && !n.Draining
}

// table is a Config, indexed.
type table struct {
	self  string
	sites map[string]Site
	nodes map[string]Node
	peers map[netip.Addr]string // other nodes by overlay address: who may use the relay port
}

func newTable(cfg Config) *table {
	t := &table{
		self:  cfg.Self,
		sites: make(map[string]Site, len(cfg.Sites)),
		nodes: make(map[string]Node, len(cfg.Nodes)),
		peers: make(map[netip.Addr]string, len(cfg.Nodes)),
	}
	for _, s := range cfg.Sites {
		t.sites[s.ID] = s
	}
	for _, n := range cfg.Nodes {
		t.nodes[n.ID] = n
		if n.ID != cfg.Self {
			t.peers[n.Addr] = n.ID
		}
	}
	return t
}
