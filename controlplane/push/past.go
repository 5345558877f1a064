package push

import (
	"fmt"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
)

// past finds out what a reader held at earlier revisions, from the logs: nothing is kept per stream and
// resource. Its methods need the stream's and the index's lock.
type past struct {
	x        *index
	scopes   []string
	st       *stream                 // nil: not connected here
	far      *Elsewhere              // nil: not connected elsewhere
	cut      cut                     // of its rejections
	base     model.Revision          // of the checkpoint that the reader applied last
	has      bool                    // there is such a checkpoint
	covered  bool                    // the logs reach back to it
	atBase   map[snapshot.Ref]string // versions at base of what changed since
	atFlight map[snapshot.Ref]string // versions at the transaction under way of what changed since
}

func (p *past) look() {
	if p.far != nil && p.far.Applied > 0 {
		p.base, p.has = p.far.Applied, true
		p.atBase, p.covered = p.since(p.base)
	}
	if p.st == nil {
		return
	}
	if have := p.st.have; have != nil {
		p.base, p.has = model.Revision(have.GetRevision()), true
		p.atBase, p.covered = p.since(p.base)
	}
	if tx := p.st.tx; tx != nil {
		p.atFlight, _ = p.since(model.Revision(tx.checkpoint.GetRevision()))
	}
}

// since are the versions at a revision of everything that changed after it.
func (p *past) since(rev model.Revision) (map[snapshot.Ref]string, bool) {
	covered := true
	first := map[snapshot.Ref]entry{}
	for _, name := range p.scopes {
		covered = covered && p.x.evictedOf(name) <= rev
		for _, e := range p.x.since(name, rev) {
			// Moved between two scopes of the reader: gone from one, new in the other, at once.
			if old, ok := first[e.ref]; !ok || e.rev < old.rev || e.rev == old.rev && old.before == "" {
				first[e.ref] = e
			}
		}
	}
	out := make(map[snapshot.Ref]string, len(first))
	for ref, e := range first {
		out[ref] = e.before
	}
	return out, covered
}

// refs are the resources that the reader should hold, and those that it still holds.
func (p *past) refs() []snapshot.Ref {
	var refs []snapshot.Ref
	for _, name := range p.scopes {
		if s := p.x.scopes[name]; s != nil {
			for _, set := range s.sets {
				set.tree.Scan(func(_ string, r *snapshot.Resource) bool {
					refs = append(refs, r.Ref())
					return true
				})
			}
		}
	}
	for ref, version := range p.atBase {
		if version != "" && p.x.find(p.scopes, ref) == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (p *past) resource(ref snapshot.Ref, rej Rejection) ResourceView {
	v := ResourceView{TypeURL: ref.TypeURL, Name: ref.Name}
	if r := p.x.find(p.scopes, ref); r != nil {
		v.Desired, v.Content = State{r.Version, r.Cause}, r.Any
		for _, scope := range r.Scopes {
			if slices.Contains(p.scopes, scope) {
				v.Scope = scope
			}
		}
	}
	if p.st == nil && p.far == nil {
		v.Status = StatusOffline
		return v
	}
	v.Applied = p.held(ref, v.Desired.Version)
	v.Sent, v.Acknowledged = v.Applied, v.Applied // what is under way elsewhere is not known here
	if p.st != nil && p.st.tx != nil {
		tx := p.st.tx
		if w := tx.work(ref.TypeURL); w != nil {
			at := State{v.Desired.Version, model.Revision(tx.checkpoint.GetRevision())}
			if version, changed := p.atFlight[ref]; changed {
				at.Version = version
			}
			if at.Version == "" {
				at = State{}
			}
			if w.built { // with its last page; a page more or less is not worth keeping names
				v.Sent = at
			}
			if w.acked {
				v.Acknowledged = at
			}
		}
	}
	refused := rej.Version != "" && rej.Version == v.Applied.Version
	hidden := v.Applied.Version != "" && p.cut.hides(ref)
	if refused || hidden {
		v.Applied = State{} // which version it kept, only the reader knows
	}
	switch {
	case hidden:
		v.Status, v.Reason = StatusUnknown, fmt.Sprintf("the reader rejected %d more than are listed, perhaps this", p.cut.omitted)
	case refused && rej.Version == v.Desired.Version:
		v.Status, v.Reason = StatusRejected, rej.Reason
	case !refused && v.Applied.Version == v.Desired.Version:
		v.Status = StatusSynced
	default:
		v.Status = StatusPending
	}
	return v
}

// held is what the reader had at its last checkpoint.
func (p *past) held(ref snapshot.Ref, desired string) State {
	if !p.has {
		return State{}
	}
	version := desired
	switch old, changed := p.atBase[ref]; {
	case !p.covered && !p.same(ref.TypeURL):
		return State{}
	case changed && p.covered:
		version = old
	}
	if version == "" {
		return State{}
	}
	return State{version, p.base}
}

// same reports whether the reader holds of a type what is desired, by its digest.
func (p *past) same(typeURL string) bool {
	if p.st == nil {
		return false
	}
	have := digestOf(p.st.have, typeURL)
	count, digest := p.x.sum(p.scopes, typeURL)
	return have != nil && have.GetCount() == count && slices.Equal(have.GetDigest(), digest.Bytes())
}
