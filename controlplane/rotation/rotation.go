// Package rotation carries keys that nodes have to know from one state to the next.
package rotation

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
)

// idle is how often a Worker looks although nothing changed.
const idle = 30 * time.Second

// Fleet says what nodes have applied.
type Fleet interface {
	Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing
}

// Set is the keys of a pool, or of the whole cluster, sorted by id, and the nodes that have to know them.
type Set[K any] struct {
	Pool  model.PoolID // zero: the cluster's
	Keys  []K
	Nodes []model.NodeID
}

// Step leads keys from one state to the next. Where a rotation is, is in the rows alone.
type Step struct {
	Name  string // "": there is nothing to do
	Waits bool   // until all nodes that count have applied the present state
	Grave bool   // somebody wrote what this program did not
}

// Plan is what a kind of keys needs.
type Plan[K any] struct {
	Name   string        // of the task, such as "gossip keys"
	Metric string        // name of the counter of steps
	Busy   time.Duration // how often to look while a step waits for nodes, or for the database
	Sets   func(m *model.Model) []Set[K]
	State  func(k K) (of string, since time.Time) // id and state in one text; since when, by the database's clock
	Next   func(keys []K, now time.Time) Step
	// Lock returns the keys of a set as they are now, and keeps others from writing them until the transaction ends; Take does
	// what a step does to them.
	Lock func(ctx context.Context, tx *store.Tx, pool model.PoolID) ([]K, error)
	Take func(ctx context.Context, tx *store.Tx, pool model.PoolID, step Step, keys []K, now time.Time) error
}

// Worker takes the steps of a Plan. Several replicas may run one: a step is taken only if the rows still are what it was
// decided on.
type Worker[K any] struct {
	plan  Plan[K]
	store *store.Store
	world *model.Current
	fleet Fleet
	log   *slog.Logger
	steps *prometheus.CounterVec

	seen map[model.PoolID]sighting
}

// sighting is a state of a set, and where it was first found: nodes that have applied that have it.
type sighting struct {
	states []string
	at     model.Revision
}

// New makes a Worker; Run does the work.
func New[K any](p Plan[K], s *store.Store, world *model.Current, fleet Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker[K] {
	w := &Worker[K]{plan: p, store: s, world: world, fleet: fleet, log: log, seen: map[model.PoolID]sighting{}, steps: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: p.Metric, Help: "Steps of the rotation of " + p.Name + " that this replica took, by result."}, []string{"step", "result"})}
	reg.MustRegister(w.steps)
	return w
}

// String names the task.
func (w *Worker[K]) String() string { return w.plan.Name }

// Run looks after every change, and more often while a step is due, until ctx ends.
func (w *Worker[K]) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		limit := idle
		if w.Look(ctx, m, time.Now()) {
			limit = w.plan.Busy
		}
		next, cancel := context.WithTimeout(ctx, limit)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Look takes the next step of each set if it is time for it, and reports whether one is due somewhere. Run calls it.
func (w *Worker[K]) Look(ctx context.Context, m *model.Model, now time.Time) (due bool) {
	if m.Revision() == 0 {
		return false // not read yet
	}
	for _, set := range w.plan.Sets(m) {
		states := w.states(set.Keys)
		if was, ok := w.seen[set.Pool]; !ok || !slices.Equal(was.states, states) {
			w.seen[set.Pool] = sighting{states, m.Revision()}
		}
		step := w.plan.Next(set.Keys, now)
		if step.Name == "" {
			continue
		}
		due = true
		if !step.Waits || w.free(set, now) {
			w.take(ctx, set.Pool, step, states, now)
		}
	}
	return due
}

func (w *Worker[K]) states(keys []K) (out []string) {
	for _, k := range keys {
		of, _ := w.plan.State(k)
		out = append(out, of)
	}
	return out
}

// free reports whether all nodes that count have applied the state of a set.
func (w *Worker[K]) free(set Set[K], now time.Time) bool {
	var began time.Time
	for _, k := range set.Keys {
		if _, since := w.plan.State(k); since.After(began) {
			began = since
		}
	}
	return presence.Free(w.fleet.Standing(now, set.Nodes, w.seen[set.Pool].at), now.Sub(began))
}

func (w *Worker[K]) take(ctx context.Context, pool model.PoolID, step Step, decided []string, now time.Time) {
	rev, err := w.store.Tx(ctx, "worker:"+strings.ReplaceAll(w.plan.Name, " ", "-"), func(tx *store.Tx) error {
		keys, err := w.plan.Lock(ctx, tx, pool)
		if err != nil || !slices.Equal(w.states(keys), decided) { // another replica was quicker, or a rotation was asked for
			return err
		}
		return w.plan.Take(ctx, tx, pool, step, keys, now)
	})
	log := w.log.With("keys", w.plan.Name, "step", step.Name)
	if !pool.IsZero() {
		log = log.With("pool", pool)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.steps.WithLabelValues(step.Name, "failed").Inc()
		log.Warn("step of a rotation not taken", "err", err)
	case rev > 0:
		w.steps.WithLabelValues(step.Name, "ok").Inc()
		level := slog.LevelInfo
		if step.Grave {
			level = slog.LevelError
		}
		log.Log(ctx, level, "step of a rotation taken", "rev", rev)
	}
}

// Enrolled are the ids of those nodes that have joined.
func Enrolled(nodes iter.Seq[*model.Node]) (out []model.NodeID) {
	for n := range nodes {
		if n.Enrolled() {
			out = append(out, n.ID)
		}
	}
	return out
}
