package orders

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// sleeper is a replica that stops (SIGSTOP) at a point.
type sleeper struct {
	lines chan string
	wake  func()
}

// asleep starts one, and returns when it has stopped.
func (r *rig) asleep(t *testing.T, point string) *sleeper {
	t.Helper()
	cmd := r.replica("sleeper", stopEnv+"="+point)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &sleeper{lines: make(chan string, 1000)}
	var reading sync.WaitGroup
	reading.Go(func() {
		for all := bufio.NewScanner(out); all.Scan(); {
			s.lines <- all.Text()
		}
	})
	s.wake = func() { // it may go on at once: what it waits for is there before it wakes
		_, _ = in.Write([]byte{1})
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	return s
}

// says waits for a line.
func (s *sleeper) says(t *testing.T, what string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case l := <-s.lines:
			if strings.Contains(l, what) {
				return
			}
			t.Log(l)
		case <-limit:
			t.Fatalf("the replica did not say %q", what)
		}
	}
}

// Whoever carries an order is stopped (SIGSTOP) for longer than its lease, and then goes on where it was, as if nothing had been. Another
// replica has brought the order to its end meanwhile: nothing that the first one writes counts, it sends the authority nothing, and there is
// one order, finalized once, whose key is the one that is stored.
func TestPausedForLongerThanTheLease(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var planning sync.WaitGroup
	planning.Go(func() { _ = NewPlanner(New(r.options("planner"))).Run(ctx) })
	defer planning.Wait()
	defer cancel()
	for n, point := range []string{
		"place: write planned after", "newOrder before", "newOrder after", "place: write ordered before", "initiate before", "key: write ready before", "finalize before",
		"finalize after", "publish: write published before",
	} {
		t.Run("paused at "+point, func(t *testing.T) {
			s := r.asleep(t, point)
			r.publish(t, fmt.Sprintf("z%d.test", n))
			s.says(t, "stopped at "+point)
			_, end := r.run(t, r.options("other"))
			c := r.served(t, n+1, 40*time.Second)[fmt.Sprintf("*.z%d.test", n)]
			end()
			was, asked := r.newest(t, c.Managed), r.proxy.Requests()
			s.wake()
			s.says(t, "order is carried by another replica")
			if now := r.proxy.Requests(); !maps.Equal(now, asked) {
				t.Errorf("the authority was asked by who has lost the lease: %v, before %v", now, asked)
			}
			if now := r.newest(t, c.Managed); now.Fence != was.Fence || !now.Updated.Equal(was.Updated) || !slices.Equal(now.SealedKey, was.SealedKey) {
				t.Errorf("the order was written by who has lost the lease: %+v, before %+v", now, was)
			}
			r.usable(t, c)
			if names := strings.Join(c.Names, ","); r.proxy.NewOrders()[names] != 1 {
				t.Errorf("%d orders at the authority", r.proxy.NewOrders()[names])
			}
		})
	}
	r.once(t)
}

// newest is the only order of a managed certificate.
func (r *rig) newest(t *testing.T, id model.ManagedCertificateID) (o *model.Order) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error {
		all, err := tx.ListOrdersOf(t.Context(), id, 5)
		if len(all) != 1 {
			t.Fatalf("%d orders", len(all))
		}
		o = all[0]
		return err
	})
	return o
}
