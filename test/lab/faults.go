package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Fault is something that goes wrong and can be put right again.
type Fault struct {
	Name string
	// Start lets it go wrong. What is left to chance comes from r; detail says what came of it.
	Start func(r *rand.Rand) (detail string, end func() error, err error)
}

// Schedule bounds what is drawn. Both times of a pair may be equal.
type Schedule struct {
	Count    int              // of steps
	Quiet    [2]time.Duration // before each step, from shortest to longest
	Duration [2]time.Duration // of each step
	Pairs    float64          // the part of steps with two faults at once, 0 to 1
}

// Step is one step of a plan: its faults start and end together.
type Step struct {
	Faults  []string
	After   time.Duration // since the end of the step before
	Lasting time.Duration
	seeds   []uint64 // of the faults' own chances
}

func (s Step) String() string {
	return fmt.Sprintf("after %v, for %v: %s", s.After, s.Lasting, strings.Join(s.Faults, " and "))
}

// Plan draws steps from the named faults. The same arguments make the same plan.
func Plan(seed uint64, faults []string, s Schedule) ([]Step, error) {
	if s.Count < 0 || s.Quiet[0] < 0 || s.Quiet[1] < s.Quiet[0] || s.Duration[0] < 0 || s.Duration[1] < s.Duration[0] || s.Pairs < 0 || s.Pairs > 1 {
		return nil, fmt.Errorf("schedule %+v: want no negative numbers, shortest before longest, pairs as a part of 1", s)
	}
	if len(faults) == 0 && s.Count > 0 {
		return nil, errors.New("plan: no faults to draw from")
	}
	r := rand.New(rand.NewPCG(seed, mix(seed)))
	between := func(d [2]time.Duration) time.Duration {
		return (d[0] + time.Duration(r.Int64N(int64(d[1]-d[0])+1))).Round(time.Millisecond)
	}
	var steps []Step
	for range s.Count {
		step := Step{After: between(s.Quiet), Lasting: between(s.Duration)}
		n := 1
		if r.Float64() < s.Pairs && len(faults) > 1 {
			n = 2
		}
		for _, i := range r.Perm(len(faults))[:n] {
			step.Faults = append(step.Faults, faults[i])
			step.seeds = append(step.seeds, r.Uint64())
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// Injector lets faults happen by a plan.
type Injector struct {
	Seed   uint64
	faults []Fault
	logf   func(format string, args ...any)
}

// Faults makes an injector; its seed is printed, and replays the same faults. Seed 0 takes the lab's.
func (l *Lab) Faults(seed uint64, faults ...Fault) *Injector {
	if seed == 0 {
		seed = l.Seed
	}
	l.t.Logf("lab %s: faults from seed %d", l.tag, seed)
	return &Injector{Seed: seed, faults: faults, logf: l.t.Logf}
}

// Run draws a plan and carries it out. Each fault is put right at its step's end, also when ctx ends first.
// on is told of each step when its faults have started (true) and ended (false); nil is nobody.
func (in *Injector) Run(ctx context.Context, s Schedule, on func(step Step, started bool)) error {
	var names []string
	byName := map[string]Fault{}
	for _, f := range in.faults {
		if _, twice := byName[f.Name]; twice {
			return fmt.Errorf("fault %q is there twice", f.Name)
		}
		names = append(names, f.Name)
		byName[f.Name] = f
	}
	steps, err := Plan(in.Seed, names, s)
	if err != nil {
		return err
	}
	if on == nil {
		on = func(Step, bool) {}
	}
	for i, step := range steps {
		if !pause(ctx, step.After) {
			return nil
		}
		if err := in.step(ctx, step, byName, on); err != nil {
			return fmt.Errorf("seed %d, step %d, %v: %w", in.Seed, i+1, step, err)
		}
	}
	return nil
}

func (in *Injector) step(ctx context.Context, step Step, byName map[string]Fault, on func(Step, bool)) (err error) {
	var ends []func() error
	for i, name := range step.Faults {
		detail, end, startErr := byName[name].Start(rand.New(rand.NewPCG(step.seeds[i], 0)))
		if startErr != nil {
			err = errors.Join(err, fmt.Errorf("start %s: %w", name, startErr))
			continue
		}
		in.logf("fault: %s %s for %v", name, detail, step.Lasting)
		ends = append(ends, end)
	}
	if err == nil {
		on(step, true)
		pause(ctx, step.Lasting)
	}
	for i := len(ends) - 1; i >= 0; i-- {
		err = errors.Join(err, ends[i]())
	}
	if err == nil {
		on(step, false)
	}
	return err
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err() == nil
}
