package push

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// presence is what is true only now, of one ephemeral type: the newest word on each thing, in the order of
// change, by the scope whose readers hear of it. It stands beside revisions. Its lock is taken after a
// stream's.
type presence struct {
	typeURL string

	mu     sync.Mutex
	known  bool // something was said
	seq    uint64
	words  map[string]word // by resource name: what is there
	trails map[string]*trail
}

// word is the newest that was said of one thing.
type word struct {
	scope string
	res   *discovery.Resource
}

// trail is what the readers of one scope were told, in the order of seq: at least the newest word on each
// thing that is there, and on the last maxGone that are gone.
type trail struct {
	told []told
	live int // things that are there
}

type told struct {
	seq  uint64
	name string
	res  *discovery.Resource // nil: gone
}

// maxGone is how many things that are gone a scope remembers. A reader that lags further behind than that
// keeps a word on what its configuration does not have any more, which is none.
const maxGone = 1024

func newPresence(typeURL string) *presence {
	return &presence{typeURL: typeURL, words: map[string]word{}, trails: map[string]*trail{}}
}

// news is a word on one thing, or, without a message, that it is gone.
type news struct {
	name, scope string
	msg         proto.Message
}

// tell takes news and returns the scopes whose readers have to hear of them.
func (p *presence) tell(list []news) (scopes map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	scopes = map[string]bool{}
	for _, n := range list {
		old, had := p.words[n.name]
		if had && (n.msg == nil || old.scope != n.scope) {
			p.add(old.scope, n.name, nil, -1)
			delete(p.words, n.name)
			scopes[old.scope], had = true, false
		}
		if n.msg == nil {
			continue
		}
		res := p.resource(n.name, n.msg)
		if had && old.res.GetVersion() == res.GetVersion() {
			continue
		}
		more := 1
		if had {
			more = 0
		}
		p.add(n.scope, n.name, res, more)
		p.words[n.name] = word{n.scope, res}
		scopes[n.scope] = true
	}
	return scopes
}

// begin notes that something is known, be it that there is nothing, and reports whether that is new.
func (p *presence) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.known
	p.known = true
	return !was
}

func (p *presence) resource(name string, msg proto.Message) *discovery.Resource {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		b = nil // only an id that is not UTF-8, which no id is
	}
	return &discovery.Resource{
		Name: name, Version: resource.Version(p.typeURL, snapshot.Epoch, b), Resource: &anypb.Any{TypeUrl: p.typeURL, Value: b},
	}
}

// add needs the lock. more is by how much the number of things that are there changes.
func (p *presence) add(scope, name string, res *discovery.Resource, more int) {
	t := p.trails[scope]
	if t == nil {
		t = &trail{}
		p.trails[scope] = t
	}
	p.seq++
	t.live += more
	t.told = append(t.told, told{p.seq, name, res})
	if len(t.told) > 2*(t.live+maxGone) {
		t.tidy()
	}
}

// tidy keeps the newest word on each thing, and of those that are gone the last ones.
func (t *trail) tidy() {
	newest := make(map[string]uint64, t.live+maxGone)
	for _, w := range t.told {
		newest[w.name] = w.seq
	}
	t.told = slices.DeleteFunc(t.told, func(w told) bool { return newest[w.name] != w.seq })
	gone := len(t.told) - t.live - maxGone
	t.told = slices.DeleteFunc(t.told, func(w told) bool {
		if w.res != nil || gone <= 0 {
			return false
		}
		gone--
		return true
	})
}

// heard is how far a stream has come with one type: the newest word of each scope that it was sent.
type heard struct {
	greeted bool // something was sent, be it nothing
	seq     map[string]uint64

	// Up to here there was nothing for these scopes: nobody has to look again.
	looked uint64
	scopes []string
}

// after is what the readers of scopes have not heard, up to a page, each thing once. Those who have nothing
// need not hear of what is gone. It moves h on.
func (p *presence) after(h *heard, scopes []string) (upserts []*discovery.Resource, removed []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(h.seq, func(scope string, _ uint64) bool { return !slices.Contains(scopes, scope) })
	room := pageBytes
	for _, scope := range scopes {
		t := p.trails[scope]
		if t == nil || room <= 0 {
			continue
		}
		part := t.since(h.seq[scope])
		n := 0
		for ; n < len(part) && room > 0; n++ {
			room -= 3*len(part[n].name) + entryOverhead
		}
		if part = part[:n]; n == 0 {
			continue
		}
		last := make(map[string]uint64, n)
		for _, w := range part {
			last[w.name] = w.seq
		}
		fresh := h.seq[scope] == 0
		for _, w := range part {
			switch {
			case last[w.name] != w.seq:
			case w.res != nil:
				upserts = append(upserts, w.res)
			case !fresh:
				removed = append(removed, w.name)
			}
		}
		h.seq[scope] = part[n-1].seq
	}
	return upserts, removed
}

func (t *trail) since(seq uint64) []told {
	i, _ := slices.BinarySearchFunc(t.told, seq+1, func(w told, s uint64) int { return cmp.Compare(w.seq, s) })
	return t.told[i:]
}

// changed reports whether something was said since h last looked, to whomever, or to others than then.
func (p *presence) changed(h *heard, scopes []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known && (!h.greeted || h.looked != p.seq || !slices.Equal(h.scopes, scopes))
}

// waiting reports whether there is something for the readers of scopes that they have not heard.
func (p *presence) waiting(h *heard, scopes []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !h.greeted || slices.ContainsFunc(scopes, func(scope string) bool {
		t := p.trails[scope]
		return t != nil && len(t.told) > 0 && t.told[len(t.told)-1].seq > h.seq[scope]
	}) {
		return true
	}
	h.looked, h.scopes = p.seq, scopes
	return false
}

// pushPresence offers of each ephemeral type what is new since the last time. The first response is sent
// even when it says nothing. It needs the stream's lock.
func (st *stream) pushPresence() {
	for t, p := range st.srv.presence {
		w := st.watches[t]
		h := st.heard[t]
		if h == nil {
			h = &heard{seq: map[string]uint64{}}
			st.heard[t] = h
		}
		if !w.ready() || !p.changed(h, st.scopes) {
			continue
		}
		// By the model of now, not that of the last checkpoint: another pool's targets are not for it.
		scopes, err := st.srv.may(st.reader)
		if err != nil || !p.waiting(h, scopes) {
			continue
		}
		h.greeted = true
		st.offer(w, func() ([]*discovery.Resource, []string) { return p.after(h, scopes) })
	}
}

// SetNodeHealth says how all nodes are. It may be called again at any time; only what differs is sent.
// Nodes of which nothing is known yet should be in states as NODE_STATE_UNSPECIFIED: readers keep what
// they heard before. Until the first call readers are told nothing at all.
func (s *Server) SetNodeHealth(states map[string]nodev1.NodeState) {
	p := s.presence[resource.NodeHealth]
	var list []news
	for _, node := range slices.Sorted(maps.Keys(states)) {
		list = append(list, news{resource.Name("nodehealth", node), resource.ScopeCluster, &nodev1.NodeHealth{NodeId: node, State: states[node]}})
	}
	for _, name := range p.others(list) {
		list = append(list, news{name: name})
	}
	s.spread(p, list)
}

// others are the things that are there and not in a list.
func (p *presence) others(list []news) []string {
	in := make(map[string]bool, len(list))
	for _, n := range list {
		in[n.name] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.words)), func(name string) bool { return in[name] })
}

// TargetHealth says how a target is, for the nodes of the pool that sends to it.
type TargetHealth struct {
	ID      model.TargetID
	Pool    model.PoolID
	Healthy bool
	Gone    bool // there is no such target, or nothing checks it: the rest means nothing
}

// SetTargetHealth says how some targets are now. What is not mentioned stays as it was; the cost does not
// depend on it.
func (s *Server) SetTargetHealth(targets []TargetHealth) {
	list := make([]news, 0, len(targets))
	for _, t := range targets {
		n := news{name: resource.Name("targethealth", t.ID.String())}
		if !t.Gone {
			state := nodev1.TargetState_TARGET_STATE_UNHEALTHY
			if t.Healthy {
				state = nodev1.TargetState_TARGET_STATE_HEALTHY
			}
			n.scope, n.msg = snapshot.PoolScope(t.Pool), &nodev1.TargetHealth{TargetId: t.ID.String(), State: state}
		}
		list = append(list, n)
	}
	s.spread(s.presence[resource.TargetHealth], list)
}

// spread tells news and wakes those who have to hear of them.
func (s *Server) spread(p *presence, list []news) {
	scopes := p.tell(list)
	var streams []*stream
	if p.begin() {
		streams = s.open()
	} else {
		streams = s.index.readersOf(scopes)
	}
	streams = slices.DeleteFunc(streams, func(st *stream) bool { return !reads(st.reader.Kind, p.typeURL) })
	if len(streams) > 0 {
		s.poke(streams...)
	}
}
