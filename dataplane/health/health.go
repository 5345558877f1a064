// Package health finds out, from inside a site, whether its targets can serve: in connectors, and in nodes that stand
// in local sites or hold the peer that a site is.
package health

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// atOnce bounds the checks that run at the same time; others wait for their turn.
const atOnce = 64

// Target is one to check.
type Target struct {
	ID      string
	Address string // "host:port", for the Host field of requests
	Check   Check
}

// Check says how. Exactly what HTTP says is done if it is set, else a connection is made.
type Check struct {
	Interval, Timeout  time.Duration // positive
	Healthy, Unhealthy int           // results in a row that change the verdict, at least 1
	HTTP               *HTTP
}

// HTTP is a request and what is expected of its answer. Redirects are answers, too.
type HTTP struct {
	Method, Path string
	Host         string // of the Host field; the target's address if empty
	Headers      http.Header
	Statuses     []StatusRange // at least one
	BodyContains string        // in the first 64 KiB; anything if empty
	TLS          bool          // the target's certificate is not verified: it is a check of health, not of identity
}

// StatusRange has both ends in it.
type StatusRange struct{ First, Last int }

// State is what is known of one target. There is none before the first verdict.
type State struct {
	Target  string
	Healthy bool
	Reason  string // of an unhealthy one: the last failure, for people
}

// ErrNoSay is wrapped by the error of a DialFunc that leads nowhere from here, whatever the target's health is: the
// check counts for nothing.
var ErrNoSay = errors.New("not reached from here")

// DialFunc connects to a target that may be reached from here.
type DialFunc func(ctx context.Context, target string) (net.Conn, error)

// Checker checks the targets of the last Apply. Safe for concurrent use.
type Checker struct {
	dial  DialFunc
	log   *slog.Logger
	m     *metrics
	slots chan struct{}

	mu      sync.Mutex
	want    map[string]Target // guarded by mu
	states  map[string]State  // guarded by mu
	changed chan struct{}     // guarded by mu; closed and renewed when want changes
}

type metrics struct{ checks *prometheus.CounterVec }

// New makes a Checker of nothing.
func New(dial DialFunc, log *slog.Logger, reg prometheus.Registerer) *Checker {
	m := &metrics{checks: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_target_checks_total", Help: "Health checks of targets, by result.",
	}, []string{"result"})}
	for _, r := range []string{"ok", "failed"} {
		m.checks.WithLabelValues(r)
	}
	reg.MustRegister(m.checks)
	return &Checker{
		dial: dial, log: log, m: m, slots: make(chan struct{}, atOnce),
		want: map[string]Target{}, states: map[string]State{}, changed: make(chan struct{}),
	}
}

// String names the task.
func (c *Checker) String() string { return "target health" }

// Apply replaces what is checked. The verdict on a target whose check stays is kept, as is its rhythm.
func (c *Checker) Apply(targets []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := make(map[string]Target, len(targets))
	for _, t := range targets {
		want[t.ID] = t
	}
	for id := range c.states {
		if t, ok := want[id]; !ok || !t.equal(c.want[id]) {
			delete(c.states, id)
		}
	}
	c.want = want
	close(c.changed)
	c.changed = make(chan struct{})
}

// States gives the verdicts, ordered by target.
func (c *Checker) States() []State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.states), func(a, b State) int { return cmp.Compare(a.Target, b.Target) })
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	type running struct {
		target Target
		stop   context.CancelFunc
	}
	checks := map[string]running{}
	for {
		c.mu.Lock()
		want, changed := c.want, c.changed
		c.mu.Unlock()
		for id, r := range checks {
			if t, ok := want[id]; !ok || !t.equal(r.target) {
				r.stop()
				delete(checks, id)
			}
		}
		for id, t := range want {
			if _, ok := checks[id]; ok {
				continue
			}
			tctx, stop := context.WithCancel(ctx)
			checks[id] = running{t, stop}
			wg.Go(func() { c.follow(tctx, t) })
		}
		select {
		case <-ctx.Done():
			for _, r := range checks {
				r.stop()
			}
			return nil
		case <-changed:
		}
	}
}

// follow checks one target again and again. The first check comes soon but not with all others at once.
func (c *Checker) follow(ctx context.Context, t Target) {
	j := judge{healthy: t.Check.Healthy, unhealthy: t.Check.Unhealthy}
	wait := time.Duration(rand.Int64N(int64(min(t.Check.Interval, time.Second))))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		// A tenth more or less: checks of many connectors must not fall into step.
		wait = t.Check.Interval - t.Check.Interval/10 + time.Duration(rand.Int64N(int64(t.Check.Interval/5+1)))
		select {
		case <-ctx.Done():
			return
		case c.slots <- struct{}{}:
		}
		err := c.check(ctx, t)
		<-c.slots
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrNoSay) {
			continue
		}
		c.note(ctx, t, &j, err)
	}
}

// note counts a result and keeps the verdict.
func (c *Checker) note(ctx context.Context, t Target, j *judge, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	c.m.checks.WithLabelValues(result).Inc()
	changed := j.result(err == nil)
	if j.verdict == unknown {
		return
	}
	s := State{Target: t.ID, Healthy: j.verdict == healthy}
	if !s.Healthy {
		s.Reason = c.reason(t.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil { // Apply has replaced the check meanwhile
		return
	}
	if current, ok := c.want[t.ID]; !ok || !current.equal(t) {
		return
	}
	c.states[t.ID] = s
	if changed {
		c.log.Info("target health changed", "target", t.ID, "healthy", s.Healthy, "err", err)
	}
}

// reason is that of the last failure: while an unhealthy target recovers, the one before.
func (c *Checker) reason(target string, err error) string {
	if err != nil {
		return err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[target].Reason
}

func (t Target) equal(o Target) bool {
	a, b := t.Check, o.Check
	if t.ID != o.ID || t.Address != o.Address || a.Interval != b.Interval || a.Timeout != b.Timeout ||
		a.Healthy != b.Healthy || a.Unhealthy != b.Unhealthy || (a.HTTP == nil) != (b.HTTP == nil) {
		return false
	}
	if a.HTTP == nil {
		return true
	}
	x, y := *a.HTTP, *b.HTTP
	return x.Method == y.Method && x.Path == y.Path && x.Host == y.Host && x.BodyContains == y.BodyContains && x.TLS == y.TLS &&
		slices.Equal(x.Statuses, y.Statuses) && maps.EqualFunc(x.Headers, y.Headers, slices.Equal[[]string])
}
