package push

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// index is the newest revision of all resources, found by scope. A change costs what it changes plus the
// streams whose scopes it touches, however much else there is.
//
// Its lock is taken below a stream's lock and is never held while anything else is waited for.
type index struct {
	epoch uint32
	bound bounds

	mu        sync.RWMutex
	loaded    bool
	model     *model.Model
	rev       model.Revision
	committed time.Time
	entries   map[snapshot.Ref]*snapshot.Resource
	scopes    map[string]*scope
	problems  map[snapshot.Ref]error
	floor     model.Revision // a scope that is not in scopes is known to be empty since then
	queue     []*scope       // of each log entry, oldest first: the order of eviction
	head      int            // of queue
	bytes     int            // in the logs
	former    former         // contents that were replaced
	changed   chan struct{}  // closed and renewed at each publish
}

// bounds limit how far back the logs reach.
type bounds struct{ entries, bytes int }

func newIndex(epoch uint32, b bounds) *index {
	return &index{
		epoch: epoch, bound: b, entries: map[snapshot.Ref]*snapshot.Resource{}, scopes: map[string]*scope{},
		problems: map[snapshot.Ref]error{}, changed: make(chan struct{}),
		former: former{bound: formerBytes, of: map[snapshot.Ref][]Former{}},
	}
}

// publish takes a step. It returns the streams whose scopes it touched, and whether one of those scopes
// is the stream's own; false if the step does not lead forward.
func (x *index) publish(ch snapshot.Changes, m *model.Model) (touched map[*stream]bool, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loaded && (ch.Revision < x.rev || ch.Revision == x.rev && len(ch.Upserts)+len(ch.Removed) > 0) {
		return nil, false // readers that are at this revision would never hear of it
	}
	first := !x.loaded
	if first {
		x.floor = ch.Revision
	}
	step := step{x: x, rev: ch.Revision, log: !first, touched: map[*scope]bool{}}
	if ch.Full {
		clear(x.problems)
		kept := make(map[snapshot.Ref]bool, len(ch.Upserts))
		for _, r := range ch.Upserts {
			kept[r.Ref()] = true
		}
		gone := slices.SortedFunc(maps.Keys(x.entries), snapshot.Ref.Compare)
		for _, ref := range slices.DeleteFunc(gone, func(r snapshot.Ref) bool { return kept[r] }) {
			step.put(ref, nil)
		}
	}
	for _, ref := range ch.Removed {
		step.put(ref, nil)
	}
	for _, r := range ch.Upserts {
		step.put(r.Ref(), r)
	}
	for _, ref := range ch.Solved {
		delete(x.problems, ref)
	}
	for _, p := range ch.Problems {
		x.problems[p.Ref] = p.Err
	}
	x.evict()
	x.loaded, x.model, x.rev, x.committed = true, m, ch.Revision, ch.CommittedAt
	close(x.changed)
	x.changed = make(chan struct{})

	touched = map[*stream]bool{}
	for s := range step.touched {
		own := strings.HasPrefix(s.name, "node/")
		for st := range s.streams {
			touched[st] = touched[st] || own
		}
		x.drop(s)
	}
	return touched, true
}

// scope returns a scope, new if need be. It needs the lock.
func (x *index) scope(name string) *scope {
	s := x.scopes[name]
	if s == nil {
		s = &scope{name: name, touched: x.floor, evicted: x.floor, sets: map[string]*set{}, streams: map[*stream]struct{}{}}
		x.scopes[name] = s
	}
	return s
}

// drop forgets a scope that nothing is in and nobody reads. It needs the lock.
func (x *index) drop(s *scope) {
	if len(s.streams) > 0 || len(s.log) > 0 {
		return
	}
	for _, t := range s.sets {
		if t.tree.Len() > 0 {
			return
		}
	}
	x.floor = max(x.floor, s.evicted, s.touched)
	delete(x.scopes, s.name)
}

// evict keeps the logs within their bounds. It needs the lock.
func (x *index) evict() {
	for len(x.queue)-x.head > x.bound.entries || x.bytes > x.bound.bytes && x.head < len(x.queue) {
		s := x.queue[x.head]
		x.queue[x.head] = nil
		x.head++
		e := s.log[0]
		s.log[0] = entry{}
		s.log = s.log[1:] // append moves it to a new array once this one is full
		s.evicted = e.rev
		x.bytes -= e.size()
		if len(s.log) == 0 {
			s.log = nil
			x.drop(s)
		}
	}
	if x.head > len(x.queue)/2 {
		x.queue = append([]*scope(nil), x.queue[x.head:]...)
		x.head = 0
	}
}

// register makes a stream a reader of scopes instead of those it read before.
func (x *index) register(st *stream, before, after []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range before {
		if s := x.scopes[name]; s != nil && !slices.Contains(after, name) {
			delete(s.streams, st)
			x.drop(s)
		}
	}
	for _, name := range after {
		x.scope(name).streams[st] = struct{}{}
	}
}

// readersOf are the streams that read one of the scopes.
func (x *index) readersOf(scopes map[string]bool) []*stream {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var streams []*stream
	for name := range scopes {
		if s := x.scopes[name]; s != nil {
			streams = slices.AppendSeq(streams, maps.Keys(s.streams))
		}
	}
	return streams
}

// tail are the refs that changed in some scopes after a revision, by type; false if the logs do not reach
// that far back. It needs the lock.
func (x *index) tail(scopes []string, after model.Revision) (map[string]map[string]bool, bool) {
	for _, name := range scopes {
		if x.evictedOf(name) > after {
			return nil, false
		}
	}
	refs := map[string]map[string]bool{}
	for _, name := range scopes {
		for _, e := range x.since(name, after) {
			names := refs[e.ref.TypeURL]
			if names == nil {
				names = map[string]bool{}
				refs[e.ref.TypeURL] = names
			}
			names[e.ref.Name] = true
		}
	}
	return refs, true
}

// since is the part of a scope's log after a revision. It needs the lock.
func (x *index) since(name string, after model.Revision) []entry {
	s := x.scopes[name]
	if s == nil {
		return nil
	}
	i, _ := slices.BinarySearchFunc(s.log, after+1, func(e entry, rev model.Revision) int { return cmp.Compare(e.rev, rev) })
	return s.log[i:]
}

func (x *index) evictedOf(name string) model.Revision {
	if s := x.scopes[name]; s != nil {
		return s.evicted
	}
	return x.floor
}

// touchedOf is the newest revision that changed something in one of the scopes. It needs the lock.
func (x *index) touchedOf(scopes []string) model.Revision {
	var newest model.Revision
	for _, name := range scopes {
		if s := x.scopes[name]; s != nil {
			newest = max(newest, s.touched)
		}
	}
	return newest
}

// sum is the count and digest of a type over scopes. It needs the lock.
func (x *index) sum(scopes []string, typeURL string) (uint64, resource.Digest) {
	var count int
	var digest resource.Digest
	for _, name := range scopes {
		if s := x.scopes[name]; s != nil && s.sets[typeURL] != nil {
			count += s.sets[typeURL].tree.Len()
			digest.Merge(s.sets[typeURL].digest)
		}
	}
	return uint64(count), digest
}

// find is a resource as readers of the scopes see it; nil if they don't. It needs the lock.
func (x *index) find(scopes []string, ref snapshot.Ref) *snapshot.Resource {
	r := x.entries[ref]
	if r != nil && slices.ContainsFunc(r.Scopes, func(s string) bool { return slices.Contains(scopes, s) }) {
		return r
	}
	return nil
}

// trees are the resources of a type in the scopes, to be read without the lock. It needs the lock for
// writing.
func (x *index) trees(scopes []string, typeURL string) []*btree.Map[string, *snapshot.Resource] {
	var trees []*btree.Map[string, *snapshot.Resource]
	for _, name := range scopes {
		if s := x.scopes[name]; s != nil && s.sets[typeURL] != nil && s.sets[typeURL].tree.Len() > 0 {
			trees = append(trees, s.sets[typeURL].tree.Copy())
		}
	}
	return trees
}

func (x *index) size() (entries, bytes int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.queue) - x.head, x.bytes
}

// scopeHash is 8 bytes over the sorted scopes.
func scopeHash(scopes []string) []byte {
	h := sha256.New()
	for _, s := range slices.Sorted(slices.Values(scopes)) {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return h.Sum(nil)[:8]
}
