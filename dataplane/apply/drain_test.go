package apply

import (
	"slices"
	"testing"
	"time"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// selfIs is a transaction that says whether this node drains.
func selfIs(t *testing.T, rev uint64, is nodev1.NodeLifecycle, more ...ads.Resource) ads.Transaction {
	m := nodeMsg(me, "me", 1)
	m.Lifecycle = is
	return tx(rev, append(more, res(t, "node/"+me, m))...)
}

const (
	active   = nodev1.NodeLifecycle_NODE_LIFECYCLE_ACTIVE
	draining = nodev1.NodeLifecycle_NODE_LIFECYCLE_DRAINING
)

// lasting is a record set with a time to live, of a pool.
func lasting(t *testing.T, owner, pool string, ttl uint32) ads.Resource {
	m := recordMsg(owner)
	m.TtlSeconds = ttl
	m.GetPoolAddresses().PoolId = pool
	return res(t, "recordset/o/"+owner, m)
}

// ended is after which time Drained was closed; 0: not in a day.
func ended(n *Node) time.Duration {
	start := time.Now()
	select {
	case <-n.Drained():
		return time.Since(start)
	case <-time.After(24 * time.Hour):
		return 0
	}
}

func TestDrainOrder(t *testing.T) {
	long := func(t *testing.T) ads.Resource { return lasting(t, "long.example.org", "pool_1", 300) }
	for name, c := range map[string]struct {
		order func(t *testing.T, n *Node)
		want  time.Duration
	}{
		"none": {func(t *testing.T, n *Node) { must(t, n, selfIs(t, 6, active)) }, 0},
		"the longest answer": {func(t *testing.T, n *Node) {
			must(t, n, tx(6, long(t), lasting(t, "other.example.org", "pool_2", 9000)))
			must(t, n, selfIs(t, 7, draining))
		}, 301 * time.Second},
		"an answer made shorter with the order": {func(t *testing.T, n *Node) {
			must(t, n, tx(6, long(t)))
			must(t, n, selfIs(t, 7, draining, lasting(t, "long.example.org", "pool_1", 5)))
		}, 301 * time.Second},
		"said again": {func(t *testing.T, n *Node) {
			must(t, n, selfIs(t, 6, draining))
			time.Sleep(20 * time.Second)
			must(t, n, selfIs(t, 7, draining, long(t)))
		}, 11 * time.Second},
		"no name": {func(t *testing.T, n *Node) {
			x := selfIs(t, 6, draining)
			must(t, n, ads.Transaction{Checkpoint: &nodev1.Checkpoint{Revision: 6}, Removed: map[string][]string{lasting(t, "x", "", 0).TypeURL: {"recordset/o/service_1"}}})
			must(t, n, x)
		}, time.Second},
		"taken back": {func(t *testing.T, n *Node) {
			must(t, n, selfIs(t, 6, draining))
			time.Sleep(30 * time.Second)
			must(t, n, selfIs(t, 7, active))
		}, 0},
		"taken back and given again": {func(t *testing.T, n *Node) {
			must(t, n, selfIs(t, 6, draining))
			time.Sleep(30 * time.Second)
			must(t, n, selfIs(t, 7, active))
			must(t, n, selfIs(t, 8, draining))
		}, 31 * time.Second},
		"taken back too late": {func(t *testing.T, n *Node) {
			must(t, n, selfIs(t, 6, draining))
			time.Sleep(40 * time.Second)
			must(t, n, selfIs(t, 7, active))
			must(t, n, selfIs(t, 8, draining))
			select {
			case <-n.Drained():
			default:
				t.Error("still there")
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				n, _ := newNode(t, t.TempDir())
				must(t, n, world(t))
				c.order(t, n)
				if got := ended(n); got != c.want {
					t.Errorf("ended after %v, want %v", got, c.want)
				}
			})
		})
	}
}

// Clients are asked to connect elsewhere from the order on, or from the signal, and no longer when it is taken back.
func TestDrainingNodeSendsClientsElsewhere(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n, m := newNode(t, t.TempDir())
		must(t, n, world(t))
		for i, want := range []bool{true, false, true} {
			must(t, n, selfIs(t, uint64(6+i), map[bool]nodev1.NodeLifecycle{true: draining, false: active}[want]))
			if m.leaving != want {
				t.Errorf("draining %t: asked to connect anew: %t", want, m.leaving)
			}
		}
		n, m = newNode(t, t.TempDir())
		must(t, n, world(t))
		if n.Leave(); !m.leaving {
			t.Error("not asked to connect anew when the process is told to end")
		}
	})
}

// A node that finds the order when it starts was started by somebody who knows: it serves.
func TestDrainingNodeMayBeStarted(t *testing.T) {
	dir := t.TempDir()
	first, _ := newNode(t, dir)
	must(t, first, world(t)) // which says that it is active
	bubbletest.Run(t, func(t *testing.T) {
		for _, from := range []string{"disk, active", "disk, draining"} {
			n, m := newNode(t, dir)
			if _, err := n.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			must(t, n, selfIs(t, 6, draining)) // the first that it hears
			must(t, n, tx(7))
			if got := ended(n); got != 0 {
				t.Errorf("%s: ended after %v", from, got)
			}
			if slices.Contains(named(m), me) {
				t.Errorf("%s: DNS names it", from)
			}
			must(t, n, selfIs(t, 8, active))
			must(t, n, selfIs(t, 9, draining))
			if got := ended(n); got != 31*time.Second {
				t.Errorf("%s: ended after %v, want 31s", from, got)
			}
		}
	})
}

// named are the nodes that a machine's DNS names while there are any such.
func named(m *machine) (ids []string) {
	for _, n := range m.dns.Nodes {
		if !n.Draining && !n.Down {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func TestLeave(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	c := &chatter{changed: make(chan struct{}, 1)}
	n.sub.Gossip, n.sub.Up = c, func(string) bool { return false }
	must(t, n, world(t))
	if got := named(m); !slices.Equal(got, []string{"node_b", me}) {
		t.Fatalf("DNS names %v", got)
	}
	m.took()
	n.Leave()
	if got := named(m); !c.drained || !slices.Equal(got, []string{"node_b"}) {
		t.Errorf("gossip told: %t; DNS names %v", c.drained, got)
	}
	if got := m.took(); !slices.Equal(got, []string{"dns"}) {
		t.Errorf("%v are touched, too", got)
	}
	must(t, n, selfIs(t, 6, active))
	if got := named(m); !slices.Equal(got, []string{"node_b"}) {
		t.Errorf("a transaction later DNS names %v", got)
	}
	before, m := newNode(t, t.TempDir())
	before.Leave()
	if got := m.took(); len(got) > 0 {
		t.Errorf("before anything is applied: %v", got)
	}
}
