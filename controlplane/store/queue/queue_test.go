package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// start runs a replica until the test ends or end is called.
func start(t *testing.T, dsn string, o Options) (q *Queue, end func()) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	q, err := New(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	end = func() { cancel(); wg.Wait() }
	t.Cleanup(end)
	return q, end
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) { // beside the time of the bell
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// A bell rings once, at whichever replica, not before its time, also when its replica is gone, and also without
// LISTEN; the upkeep is done by the leader.
func TestBellAndUpkeep(t *testing.T) {
	for name, pollOnly := range map[string]bool{"listen": false, "poll only": true} {
		t.Run(name, func(t *testing.T) {
			after := 2 * time.Second
			for !ringsOnce(t, pollOnly, after) {
				after *= 4
			}
		})
	}
}

// ringsOnce has the bell rung some time from now; false: all replicas asked for that only when it had come already, which
// is to be told from asking twice.
func ringsOnce(t *testing.T, pollOnly bool, after time.Duration) bool {
	t.Helper()
	dsn := storetest.DSN(t)
	var rung, kept, early atomic.Int64
	var at atomic.Pointer[time.Time]
	o := Options{PollOnly: pollOnly, Every: time.Hour, Patience: 100 * time.Millisecond, Bell: func() {
		if time.Now().Before(*at.Load()) {
			early.Add(1)
		}
		rung.Add(1)
	}, Upkeep: func(context.Context) error { kept.Add(1); return nil }}
	o.Replica = "a"
	a, endA := start(t, dsn, o)
	o.Replica = "b"
	b, endB := start(t, dsn, o)
	defer endB()
	then := time.Now().Add(after)
	at.Store(&then)
	for range 5 {
		for _, q := range []*Queue{a, b} {
			if err := q.Wake(t.Context(), then); err != nil {
				t.Fatal(err)
			}
		}
	}
	if time.Now().After(then) {
		endA()
		return false
	}
	eventually(t, "no upkeep", func() bool { return kept.Load() > 0 })
	endA()
	eventually(t, "the bell does not ring", func() bool { return rung.Load() > 0 })
	if err := b.Wake(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bell rings but once", func() bool { return rung.Load() > 1 })
	if early.Load() > 0 || rung.Load() != 2 {
		t.Errorf("rung %d times, %d times early", rung.Load(), early.Load())
	}
	if n := kept.Load(); n > 2 { // once by each leader
		t.Errorf("kept up %d times in an hour", n)
	}
	return true
}

// Whoever asks for a plan gets it as soon as he has committed, and not if he has not.
func TestPlanIsAskedFor(t *testing.T) {
	dsn := storetest.DSN(t)
	db := storetest.Open(t, dsn)
	var plans atomic.Int64
	start(t, dsn, Options{
		Replica: "a", Every: time.Hour, Patience: 100 * time.Millisecond, Bell: func() {}, Plan: func() { plans.Add(1) }, Upkeep: func(context.Context) error { return nil },
	})
	undone := errors.New("undone")
	_, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error { return errors.Join(tx.PlanCertificates(t.Context()), undone) })
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if _, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.PlanCertificates(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no plan", func() bool { return plans.Load() > 0 })
	if n := plans.Load(); n != 1 {
		t.Errorf("planned %d times", n)
	}
}
