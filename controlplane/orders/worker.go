package orders

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// actor is recorded with the revisions that orders make.
const actor = "worker:orders"

// Options is what a Worker needs.
type Options struct {
	Store     *store.Store
	Sealer    *authority.Sealer
	World     *model.Current
	Gate      Gate
	Preflight Preflight
	Fleet     Fleet
	Alarm     Alarm  // nil: due orders are found by looking
	Replica   string // who holds leases
	UserAgent string
	Log       *slog.Logger
	Reg       prometheus.Registerer

	Lease  time.Duration // how long an order waits for who was killed; 30 s if zero
	AtOnce int           // how many orders are carried at once; 16 if zero
	Every  time.Duration // how often due orders are looked for; 1 s if zero
}

// Alarm wakes a replica, whichever, at a time: a hint that shortens waiting, while what is due is found by
// looking.
type Alarm interface {
	Wake(ctx context.Context, at time.Time) error
}

// Worker carries orders. Any number of replicas may run one.
type Worker struct {
	Options
	accounts *accounts
	kick     chan struct{}
	replan   chan struct{}
	pauses   *pauses
	found    sync.Map // model.OrderID -> Methods
	steps    *prometheus.CounterVec
	ended    *prometheus.CounterVec
	problems *prometheus.CounterVec
	spread   prometheus.Histogram
	forsaken prometheus.Counter

	at func(point string) // nil, or where tests end the process
}

// New makes a Worker; Run does the work.
func New(o Options) *Worker {
	o.Lease, o.AtOnce, o.Every = cmp.Or(o.Lease, 30*time.Second), cmp.Or(o.AtOnce, 16), cmp.Or(o.Every, time.Second)
	asked := &pauses{store: o.Store, log: o.Log}
	w := &Worker{
		Options: o, kick: make(chan struct{}, 1), replan: make(chan struct{}, 1), pauses: asked,
		accounts: &accounts{store: o.Store, sealer: o.Sealer, userAgent: o.UserAgent, pauses: asked, open: map[model.IssuerID]*account{}},
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cp_order_steps_total", Help: "Steps of certificate orders that this replica took, by result.",
		}, []string{"step", "result"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cp_orders_finished_total", Help: "Certificate orders that this replica brought to their end, by state.",
		}, []string{"state"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cp_order_problems_total", Help: "Attempts of this replica that a certificate authority, or what is asked before it, did not let pass, by type of problem (RFC 8555 6.7).",
		}, []string{"type"}),
		spread: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cp_certificate_spread_seconds", Help: "From the publication of an ordered certificate until every node that is connected had applied it.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800},
		}),
		forsaken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cp_certificates_not_applied_total", Help: "Ordered certificates that nodes had not applied an hour after their publication, although they were connected.",
		}),
	}
	o.Reg.MustRegister(w.steps, w.ended, w.problems, w.spread, w.forsaken)
	return w
}

// String names the task.
func (w *Worker) String() string { return "orders" }

// Kick makes the worker look for due orders at once.
func (w *Worker) Kick() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Replan makes the planner look again at once.
func (w *Worker) Replan() {
	select {
	case w.replan <- struct{}{}:
	default:
	}
}

// Run carries orders until ctx ends. What is under way then ends its step; another replica goes on.
func (w *Worker) Run(ctx context.Context) error {
	var carrying sync.WaitGroup
	defer w.accounts.Close()
	defer carrying.Wait()
	places := make(chan struct{}, w.AtOnce)
	carrying.Go(func() { w.rollovers(ctx) })
	carrying.Go(func() { w.revocations(ctx) })
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case places <- struct{}{}:
		}
		o, err := w.Store.ClaimOrder(ctx, w.Replica, w.Lease, time.Now())
		if err == nil {
			carrying.Go(func() {
				defer func() { <-places; w.Kick() }()
				w.carry(ctx, o)
			})
			continue
		}
		<-places
		if fault.Of(err) != fault.NotFound && ctx.Err() == nil {
			w.Log.Warn("orders not looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.kick:
		}
	}
}
