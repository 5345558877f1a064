package push

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// Status says where a resource stands at a reader.
type Status string

// Statuses of a resource.
const (
	StatusSynced   Status = "synced"   // the reader has applied what is desired
	StatusPending  Status = "pending"  // it has not yet
	StatusRejected Status = "rejected" // it could not
	StatusProblem  Status = "problem"  // there is nothing to send: it can't be compiled
	StatusUnknown  Status = "unknown"  // it rejected more than it could name: this may be one of them
	StatusOffline  Status = "offline"  // the reader has no stream, as far as is known here
)

// State is one of the four states of a resource. The zero State is absence.
type State struct {
	Version  string
	Revision model.Revision // desired: that made it; else: of the checkpoint with which it went out
}

// ResourceView is a resource as one reader holds or should hold it.
type ResourceView struct {
	TypeURL, Name                        string
	Desired, Sent, Acknowledged, Applied State
	Status                               Status
	Reason                               string     // of a rejection or problem
	Content                              *anypb.Any // desired, shared: not to be modified, holds secrets
	Scope                                string     // by which the reader has what is desired
}

// View is what is known about one reader and its resources.
type View struct {
	Reader
	Scopes    []string
	Revision  model.Revision // newest of this replica
	Connected bool           // to this replica
	Since     time.Time      // of the stream
	Resume    Kind           // how the stream started; "" before its first transaction
	Applied   model.Revision // newest checkpoint that the reader acknowledged to this replica
	InFlight  model.Revision // revision of the transaction under way; 0 if none
	Omitted   int            // rejections that are not among the resources
	Resources []ResourceView // ordered by type, then name
	Presence  []PresenceView // ordered by type, then name
}

// PresenceView is what is true now and a reader should hear of.
type PresenceView struct {
	TypeURL, Name string
	Content       *anypb.Any // shared: not to be modified
	Sent          bool       // the newest word on it, on the reader's stream to this replica
}

// Elsewhere is what another replica knows of a reader that has its stream there.
type Elsewhere struct {
	Applied  model.Revision // newest checkpoint that the reader has applied
	Rejected []Rejected     // as Server.Rejected says it
	Omitted  int
}

// Rejected is a resource at the version that a reader did not apply.
type Rejected struct{ TypeURL, Name, Version, Reason string }

func (r Rejected) ref() snapshot.Ref { return snapshot.Ref{TypeURL: r.TypeURL, Name: r.Name} }

// Rejected lists what a reader did not apply on its stream to this replica, ordered by type URL and name, most at
// most, and says how many there are beside these.
func (s *Server) Rejected(r Reader, most int) (list []Rejected, omitted int) {
	rejected, cut := s.readers.rejections(r)
	for ref, rej := range rejected {
		list = append(list, Rejected{ref.TypeURL, ref.Name, rej.Version, rej.Reason})
	}
	slices.SortFunc(list, func(a, b Rejected) int { return byURL(a.ref(), b.ref()) })
	n := min(len(list), most)
	return list[:n], len(list) - n + cut.omitted
}

// Debug describes a reader that the model knows, whether it has a stream here or not: of one that has it
// elsewhere the logs tell what it held at the revision that it applied. far is nil when nobody knows.
// Versions that a reader held before the logs begin are not known and stay empty.
func (s *Server) Debug(r Reader, far *Elsewhere) (*View, error) {
	st := s.readers.stream(r)
	if st != nil {
		st.mu.Lock()
		defer st.mu.Unlock()
	}
	rejected, end := s.readers.rejections(r)
	if st != nil {
		far = nil
	} else if far != nil {
		clear(rejected)
		end = cut{omitted: far.Omitted}
		for _, rej := range far.Rejected {
			rejected[rej.ref()] = Rejection{Version: rej.Version, Reason: rej.Reason}
			end.after(rej.ref())
		}
	}
	applied, since := s.Applied(r)
	x := s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.loaded {
		return nil, errLoading
	}
	scopes, err := s.scopes(x.model, r)
	if err != nil {
		return nil, err
	}
	v := &View{Reader: r, Scopes: scopes, Revision: x.rev, Connected: !since.IsZero(), Applied: applied, Omitted: end.omitted}
	p := &past{x: x, scopes: scopes, far: far, cut: end}
	if st != nil {
		p.st = st
		v.Since, v.Resume = st.since, st.resumed
		if st.tx != nil {
			v.InFlight = model.Revision(st.tx.checkpoint.GetRevision())
		}
	}
	v.Presence = s.presenceOf(r, scopes, st)
	p.look()
	for _, ref := range p.refs() {
		v.Resources = append(v.Resources, p.resource(ref, rejected[ref]))
	}
	for ref, err := range x.problems {
		if reads(r.Kind, ref.TypeURL) && x.find(scopes, ref) == nil {
			v.Resources = append(v.Resources, ResourceView{TypeURL: ref.TypeURL, Name: ref.Name, Status: StatusProblem, Reason: err.Error()})
		}
	}
	slices.SortFunc(v.Resources, func(a, b ResourceView) int {
		return snapshot.Ref{TypeURL: a.TypeURL, Name: a.Name}.Compare(snapshot.Ref{TypeURL: b.TypeURL, Name: b.Name})
	})
	return v, nil
}

// presenceOf is what a reader of scopes should have heard. It needs the lock of the stream, if there is one.
func (s *Server) presenceOf(r Reader, scopes []string, st *stream) []PresenceView {
	var out []PresenceView
	for t, p := range s.presence {
		if !reads(r.Kind, t) {
			continue
		}
		var h *heard
		if st != nil {
			h = st.heard[t]
		}
		p.mu.Lock()
		for _, scope := range scopes {
			if p.trails[scope] == nil {
				continue
			}
			for _, w := range p.trails[scope].told {
				if w.res != nil && p.words[w.name].res == w.res {
					out = append(out, PresenceView{t, w.name, w.res.GetResource(), h != nil && h.seq[scope] >= w.seq})
				}
			}
		}
		p.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b PresenceView) int {
		return snapshot.Ref{TypeURL: a.TypeURL, Name: a.Name}.Compare(snapshot.Ref{TypeURL: b.TypeURL, Name: b.Name})
	})
	return out
}

func reads(kind identity.Kind, typeURL string) bool {
	if kind == identity.Connector {
		return slices.Contains(resource.ConnectorTypes(), typeURL)
	}
	return slices.Contains(resource.NodeTypes(), typeURL)
}

// Problems are the resources that can't be compiled at the newest revision, ordered.
func (s *Server) Problems() []snapshot.Problem {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	var list []snapshot.Problem
	for ref, err := range s.index.problems {
		list = append(list, snapshot.Problem{Ref: ref, Err: err})
	}
	slices.SortFunc(list, func(a, b snapshot.Problem) int { return a.Ref.Compare(b.Ref) })
	return list
}

func (r *readers) rejections(reader Reader) (map[snapshot.Ref]Rejection, cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[snapshot.Ref]Rejection{}
	s := r.known[reader]
	if s == nil {
		return out, cut{}
	}
	for ref, rej := range s.rejected {
		out[ref] = rej.Rejection
	}
	return out, s.cut
}
