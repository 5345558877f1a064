package orders

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// replicas are workers in processes of their own, which are started again when they are killed.
type replicas struct {
	r *rig

	mu     sync.Mutex
	todo   []string          // guarded by mu; points at which one is still to be killed
	killed map[string]bool   // guarded by mu
	ending bool              // guarded by mu
	cmds   map[int]*exec.Cmd // guarded by mu
	wg     sync.WaitGroup
}

func (x *replicas) start(t *testing.T, n int) {
	for i := range n {
		x.wg.Go(func() {
			for x.once(t, i) {
			}
		})
	}
	t.Cleanup(x.end)
}

// once runs one replica until it is dead, and reports whether to start it again.
func (x *replicas) once(t *testing.T, i int) bool {
	x.mu.Lock()
	if x.ending {
		x.mu.Unlock()
		return false
	}
	at := ""
	if len(x.todo) > 0 {
		at, x.todo = x.todo[0], x.todo[1:]
	}
	cmd := x.r.replica(fmt.Sprintf("replica-%d", i), killEnv+"="+at)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		x.mu.Unlock()
		t.Error(err)
		return false
	}
	x.cmds[i] = cmd
	x.mu.Unlock()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		x.mu.Lock()
		x.killed[at] = true
		x.mu.Unlock()
	}
	_ = cmd.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if at != "" && !x.killed[at] {
		x.todo = append(x.todo, at) // it was ended before it came there
	}
	return !x.ending
}

// replica is a worker in a process of its own.
func (r *rig) replica(name string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+name, "WARREN_ORDERS_DSN="+r.dsn, "WARREN_ORDERS_KEK="+encode(r.kek), "WARREN_ORDERS_DNS="+r.dns.Addr), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// next has a replica that starts now killed at a point: those that run are ended.
func (x *replicas) next(point string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.todo = append(x.todo, point)
	for _, c := range x.cmds {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
}

func (x *replicas) end() {
	x.mu.Lock()
	x.ending = true
	for _, c := range x.cmds {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	x.mu.Unlock()
	x.wg.Wait()
}

// missed are points at which nobody was killed yet.
func (x *replicas) missed(of []string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(of), func(p string) bool { return x.killed[p] })
}

// under is how many of those that were published have no certificate.
func (r *rig) under(t *testing.T, published int) int {
	t.Helper()
	done := 0
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			if !m.Certificate.IsZero() {
				done++
			}
		}
		return nil
	})
	return published - done
}

// Three replicas, each of which plans and carries orders and is killed for real, again and again: once before and once after every write of
// every step and every request (points). All orders complete, the authority made one order for each set of names, and every key is there.
func TestKilledAtEveryPoint(t *testing.T) {
	r := newRigAlone(t, acmetest.Config{})
	x := &replicas{r: r, todo: slices.Clone(points()), killed: map[string]bool{}, cmds: map[int]*exec.Cmd{}}
	x.start(t, 3)
	// Orders come as long as there is somebody to be killed with them.
	made := 0
	for end := time.Now().Add(6 * time.Minute); len(x.missed(points())) > 0 && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for ; r.under(t, made) < 4; made++ {
			r.publish(t, fmt.Sprintf("k%d.test", made))
		}
	}
	for _, p := range points() {
		t.Run("killed at "+p, func(t *testing.T) {
			if slices.Contains(x.missed(points()), p) {
				t.Error("nobody came there")
			}
		})
	}
	got := r.served(t, made, 3*time.Minute)
	x.end()
	for _, c := range got {
		r.usable(t, c)
	}
	for names, n := range r.proxy.NewOrders() {
		if n != 1 {
			t.Errorf("%d orders of %s at the authority", n, names)
		}
	}
	if n := len(r.proxy.NewOrders()); n != made {
		t.Errorf("orders of %d sets of names at the authority, want %d", n, made)
	}
	if n := r.proxy.Issued(); n != made {
		t.Errorf("%d certificates issued, want %d", n, made)
	}
	r.once(t)
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			all, err := tx.ListOrdersOf(t.Context(), m.ID, 10)
			if err != nil {
				return err
			}
			if len(all) != 1 || all[0].State != model.OrderAcked {
				t.Errorf("%v took %d orders", m.Names, len(all))
			}
		}
		return nil
	})
	t.Logf("killed at %d points, %d orders", len(points())-len(x.missed(points())), made)
}
