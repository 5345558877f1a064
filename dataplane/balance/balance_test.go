package balance

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newHealth() *Health { return NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry()) }

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// shares counts n choices.
func shares(t *testing.T, g *Group, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		target, ok := g.Pick(start)
		if !ok {
			t.Fatal("no target")
		}
		got[target.ID]++
	}
	return got
}

func TestSharesFollowWeights(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1}, {1, 2, 3}, {1000, 1}, {0, 3}, {100, 100, 100, 50, 50}, {7, 11, 13, 17, 19, 23}} {
		var targets []Target
		total := 0
		for i, w := range weights {
			targets = append(targets, Target{ID: fmt.Sprint(i), Weight: w})
			total += max(w, 1)
		}
		const n = 2000
		got := shares(t, NewGroup(targets, newHealth()), n)
		for i, w := range weights {
			want := float64(n) * float64(max(w, 1)) / float64(total)
			if off := math.Abs(float64(got[fmt.Sprint(i)]) - want); off > 8 {
				t.Errorf("weights %v: target %d was chosen %d times of %d, want %.0f", weights, i, got[fmt.Sprint(i)], n, want)
			}
		}
	}
}

// Many nodes, each with few requests: their first choices must not all be the same.
func TestSharesOfManyGroups(t *testing.T) {
	got := map[string]int{}
	const n = 20_000
	for range n {
		target, _ := NewGroup([]Target{{ID: "a", Weight: 3}, {ID: "b", Weight: 1}}, newHealth()).Pick(start)
		got[target.ID]++
	}
	if share := float64(got["a"]) / n; math.Abs(share-0.75) > 0.05 {
		t.Errorf("share %.3f, want 0.75 within 0.05", share)
	}
}

func TestSharesOfTheHealthyOnes(t *testing.T) {
	h := newHealth()
	g := NewGroup([]Target{{ID: "a", Weight: 1}, {ID: "b", Weight: 1}, {ID: "c", Weight: 2}}, h)
	h.Apply(map[string]bool{"a": true})
	got := shares(t, g, 300)
	if got["a"] != 0 || math.Abs(float64(got["b"])-100) > 5 {
		t.Errorf("a is unhealthy: %v", got)
	}
	h.Apply(map[string]bool{"a": true, "b": true, "c": true})
	if got := shares(t, g, 400); math.Abs(float64(got["a"])-100) > 5 {
		t.Errorf("none is healthy, so all are tried: %v", got)
	}
	h.Apply(nil)
	if got := shares(t, g, 400); math.Abs(float64(got["a"])-100) > 5 {
		t.Errorf("all are healthy again: %v", got)
	}
}

func TestTriedTargetsAreNotChosenAgain(t *testing.T) {
	h := newHealth()
	g := NewGroup([]Target{{ID: "a"}, {ID: "b"}, {ID: "c"}}, h)
	h.Apply(map[string]bool{"b": true})
	for range 20 {
		var tried []string
		for range 3 {
			target, ok := g.Pick(start, tried...)
			if !ok {
				t.Fatalf("no target although only %v were tried", tried)
			}
			tried = append(tried, target.ID)
		}
		if tried[2] != "b" {
			t.Errorf("order %v: the unhealthy one comes last", tried)
		}
		if target, ok := g.Pick(start, tried...); ok {
			t.Errorf("%s was chosen after all were tried", target.ID)
		}
	}
}

func TestNoTargets(t *testing.T) {
	for _, g := range []*Group{nil, NewGroup(nil, newHealth())} {
		if target, ok := g.Pick(start); ok || !g.Empty() {
			t.Errorf("%v of nothing", target)
		}
	}
}

func TestFailuresInARow(t *testing.T) {
	h := newHealth()
	now := start
	fail := func(n int) {
		for range n {
			h.Failed("a", now)
		}
	}
	out := func() time.Duration { // for how long from now
		for d := time.Duration(0); d <= 2*ejectMax; d += 100 * time.Millisecond {
			if h.usable("a", now.Add(d)) {
				return d
			}
		}
		return -1
	}
	if fail(failures - 1); out() != 0 {
		t.Errorf("left out for %v after %d failures", out(), failures-1)
	}
	h.Reached("a")
	if fail(failures - 1); out() != 0 {
		t.Error("failures before a success count")
	}
	fail(1)
	if out() != ejectMin {
		t.Errorf("left out for %v, want %v", out(), ejectMin)
	}
	if fail(10); out() != ejectMin {
		t.Errorf("failures meanwhile made it %v", out())
	}
	for _, want := range []time.Duration{4, 8, 16, 32, 60, 60} { // one failure is enough now
		now = now.Add(out())
		if fail(1); out() != want*time.Second {
			t.Errorf("left out for %v, want %v", out(), want*time.Second)
		}
	}
	if !h.usable("b", now) {
		t.Error("another target is left out, too")
	}
	h.Reached("a")
	if out() != 0 {
		t.Error("a success does not bring it back")
	}
	fail(failures)
	h.Keep(map[string]bool{"b": true})
	if out() != 0 {
		t.Error("a target that is gone is remembered")
	}
}

func TestGroupUnderLoad(t *testing.T) {
	h := newHealth()
	g := NewGroup([]Target{{ID: "a", Weight: 2}, {ID: "b"}, {ID: "c"}}, h)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				target, ok := g.Pick(start)
				if !ok {
					t.Error("no target")
					return
				}
				switch {
				case i == 0 && n%50 == 0:
					h.Apply(map[string]bool{target.ID: true})
				case n%7 == 0:
					h.Failed(target.ID, start)
				default:
					h.Reached(target.ID)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPick(b *testing.B) {
	g := NewGroup([]Target{{ID: "a", Weight: 2}, {ID: "b"}, {ID: "c"}}, newHealth())
	now := time.Now()
	for b.Loop() {
		if _, ok := g.Pick(now); !ok {
			b.Fatal("no target")
		}
	}
}
