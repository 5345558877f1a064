package hops

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
)

// A node whose DNS stands still behind what it needs is told apart from one that comes along, that needs nothing newer, or of
// which nobody saw a serial. Serials begin again after 2^32.
func TestOlderSerials(t *testing.T) {
	need, serial := model.Revision(10), new(uint32)
	seen := Answer{Serial: serial}
	s := &Source{
		Required: func(string, model.Revision) (model.Revision, error) { return need, nil },
		Outside:  func(model.NodeID) Sight { return Sight{DNS: seen} },
	}
	now := modeltest.Epoch
	for _, step := range []struct {
		name   string
		after  time.Duration
		serial uint32
		need   model.Revision
		older  bool
	}{
		{"it has what it needs", 0, 10, 10, false},
		{"it has more", time.Second, 12, 10, false},
		{"there is something new", time.Second, 12, 20, false},
		{"not yet", lag - time.Second, 12, 20, false},
		{"it stands still", time.Second, 12, 20, true},
		{"and still", time.Hour, 12, 30, true},
		{"it comes along", time.Second, 25, 30, false},
		{"but not all the way", lag, 25, 30, true},
		{"it has arrived", time.Second, 30, 30, false},
		{"before the end of serials", time.Second, 1<<32 - 6, 1<<32 + 5, false},
		{"and still before it", lag, 1<<32 - 6, 1<<32 + 5, true},
		{"beyond it", time.Second, 6, 1<<32 + 5, false},
		{"lacking again", time.Second, 6, 1<<32 + 7, false},
	} {
		now = now.Add(step.after)
		*serial, need, seen.At = step.serial, step.need, now
		got := s.older(need, now, nodeID("n1"))
		if (got != nil) != step.older || got != nil && (got.Is != step.serial || got.Want != uint32(step.need)) {
			t.Errorf("%s: %v", step.name, got)
		}
	}
	now = now.Add(lag)
	if s.older(need, now, nodeID("n1")); !seen.fine(now) || s.older(need, now, nodeID("n1")) == nil {
		t.Error("it lacks something and nobody says so")
	}
	if now = now.Add(staleProbe); s.older(need, now, nodeID("n1")) != nil {
		t.Error("an answer of long ago still counts")
	}
	seen = Answer{At: now}
	if now = now.Add(lag); s.older(need, now, nodeID("n1")) != nil {
		t.Error("nobody saw a serial")
	}
}
