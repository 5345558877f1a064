package push

import (
	"encoding/json"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
)

// formerBytes bounds what is kept of contents that were replaced.
const formerBytes = 16 << 20

// Former is a content that a resource had, until a revision.
type Former struct {
	Version string
	Until   model.Revision // that replaced it

	body  *anypb.Any      // of types without secrets
	shown json.RawMessage // of those with: keys that are replaced are gone from here as well
}

// Shown is the content for people.
func (f Former) Shown() (json.RawMessage, error) {
	if f.body == nil {
		return f.shown, nil
	}
	return snapshot.Shown(f.body)
}

func (f Former) size() int {
	return entryOverhead + len(f.Version) + len(f.body.GetValue()) + len(f.shown)
}

// former is what resources were before they changed, for who asks what a change was. It is no more than its bound: the
// oldest goes first. The index's lock guards it.
type former struct {
	bound, bytes int
	of           map[snapshot.Ref][]Former // oldest first
	queue        []snapshot.Ref            // of each, oldest first
}

// keep remembers what a resource was until a revision.
func (f *former) keep(r *snapshot.Resource, until model.Revision) {
	v := Former{Version: r.Version, Until: until, body: r.Any}
	if snapshot.Secret(r.TypeURL) {
		var err error
		if v.shown, err = snapshot.Shown(r.Any); err != nil {
			return // nobody could read it later either
		}
		v.body = nil
	}
	ref := r.Ref()
	f.of[ref] = append(f.of[ref], v)
	f.queue = append(f.queue, ref)
	for f.bytes += v.size(); f.bytes > f.bound && len(f.queue) > 0; {
		f.forget(f.queue[0])
		f.queue = f.queue[1:]
	}
}

// forget drops the oldest content of a resource.
func (f *former) forget(ref snapshot.Ref) {
	list := f.of[ref]
	f.bytes -= list[0].size()
	list[0] = Former{}
	if f.of[ref] = list[1:]; len(list) == 1 {
		delete(f.of, ref)
	}
}

// Former lists what a resource was before, as far as it is known, the oldest first.
func (s *Server) Former(typeURL, name string) []Former {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	return append([]Former(nil), s.index.former.of[snapshot.Ref{TypeURL: typeURL, Name: name}]...)
}
