package store_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// deadline is far beyond what anything here takes.
const deadline = time.Minute

func TestReplicaLock(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	leaks := goleak.IgnoreCurrent()
	one, err := s.ReplicaLock(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, exclusive := range []bool{true, false} {
		wg.Go(func() {
			if _, err := s.ReplicaLock(ctx, exclusive); fault.Of(err) != fault.Conflict {
				t.Errorf("second replica (exclusive %v): %v", exclusive, err)
			}
		})
	}
	wg.Wait()
	one.Release()
	one.Release()
	a, err := s.ReplicaLock(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.ReplicaLock(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReplicaLock(ctx, true); fault.Of(err) != fault.Conflict {
		t.Errorf("one without a bus beside two with: %v", err)
	}
	a.Release()
	b.Release()
	select {
	case <-a.Lost():
		t.Error("a released lock counts as lost")
	default:
	}
	goleak.VerifyNone(t, leaks)
}

func TestReplicaLockLost(t *testing.T) {
	dsn := storetest.DSN(t)
	s, ctx := storetest.Open(t, dsn), t.Context()
	l, err := s.ReplicaLock(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, dsn).Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Lost():
	case <-time.After(deadline):
		t.Fatal("a broken lock is not lost")
	}
	next, err := s.ReplicaLock(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	l.Release() // of no effect
	next.Release()
}

// Each committed change is announced, and a listener is woken once at the start.
func TestListen(t *testing.T) {
	dsn := storetest.DSN(t)
	s, w, ctx := storetest.Open(t, dsn), newWorld(t), t.Context()
	woken := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(ctx, func() { woken <- struct{}{} }) }()
	hint := func(when string) {
		t.Helper()
		select {
		case <-woken:
		case err := <-ended:
			t.Fatalf("%s: %v", when, err)
		case <-time.After(deadline):
			t.Fatalf("%s: no hint", when)
		}
	}
	hint("at the start")
	w.create(t, s)
	hint("after a transaction")
	conn := connect(t, dsn)
	if _, err := conn.Exec(ctx, "UPDATE sites SET tunnels = 1"); err != nil {
		t.Fatal(err)
	}
	hint("after plain SQL")
	if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if fault.Of(err) != fault.Unavailable {
			t.Errorf("a broken connection: %v", err)
		}
	case <-time.After(deadline):
		t.Fatal("a broken connection goes unnoticed")
	}
}
