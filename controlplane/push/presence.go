package push

import (
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// presence is the newest NodeHealth of each node, in the order of change. It stands beside revisions. Its
// lock is taken after a stream's.
type presence struct {
	mu    sync.Mutex
	known bool // something was said
	state map[string]nodev1.NodeState
	seq   uint64
	log   []healthEntry // at least the last entry of every node that ever was, ordered by seq
	names map[string]bool
}

type healthEntry struct {
	seq  uint64
	node string
	res  *discovery.Resource // nil: gone
}

// SetNodeHealth says how all nodes are. It may be called again at any time; only what differs is sent.
// Nodes of which nothing is known yet should be in states as NODE_STATE_UNSPECIFIED: readers keep what
// they heard before. Until the first call readers are told nothing at all.
func (s *Server) SetNodeHealth(states map[string]nodev1.NodeState) {
	if !s.presence.set(states) {
		return
	}
	var wake []*stream
	for _, st := range s.open() {
		st.mu.Lock()
		if st.watches[resource.NodeHealth] != nil {
			wake = append(wake, st)
		}
		st.mu.Unlock()
	}
	s.poke(wake...)
}

func (p *presence) set(states map[string]nodev1.NodeState) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed = !p.known
	p.known = true
	if p.names == nil {
		p.names = map[string]bool{}
	}
	for _, node := range slices.Sorted(maps.Keys(states)) {
		if old, ok := p.state[node]; ok && old == states[node] {
			continue
		}
		p.add(node, healthResource(node, states[node]))
		changed = true
	}
	for _, node := range slices.Sorted(maps.Keys(p.state)) {
		if _, ok := states[node]; !ok {
			p.add(node, nil)
			changed = true
		}
	}
	p.state = maps.Clone(states)
	if len(p.log) > 2*len(p.names)+64 {
		p.compact()
	}
	return changed
}

func (p *presence) add(node string, res *discovery.Resource) {
	p.seq++
	p.names[node] = true
	p.log = append(p.log, healthEntry{p.seq, node, res})
}

// compact keeps the newest entry of each node.
func (p *presence) compact() {
	newest := make(map[string]uint64, len(p.names))
	for _, e := range p.log {
		newest[e.node] = e.seq
	}
	p.log = slices.DeleteFunc(p.log, func(e healthEntry) bool { return newest[e.node] != e.seq })
}

// after is what changed after seq, up to a page, each node once, and the position to go on from. Those who
// have nothing need not hear of what is gone.
func (p *presence) after(seq uint64) (upserts []*discovery.Resource, removed []string, next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, _ := slices.BinarySearchFunc(p.log, seq+1, func(e healthEntry, s uint64) int {
		if e.seq < s {
			return -1
		}
		return 1
	})
	room, to := pageBytes, from
	for ; to < len(p.log) && room > 0; to++ {
		room -= 3*len(p.log[to].node) + entryOverhead
		seq = p.log[to].seq
	}
	part := p.log[from:to]
	last := make(map[string]uint64, len(part))
	for _, e := range part {
		last[e.node] = e.seq
	}
	for _, e := range part {
		switch {
		case last[e.node] != e.seq:
		case e.res == nil:
			removed = append(removed, resource.Name("nodehealth", e.node))
		default:
			upserts = append(upserts, e.res)
		}
	}
	return upserts, removed, seq
}

func (p *presence) newest() (uint64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq, p.known
}

// pushHealth offers what is new since the last time. The first response has everything and is sent even
// when that is nothing. It needs the stream's lock.
func (st *stream) pushHealth() {
	w := st.watches[resource.NodeHealth]
	newest, known := st.srv.presence.newest()
	if !w.ready() || !known || st.greeted && st.health >= newest {
		return
	}
	st.greeted = true
	st.offer(w, func() (upserts []*discovery.Resource, removed []string) {
		upserts, removed, st.health = st.srv.presence.after(st.health)
		return upserts, removed
	})
}

func healthResource(node string, state nodev1.NodeState) *discovery.Resource {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&nodev1.NodeHealth{NodeId: node, State: state})
	if err != nil {
		b = nil // only an id that is not UTF-8, which no id is
	}
	return &discovery.Resource{
		Name: resource.Name("nodehealth", node), Version: resource.Version(resource.NodeHealth, snapshot.Epoch, b),
		Resource: &anypb.Any{TypeUrl: resource.NodeHealth, Value: b},
	}
}
