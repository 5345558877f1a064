package push

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// scope is what the readers of one scope share.
type scope struct {
	name    string
	touched model.Revision // newest that changed something here
	evicted model.Revision // the log has everything after it
	sets    map[string]*set
	log     []entry
	streams map[*stream]struct{}
}

// set is the resources of one type in one scope. The tree is copied on write: a full view takes a copy,
// which costs nothing, and reads it page by page while the index goes on.
type set struct {
	tree   *btree.Map[string, *snapshot.Resource]
	digest resource.Digest
}

// entry says that a resource changed. Its content is looked up when it is sent, so that several changes
// are sent once.
type entry struct {
	rev    model.Revision
	ref    snapshot.Ref
	before string // version that readers of the scope held; "" if none
}

const entryOverhead = 64

func (e entry) size() int { return entryOverhead + len(e.ref.Name) + len(e.before) }

// step is one publish while it is made.
type step struct {
	x       *index
	rev     model.Revision
	log     bool
	touched map[*scope]bool
}

// put replaces a resource; nil removes it.
func (s step) put(ref snapshot.Ref, r *snapshot.Resource) {
	old := s.x.entries[ref]
	if old != nil && (r == nil || r.Version != old.Version) {
		s.x.former.keep(old, s.rev)
	}
	if r == nil {
		delete(s.x.entries, ref)
	} else {
		s.x.entries[ref] = r
	}
	if old != nil {
		for _, name := range old.Scopes {
			if r == nil || !slices.Contains(r.Scopes, name) {
				s.change(name, ref, old, nil)
			}
		}
	}
	if r != nil {
		for _, name := range r.Scopes {
			if old != nil && slices.Contains(old.Scopes, name) {
				s.change(name, ref, old, r)
			} else {
				s.change(name, ref, nil, r)
			}
		}
	}
}

// change replaces a resource within one scope.
func (s step) change(name string, ref snapshot.Ref, old, r *snapshot.Resource) {
	sc := s.x.scope(name)
	set := sc.set(ref.TypeURL)
	before := ""
	if old != nil {
		before = old.Version
	}
	if r != nil {
		set.tree.Set(ref.Name, r)
		if r.Version == before {
			return // readers hold it already
		}
		set.digest.Add(ref.Name, r.Version)
	} else {
		set.tree.Delete(ref.Name)
	}
	if old != nil {
		set.digest.Remove(ref.Name, before)
	}
	sc.touched = s.rev
	s.touched[sc] = true
	if s.log {
		e := entry{s.rev, ref, before}
		sc.log = append(sc.log, e)
		s.x.queue = append(s.x.queue, sc)
		s.x.bytes += e.size()
	}
}

func (s *scope) set(typeURL string) *set {
	t := s.sets[typeURL]
	if t == nil {
		t = &set{tree: btree.NewMap[string, *snapshot.Resource](0)}
		s.sets[typeURL] = t
	}
	return t
}
