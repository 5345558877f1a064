package presence

import (
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// Target is what one connector, or node of a local or WireGuard site, says of one target.
type Target struct {
	ID     string      `json:"id"`
	Health TargetState `json:"health,omitempty"`
	Reason string      `json:"reason,omitempty"` // of the last failure
}

// TargetState is whether a target can serve.
type TargetState int

// States of a target. TargetUnknown is never told: whoever has heard something else before keeps to it.
const (
	TargetUnknown TargetState = iota
	TargetHealthy
	TargetUnhealthy
)

func (h TargetState) String() string {
	switch h {
	case TargetHealthy:
		return "healthy"
	case TargetUnhealthy:
		return "unhealthy"
	}
	return "unknown"
}

// Verdict is what those who check in a site together say of a target.
type Verdict struct {
	State  TargetState
	Reason string // of those that find it unhealthy, one's
}

// TargetNews says how a target is now.
type TargetNews struct {
	ID    model.TargetID
	Pool  model.PoolID // whose nodes send to it
	State TargetState
	Gone  bool // it is no more, or is not checked any more: the rest means nothing
}

// Follow takes note of a step of the configuration: whose health has to be looked at again.
func (s *Store) Follow(b model.Batch, next *model.Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range b.Targets {
		s.doubtful[id.String()] = true
	}
	for id := range b.Sites { // others check there, perhaps
		for t := range next.TargetsAt(id) {
			s.doubtful[t.ID.String()] = true
		}
	}
	for id := range b.Services { // to another pool, perhaps
		for t := range next.TargetsOf(id) {
			s.doubtful[t.ID.String()] = true
		}
	}
	if b.Reload { // what is gone is not in it
		for id := range s.verdicts {
			s.doubtful[id.String()] = true
		}
	}
	if len(s.doubtful) > 0 {
		s.wake()
	}
}

// Targets decides anew what may have changed since the last call, and returns what is known of it. It costs
// what has changed, however many targets there are. A target is healthy as soon as one that checks in its
// site finds it so, and unhealthy when all that report it do: who is away takes its word back, but nobody's silence says anything, so a target of which nothing is reported keeps its last state.
func (s *Store) Targets(m *model.Model) []TargetNews {
	s.mu.Lock()
	defer s.mu.Unlock()
	var news []TargetNews
	for text := range s.doubtful {
		id, err := model.TargetID{}.Parse(text)
		if err != nil {
			continue // a reader may say anything
		}
		was, decided := s.verdicts[id]
		t := m.Target(id)
		var service *model.Service
		if t != nil && t.HealthCheck != nil {
			service = m.Service(t.Service)
		}
		if service == nil {
			if decided {
				delete(s.verdicts, id)
				news = append(news, TargetNews{ID: id, Gone: true})
			}
			continue
		}
		is := s.judge(m, t)
		if is.State == TargetUnknown {
			continue
		}
		if is.State != was.State {
			s.log.Info("target health changed", "target", text, "from", was.State.String(), "to", is.State.String(), "err", is.Reason)
		}
		s.verdicts[id] = is
		news = append(news, TargetNews{ID: id, Pool: service.Pool, State: is.State})
	}
	clear(s.doubtful)
	slices.SortFunc(news, func(a, b TargetNews) int { return a.ID.Compare(b.ID) })
	return news
}

// Verdict is what is known of a target now.
func (s *Store) Verdict(m *model.Model, t *model.Target) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.judge(m, t)
}

// Verdicts is Verdict of many targets of one moment: who has a say in a site, and what they said, is looked up once. What it
// returns is not safe for concurrent use.
func (s *Store) Verdicts(m *model.Model) func(*model.Target) Verdict {
	voices := map[model.SiteID][]Entry{}
	return func(t *model.Target) Verdict {
		list, ok := voices[t.Site]
		if !ok {
			s.mu.Lock()
			list = s.voices(m, t.Site)
			s.mu.Unlock()
			voices[t.Site] = list
		}
		is := judge(list, t)
		if is.State == TargetUnknown && t.HealthCheck != nil {
			s.mu.Lock()
			is = s.verdicts[t.ID]
			s.mu.Unlock()
		}
		return is
	}
}

// voices are the newest entries of who has a say on the targets of a site. It needs the lock.
func (s *Store) voices(m *model.Model, site model.SiteID) (out []Entry) {
	for _, k := range checkers(m, site) {
		if e, ok := newest(s.entries[k]); ok {
			out = append(out, e)
		}
	}
	return out
}

// checkers are who has a say on the targets of a site: its connectors, the nodes that stand in a local one, or those
// that hold the peer which a WireGuard site is.
func checkers(m *model.Model, id model.SiteID) []Key {
	var out []Key
	if s := m.Site(id); s != nil && s.Kind != model.ConnectorSite {
		for _, n := range m.Assigned(s) {
			out = append(out, Key{identity.Node, n.ID.String()})
		}
		return out
	}
	for c := range m.ConnectorsOf(id) {
		if c.Enrolled() {
			out = append(out, Key{identity.Connector, c.ID.String()})
		}
	}
	return out
}

// judge needs the lock.
func (s *Store) judge(m *model.Model, t *model.Target) Verdict {
	if t.HealthCheck == nil {
		return Verdict{}
	}
	is := judge(s.voices(m, t.Site), t)
	if is.State == TargetUnknown {
		return s.verdicts[t.ID]
	}
	return is
}

// judge is what they say together.
func judge(voices []Entry, t *model.Target) (is Verdict) {
	if t.HealthCheck == nil {
		return is
	}
	id := t.ID.String()
	for i := range voices {
		said, ok := voices[i].target(id)
		if !ok || said.Health == TargetUnknown {
			continue
		}
		if said.Health == TargetUnhealthy {
			is.Reason = said.Reason
		}
		if is.State != TargetHealthy {
			is.State = said.Health
		}
	}
	return is
}

func (e *Entry) target(id string) (Target, bool) {
	i, ok := slices.BinarySearchFunc(e.Targets, id, func(t Target, id string) int { return strings.Compare(t.ID, id) })
	if !ok {
		return Target{}, false
	}
	return e.Targets[i], true
}

// doubt marks the targets of which two entries of one reader say different things, and reports whether
// there are any. It needs the lock.
func (s *Store) doubt(a, b []Target) bool {
	any := false
	mark := func(id string) { s.doubtful[id], any = true, true }
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].ID, b[0].ID); {
		case c < 0:
			mark(a[0].ID)
			a = a[1:]
		case c > 0:
			mark(b[0].ID)
			b = b[1:]
		default:
			if a[0].Health != b[0].Health {
				mark(a[0].ID)
			}
			a, b = a[1:], b[1:]
		}
	}
	for _, t := range slices.Concat(a, b) {
		mark(t.ID)
	}
	return any
}

// sortTargets brings a report into the order that entries have; of two words on one target the last counts.
func sortTargets(list []Target) []Target {
	slices.SortStableFunc(list, func(a, b Target) int { return strings.Compare(a.ID, b.ID) })
	out := list[:0]
	for _, t := range list {
		if n := len(out); n > 0 && out[n-1].ID == t.ID {
			out[n-1] = t
			continue
		}
		out = append(out, t)
	}
	return out
}
