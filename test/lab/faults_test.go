package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// all compares what a step draws for its faults as well.
var all = cmp.AllowUnexported(Step{})

func plan(t *testing.T, seed uint64, s Schedule) []Step {
	t.Helper()
	steps, err := Plan(seed, []string{"a", "b", "c"}, s)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestPlanIsItsSeeds(t *testing.T) {
	s := Schedule{Count: 300, Quiet: [2]time.Duration{time.Second, 2 * time.Second}, Duration: [2]time.Duration{time.Second, time.Minute}, Pairs: 0.5}
	first := plan(t, 1, s)
	if diff := cmp.Diff(first, plan(t, 1, s), all); diff != "" {
		t.Errorf("the same seed, another plan:\n%s", diff)
	}
	if cmp.Equal(first, plan(t, 2, s), all) {
		t.Error("another seed, the same plan")
	}
	count, pairs := map[string]int{}, 0
	for _, step := range first {
		if step.After < s.Quiet[0] || step.After > s.Quiet[1] || step.Lasting < s.Duration[0] || step.Lasting > s.Duration[1] {
			t.Errorf("%v", step)
		}
		for _, f := range step.Faults {
			count[f]++
		}
		if len(step.Faults) == 2 {
			pairs++
			if step.Faults[0] == step.Faults[1] {
				t.Errorf("%v", step)
			}
		}
	}
	if pairs < 100 || pairs > 200 || count["a"] < 80 || count["b"] < 80 || count["c"] < 80 {
		t.Errorf("%d pairs of %d, %v", pairs, s.Count, count)
	}
}

func TestPlanRefusesNonsense(t *testing.T) {
	for _, s := range []Schedule{{Count: -1}, {Count: 1, Quiet: [2]time.Duration{2, 1}}, {Count: 1, Duration: [2]time.Duration{-1, 1}}, {Count: 1, Pairs: 2}} {
		if _, err := Plan(1, []string{"a"}, s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	if _, err := Plan(1, nil, Schedule{Count: 1}); err == nil {
		t.Error("drawn from nothing")
	}
}

// journal is a list of faults that write down what happens to them, and when.
func journal(lines *[]string, names ...string) []Fault {
	start := time.Now()
	note := func(f string, a ...any) {
		*lines = append(*lines, fmt.Sprintf("%v ", time.Since(start))+fmt.Sprintf(f, a...))
	}
	var faults []Fault
	for _, name := range names {
		faults = append(faults, Fault{name, func(r *rand.Rand) (string, func() error, error) {
			note("start %s %d", name, r.IntN(1000))
			return "", func() error { note("end %s", name); return nil }, nil
		}})
	}
	return faults
}

func TestInjectorReplaysFromItsSeed(t *testing.T) {
	run := func(seed uint64) (lines []string) {
		bubbletest.Run(t, func(t *testing.T) {
			in := &Injector{Seed: seed, faults: journal(&lines, "a", "b", "c"), logf: t.Logf}
			s := Schedule{Count: 20, Quiet: [2]time.Duration{0, time.Hour}, Duration: [2]time.Duration{0, time.Hour}, Pairs: 0.5}
			if err := in.Run(t.Context(), s, nil); err != nil {
				t.Error(err)
			}
		})
		return lines
	}
	a := run(5)
	if diff := cmp.Diff(a, run(5)); diff != "" || len(a) < 40 {
		t.Errorf("%d lines; the second time:\n%s", len(a), diff)
	}
	if cmp.Equal(a, run(6)) {
		t.Error("another seed, the same faults")
	}
}

func TestInjectorPutsRightWhatItInterrupts(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var lines []string
		in := &Injector{Seed: 1, faults: journal(&lines, "a", "b"), logf: t.Logf}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := in.Run(ctx, Schedule{Count: 5, Duration: [2]time.Duration{time.Hour, time.Hour}, Pairs: 1}, nil); err != nil {
			t.Error(err)
		}
		if len(lines) != 4 || !strings.HasPrefix(lines[2], "1m0s end") || !strings.HasPrefix(lines[3], "1m0s end") {
			t.Errorf("%q", lines)
		}
	})
}

func TestInjectorNamesSeedStepAndFault(t *testing.T) {
	boom := errors.New("boom")
	var lines []string
	faults := append(journal(&lines, "a"), Fault{"b", func(*rand.Rand) (string, func() error, error) { return "", nil, boom }})
	in := &Injector{Seed: 77, faults: faults, logf: t.Logf}
	err := in.Run(t.Context(), Schedule{Count: 50, Pairs: 1}, nil)
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "seed 77, step 1") || !strings.Contains(err.Error(), "start b") {
		t.Error(err)
	}
	if len(lines) != 2 {
		t.Errorf("the other of the pair was left as it was: %q", lines)
	}
}

// printed is a T that remembers what it was told.
type printed struct {
	T
	lines []string
}

func (p *printed) Logf(format string, args ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

// What a run of pairs prints is enough to have the same run again: the same pairs, for the same times, with the same
// chances.
func TestPairsReplayFromThePrintedSeed(t *testing.T) {
	s := Schedule{Count: 30, Quiet: [2]time.Duration{time.Second, time.Minute}, Duration: [2]time.Duration{time.Second, time.Hour}, Pairs: 1}
	run := func(seed uint64) (out, lines []string) {
		bubbletest.Run(t, func(t *testing.T) {
			p := &printed{}
			l := &Lab{t: p, Seed: rand.Uint64()}
			in := l.Faults(seed, journal(&lines, "control plane", "PostgreSQL", "Valkey", "node", "connector")...)
			if err := in.Run(t.Context(), s, func(step Step, _ bool) {
				if len(step.Faults) != 2 || step.Faults[0] == step.Faults[1] {
					t.Errorf("%v is no pair", step)
				}
			}); err != nil {
				t.Error(err)
			}
			out = p.lines
		})
		return out, lines
	}
	out, first := run(0)
	var tag string
	var seed uint64
	if _, err := fmt.Sscanf(strings.ReplaceAll(out[0], "lab :", "lab -:"), "lab %s faults from seed %d", &tag, &seed); err != nil {
		t.Fatalf("%q: %v", out[0], err)
	}
	again, second := run(seed)
	if diff := cmp.Diff(first, second); diff != "" || len(first) != 4*s.Count {
		t.Errorf("%d lines; the second time:\n%s", len(first), diff)
	}
	if diff := cmp.Diff(out, again); diff != "" {
		t.Errorf("printed the second time:\n%s", diff)
	}
}
