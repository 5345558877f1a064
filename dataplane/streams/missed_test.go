package streams

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// tellings are what a connector was told by nodes that miss it in their tunnels.
type tellings struct {
	mu sync.Mutex
	by map[string]int // guarded by mu; by node
}

func (t *tellings) told(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]int{}
	}
	t.by[node]++
}

func (t *tellings) of(node string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[node]
}

// A node that has no answer of a connector in their tunnel says so to that one, and to nobody else.
func TestMissedConnectorIsTold(t *testing.T) {
	ca := identitytest.New(t)
	e, other := newEdge(t, ca, "node_1", "connector_1", "connector_2"), newEdge(t, ca, "node_2", "connector_1", "connector_2")
	s, second := newSite(t, ca, "connector_1", echo(t), e, other), newSite(t, ca, "connector_2", echo(t), e, other)
	for _, n := range []*edge{e, other} {
		n.wait(t, "connector_1")
		n.wait(t, "connector_2")
	}
	e.node.Miss("connector_3") // which is none
	if s.missed.of("node_1") > 0 {
		t.Error("missed before it was")
	}
	e.node.Miss("connector_1")
	eventually(t, "the connector hears of it", func() bool { return s.missed.of("node_1") > 0 })
	eventually(t, "it goes on", func() bool { return e.node.Quality("connector_1").RTT > 0 && other.node.Quality("connector_2").RTT > 0 })
	if s.missed.of("node_2")+second.missed.of("node_1")+second.missed.of("node_2") > 0 {
		t.Errorf("others hear of it, too: %v, %v", s.missed.by, second.missed.by)
	}
}

// It is said at once and once, each time, and a connector that is cut off meanwhile is told when it is back.
func TestMissedIsSaidOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		told := func(what string, want int, after time.Duration) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if n := b.missed.of("node_0"); n != want {
				t.Errorf("%s: told %d times, want %d", what, n, want)
			}
		}
		told("before", 0, time.Hour)
		b.node.Miss(b.peer)
		told("at once", 1, 0)
		told("once", 1, time.Hour)
		b.node.Miss(b.peer)
		told("again", 2, time.Second)
		b.setCut(true)
		b.node.Miss(b.peer)
		told("while it is cut off", 2, time.Minute)
		b.setCut(false)
		told("back again", 3, time.Minute)
		told("once after that", 3, time.Hour)
	})
}
