package hops

import (
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// Source is where a replica finds the facts. Safe for concurrent use.
type Source struct {
	World *model.Current
	Seen  *presence.Store
	// Required is the revision that a node needs of what is published.
	Required func(node string, rev model.Revision) (model.Revision, error)
	Outside  func(model.NodeID) Sight // nil: nobody looks from there

	mu   sync.Mutex
	late map[model.NodeID]lateness // guarded by mu; nodes that lack something
}

// lateness is since when a node stands still at a revision while it lacks something.
type lateness struct {
	at    model.Revision
	since time.Time
}

// Facts is what the replica knows now, but for what is in the database alone.
func (s *Source) Facts(now time.Time) *Facts {
	m := s.World.Get()
	return &Facts{
		Model: m, Now: now, Entry: s.Seen.Get,
		Online:  func(k presence.Key) presence.Health { return s.Seen.Online(now, k) },
		Verdict: func(t *model.Target) presence.Verdict { return s.Seen.Verdict(m, t) },
		Behind:  func(id model.NodeID) bool { return s.behind(m, now, id) },
		Outside: s.Outside,
	}
}

// behind reports whether a node has stood still for a while although there is something that concerns it. One that
// comes along, be it late, does not.
func (s *Source) behind(m *model.Model, now time.Time, id model.NodeID) bool {
	if s.Required == nil {
		return false
	}
	e, ok := s.Seen.Get(presence.Key{Kind: identity.Node, ID: id.String()})
	need, err := s.Required(id.String(), m.Revision())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || err != nil || e.Applied >= need {
		delete(s.late, id)
		return false
	}
	if s.late == nil {
		s.late = map[model.NodeID]lateness{}
	}
	was, known := s.late[id]
	if !known || was.at != e.Applied {
		was = lateness{e.Applied, now}
		s.late[id] = was
	}
	return now.Sub(was.since) >= lag
}
