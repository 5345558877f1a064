package presence

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence/presencetest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/identity"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newStore(replica string, bus Bus) *Store {
	return New(replica, bus, quiet(), prometheus.NewRegistry())
}

func nodeEntry(id string, applied model.Revision) Entry {
	return Entry{Key: Key{identity.Node, id}, Since: time.Now(), Seen: time.Now(), Applied: applied}
}

// fakeBus is a Bus of which a test says whether it is live.
type fakeBus struct {
	Memory
	live bool
}

func (b *fakeBus) Live() bool { return b.live }

func TestHealth(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		bus := &fakeBus{live: true}
		s := newStore("r1", bus)
		ctx := t.Context()
		is := func(when string, want Health) {
			t.Helper()
			if got := s.Health(time.Now(), []string{"node_a"})["node_a"]; got != want {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		is("at the start", Unknown)
		s.Report(ctx, nodeEntry("node_a", 0))
		is("connected, nothing applied", Down)
		e := nodeEntry("node_a", 7)
		s.Report(ctx, e)
		is("applied", Up)
		s.Gone(ctx, e.Key, e.Since)
		is("just gone", Up)
		time.Sleep(Grace)
		is("gone for the grace", Down)
		s.UpdateEntry(Entry{Key: Key{identity.Node, "node_a"}, Replica: "r2", Since: time.Now(), Applied: 7})
		is("back at another replica", Up)
		bus.live = false
		s.KeepReplicas(nil)
		time.Sleep(time.Hour)
		is("no news is no news", Up)
		bus.live = true
		is("news again, long gone", Down)
	})
}

func TestHealthOfTheNeverSeen(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newStore("r1", Memory{})
		time.Sleep(Settle - time.Second)
		if got := s.Health(time.Now(), []string{"node_a"})["node_a"]; got != Unknown {
			t.Errorf("while settling: %v", got)
		}
		time.Sleep(time.Second)
		if got := s.Health(time.Now(), []string{"node_a"})["node_a"]; got != Down {
			t.Errorf("settled: %v", got)
		}
	})
}

// A stream that moved leaves an old entry behind for a moment: the younger one counts.
func TestNewestStreamCounts(t *testing.T) {
	s := newStore("r1", Memory{})
	old := nodeEntry("node_a", 3)
	old.Replica, old.Since = "r2", time.Now().Add(-time.Minute)
	s.UpdateEntry(old)
	s.Report(t.Context(), nodeEntry("node_a", 9))
	if e, _ := s.Get(Key{identity.Node, "node_a"}); e.Replica != "r1" || e.Applied != 9 {
		t.Errorf("got %+v", e)
	}
	s.DropEntry("r2", old.Key, 1)
	if _, ok := s.Get(old.Key); !ok {
		t.Error("dropping the leftover dropped the node")
	}
}

// Tables and events may be looked at in another order than they were made: what is newer counts.
func TestTablesAndEventsInAnyOrder(t *testing.T) {
	k := Key{identity.Node, "node_a"}
	entry := func(seq uint64) Entry {
		e := nodeEntry("node_a", 5)
		e.Replica, e.Seq = "r2", seq
		return e
	}
	there := func(s *Store) bool { _, ok := s.Get(k); return ok }

	s := newStore("r1", Memory{})
	s.UpdateEntry(entry(10))
	s.ReplaceReplica("r2", 9, nil) // read before the node came
	if !there(s) {
		t.Error("a table from before made a connected node disappear")
	}
	s.ReplaceReplica("r2", 11, nil) // the event that it left was lost
	if there(s) {
		t.Error("a newer table without it left it there")
	}

	s = newStore("r1", Memory{})
	s.UpdateEntry(entry(10))
	s.DropEntry("r2", k, 12)
	s.ReplaceReplica("r2", 11, []Entry{entry(10)}) // read before the node left
	s.UpdateEntry(entry(11))
	if there(s) {
		t.Error("a table from before brought a node back")
	}
	s.UpdateEntry(entry(13))
	s.DropEntry("r2", k, 12)
	if !there(s) {
		t.Error("an old event removed a node that is back")
	}
	s.ReplaceReplica("r2", 14, []Entry{entry(14)})
	if e, _ := s.Get(k); e.Seq != 14 {
		t.Errorf("%+v", e)
	}
}

// within polls until ok holds: the bus is real, so its timing is not ours.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// runs starts a replica; it ends when it is stopped, and with the test.
func runs(t *testing.T, replica string, bus *Valkey) (s *Store, stop func()) {
	t.Helper()
	s = newStore(replica, bus)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	within(t, replica+" is live", s.Live)
	return s, stop
}

func TestValkeySharesPresence(t *testing.T) {
	server := presencetest.Start(t)
	start := func(replica string) (*Store, func()) {
		bus, err := NewValkey(server.URL(), replica, quiet())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(replica, "rd") {
			bus.resync = time.Hour // it must not need one
		}
		return runs(t, replica, bus)
	}
	a, stopA := start("ra")
	b, _ := start("rb")
	k := Key{identity.Node, "node_a"}
	applied := func(s *Store, want model.Revision) func() bool {
		return func() bool { e, ok := s.Get(k); return ok && e.Applied == want }
	}

	a.Report(t.Context(), nodeEntry("node_a", 5))
	within(t, "b hears of it", applied(b, 5))
	a.Report(t.Context(), nodeEntry("node_a", 6))
	within(t, "b hears of the change", applied(b, 6))

	c, _ := start("rc")
	within(t, "a newcomer reads the tables", applied(c, 6))

	// What was said just before a replica listens is in no table yet: it asks.
	for i := range 5 {
		late := nodeEntry(fmt.Sprintf("node_late%d", i), 1)
		a.Report(t.Context(), late)
		d, stopD := start(fmt.Sprintf("rd%d", i))
		within(t, "a replica that comes knows all", func() bool { _, ok := d.Get(late.Key); return ok })
		stopD()
	}

	server.Flush(t)
	if _, ok := b.Get(k); !ok {
		t.Error("a flush made b forget at once")
	}
	a.Report(t.Context(), nodeEntry("node_a", 7))
	within(t, "after a flush", applied(b, 7))

	server.Kill(t)
	within(t, "the loss is noticed", func() bool { return !b.Live() })
	a.Report(t.Context(), nodeEntry("node_a", 8))
	if _, ok := b.Get(k); !ok {
		t.Error("losing the server made b forget")
	}
	server.Restart(t)
	within(t, "after a restart", applied(b, 8))

	left := nodeEntry("node_a", 8)
	a.Gone(t.Context(), k, left.Since) // of an older stream
	if _, ok := a.Get(k); !ok {
		t.Error("the end of an older stream took the newer one along")
	}
	a.Report(t.Context(), left)
	a.Gone(t.Context(), k, left.Since)
	within(t, "b hears that it is gone", func() bool { _, ok := b.Get(k); return !ok })

	a.Report(t.Context(), nodeEntry("node_a", 9))
	within(t, "b hears again", applied(b, 9))
	stopA()
	within(t, "a replica that leaves takes its table along", func() bool { _, ok := b.Get(k); return !ok })
}

func TestValkeyURL(t *testing.T) {
	if _, err := NewValkey("http://x", "r", quiet()); err == nil {
		t.Error("an http URL was taken")
	}
}
