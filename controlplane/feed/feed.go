// Package feed follows committed changes: it delivers each step of the configuration in commit order.
package feed

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/backoff"
)

// Source is where changes come from. Notifications are hints, queries are truth.
type Source interface {
	Load(ctx context.Context) (model.Batch, error)
	Changes(ctx context.Context, after model.Revision, limit int) (model.Batch, error)
	// Listen calls wake when there may be something new; it returns when it can't listen any more.
	Listen(ctx context.Context, wake func()) error
}

const (
	// Poll is how often the source is asked although nothing was announced.
	Poll = time.Second
	// batch is how many changed rows are worth reading one by one; beyond it everything is read again.
	batch = 10_000
)

// Feed delivers batches to one function, one at a time. The first is a reload; each later one starts
// where the one before ended.
type Feed struct {
	src     Source
	deliver func(model.Batch)
	log     *slog.Logger
	hint    chan struct{}
	reached atomic.Uint64
	fresh   atomic.Int64 // unix nanoseconds of the last answer of the source

	metrics metrics
}

type metrics struct {
	revision prometheus.Gauge
	batches  *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		revision: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cp_feed_revision", Help: "Newest revision that this replica has read."}),
		batches:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_feed_batches_total", Help: "Steps delivered, by kind."}, []string{"kind"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_feed_failures_total", Help: "Failures of the source, by what failed."}, []string{"what"}),
	}
	reg.MustRegister(m.revision, m.batches, m.failures)
	return m
}

// New makes a Feed; Run does the work. deliver must not block for long: nothing else is read meanwhile.
func New(src Source, deliver func(model.Batch), log *slog.Logger, reg prometheus.Registerer) *Feed {
	return &Feed{src: src, deliver: deliver, log: log, hint: make(chan struct{}, 1), metrics: newMetrics(reg)}
}

// String names the task.
func (f *Feed) String() string { return "feed" }

// Reached is the newest revision delivered; 0 before the first load.
func (f *Feed) Reached() model.Revision { return model.Revision(f.reached.Load()) }

// Loaded reports whether there was a first load.
func (f *Feed) Loaded() bool { return f.fresh.Load() != 0 }

// Age is how long ago the source last answered; it grows while the database is away.
func (f *Feed) Age(now time.Time) time.Duration { return now.Sub(time.Unix(0, f.fresh.Load())) }

// Run follows the source until ctx ends. While the source fails it tries again, more and more slowly.
func (f *Feed) Run(ctx context.Context) error {
	listening := make(chan struct{})
	go func() { defer close(listening); f.listen(ctx) }()
	defer func() { <-listening }()

	f.insist(ctx, "changes", func(well func()) error { return f.follow(ctx, well) })
	return nil
}

// insist calls do again and again until ctx ends, more and more slowly until do says that it goes well. Of an
// outage the log has the beginning and the end.
func (f *Feed) insist(ctx context.Context, what string, do func(well func()) error) {
	wait := backoff.Backoff{Max: 5 * time.Second}
	failing := false
	well := func() {
		wait.Reset()
		if failing {
			failing = false
			f.log.Info(what + " are back")
		}
	}
	for {
		err := do(well)
		if ctx.Err() != nil {
			return
		}
		f.metrics.failures.WithLabelValues(what).Inc()
		if !failing {
			failing = true
			f.log.Warn(what+" can't be read", "err", err)
		}
		if !wait.Wait(ctx) {
			return
		}
	}
}

// follow delivers every change after the reached revision, in order, until ctx ends or the source fails.
func (f *Feed) follow(ctx context.Context, well func()) error {
	for {
		b, err := f.next(ctx)
		if err != nil {
			return err
		}
		well()
		news := b.Reload || b.To != b.From
		if news {
			f.hand(b)
		}
		f.fresh.Store(time.Now().UnixNano())
		if news {
			continue // there may be more: wait only when caught up
		}
		timer := time.NewTimer(Poll) // the poll that makes it safe
		select {
		case <-ctx.Done():
		case <-f.hint:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (f *Feed) next(ctx context.Context) (model.Batch, error) {
	if !f.Loaded() {
		return f.src.Load(ctx)
	}
	return f.src.Changes(ctx, f.Reached(), batch)
}

func (f *Feed) hand(b model.Batch) {
	kind := "changes"
	if b.Reload {
		kind = "reload"
		f.log.Info("configuration loaded", "rev", b.To)
	}
	f.deliver(b)
	f.reached.Store(uint64(b.To))
	f.metrics.revision.Set(float64(b.To))
	f.metrics.batches.WithLabelValues(kind).Inc()
}

// listen keeps a listening connection; without one, changes are found by the poll.
func (f *Feed) listen(ctx context.Context) {
	f.insist(ctx, "notifications", func(well func()) error {
		return f.src.Listen(ctx, func() {
			well()
			select {
			case f.hint <- struct{}{}:
			default: // one hint is enough
			}
		})
	})
}
