package balance

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A target that fails this often in a row is left out for ejectMin; each further failure right after
// that doubles the time, up to ejectMax. Only failures to be reached count, as opposed to answers that
// say so: what status a service gives is its own affair.
const (
	failures = 3
	ejectMin = 2 * time.Second
	ejectMax = time.Minute
)

// Health is what a node knows of targets: what connectors have measured, told by Apply, and what its own
// attempts have come to. Safe for concurrent use.
type Health struct {
	log *slog.Logger
	m   *metrics

	unhealthy atomic.Pointer[map[string]bool] // replaced whole by Apply
	failing   sync.Map                        // target id to *record, of targets that have failed lately
}

// record is the failures in a row of one target.
type record struct {
	mu      sync.Mutex
	failed  int           // guarded by mu
	until   time.Time     // guarded by mu; left out until then
	penalty time.Duration // guarded by mu; of the last time that it was left out
	last    Attempt       // guarded by mu; what is told of it
}

// Attempt is what became of the last attempts to reach a target: they failed.
type Attempt struct {
	Target   string
	Failures int       // in a row
	At       time.Time // of the last one
	Reason   string    // of the last one
	NoWay    bool      // nothing led to the target's site
}

type metrics struct {
	unhealthy prometheus.Gauge
	ejections prometheus.Counter
}

// NewHealth makes a Health to which every target is able to serve.
func NewHealth(log *slog.Logger, reg prometheus.Registerer) *Health {
	h := &Health{log: log, m: &metrics{
		unhealthy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_targets_unhealthy", Help: "Targets that connectors have found unable to serve."}),
		ejections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_target_ejections_total", Help: "Times that a target was left out because attempts to reach it kept failing."}),
	}}
	h.unhealthy.Store(&map[string]bool{})
	reg.MustRegister(h.m.unhealthy, h.m.ejections)
	return h
}

// Apply replaces the set of targets that connectors have found unable to serve.
func (h *Health) Apply(unhealthy map[string]bool) {
	next := maps.Clone(unhealthy)
	if next == nil {
		next = map[string]bool{}
	}
	h.unhealthy.Store(&next)
	h.m.unhealthy.Set(float64(len(next)))
}

// Reached notes that a target took a connection or answered.
func (h *Health) Reached(target string) {
	if _, ok := h.failing.Load(target); ok { // mostly not: then nothing is written
		h.failing.Delete(target)
	}
}

// Failed notes that a target could not be reached, or broke off before it answered.
func (h *Health) Failed(target string, now time.Time) {
	v, _ := h.failing.LoadOrStore(target, &record{})
	r := v.(*record)
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.until) { // of an attempt from before, or when there is no other target
		return
	}
	r.failed++
	if r.failed < failures {
		return
	}
	r.penalty = min(max(2*r.penalty, ejectMin), ejectMax)
	r.until = now.Add(r.penalty)
	h.m.ejections.Inc()
	h.log.Info("target left out", "target", target, "failures", r.failed, "dur", r.penalty)
}

// Note keeps why a request or connection came to nothing, for whoever asks what is wrong. It leaves nobody out:
// that is for Failed, and what fails for want of a way says nothing about the target.
func (h *Health) Note(target string, now time.Time, why error, noWay bool) {
	v, _ := h.failing.LoadOrStore(target, &record{})
	r := v.(*record)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = Attempt{Target: target, Failures: r.last.Failures + 1, At: now, NoWay: noWay}
	if why != nil {
		r.last.Reason = why.Error()
	}
}

// Failing gives the targets whose last attempt came to nothing, ordered by target.
func (h *Health) Failing() (out []Attempt) {
	h.failing.Range(func(_, v any) bool {
		r := v.(*record)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.last.Failures > 0 {
			out = append(out, r.last)
		}
		return true
	})
	slices.SortFunc(out, func(a, b Attempt) int { return cmp.Compare(a.Target, b.Target) })
	return out
}

// usable reports whether a target seems able to serve.
func (h *Health) usable(target string, now time.Time) bool {
	if (*h.unhealthy.Load())[target] {
		return false
	}
	v, ok := h.failing.Load(target)
	if !ok {
		return true
	}
	r := v.(*record)
	r.mu.Lock()
	defer r.mu.Unlock()
	return !now.Before(r.until)
}

// Keep forgets all other targets than these: ids are never used again.
func (h *Health) Keep(targets map[string]bool) {
	h.failing.Range(func(k, _ any) bool {
		if !targets[k.(string)] {
			h.failing.Delete(k)
		}
		return true
	})
}
