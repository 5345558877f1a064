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
	late map[lack]lateness // guarded by mu; nodes that lack something
}

// lack is what a node comes late with.
type lack struct {
	node model.NodeID
	what string
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
		Verdict: s.Seen.Verdicts(m),
		Behind:  func(id model.NodeID) bool { return s.behind(m, now, id) },
		Older:   func(id model.NodeID) *Serials { return s.older(m.Revision(), now, id) },
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
	return s.still(lack{id, "revision"}, ok && err == nil && e.Applied < need, e.Applied, now)
}

// older finds out whether the DNS of a node has stood still for a while at a serial that is older than the revision that it
// needs: what it says of itself does not tell what resolvers, and authorities, are answered at its address.
func (s *Source) older(rev model.Revision, now time.Time, id model.NodeID) *Serials {
	if s.Required == nil || s.Outside == nil {
		return nil
	}
	seen := s.Outside(id).DNS
	need, err := s.Required(id.String(), rev)
	if seen.Serial == nil || !seen.fine(now) || err != nil {
		s.still(lack{id, "serial"}, false, 0, now)
		return nil
	}
	is := Serials{*seen.Serial, uint32(need)}
	if !s.still(lack{id, "serial"}, int32(is.Is-is.Want) < 0, model.Revision(is.Is), now) { // RFC 1982 §3.2
		return nil
	}
	return &is
}

// still reports whether somebody who lacks something has been where he is for a while.
func (s *Source) still(l lack, lacks bool, at model.Revision, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !lacks {
		delete(s.late, l)
		return false
	}
	if s.late == nil {
		s.late = map[lack]lateness{}
	}
	was, known := s.late[l]
	if !known || was.at != at {
		was = lateness{at, now}
		s.late[l] = was
	}
	return now.Sub(was.since) >= lag
}
