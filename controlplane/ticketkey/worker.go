package ticketkey

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	idle = 30 * time.Second // how often the worker looks although nothing changed
	busy = time.Second      // the same while it waits for nodes, or for the database

	keySize = 32
)

// Fleet says what nodes have applied.
type Fleet interface {
	Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing
}

// Worker takes the steps. Several replicas may run one: a step is taken only if the rows still are what it was
// decided on.
type Worker struct {
	store  *store.Store
	sealer *authority.Sealer
	world  *model.Current
	fleet  Fleet
	log    *slog.Logger
	steps  *prometheus.CounterVec

	seen map[model.PoolID]sighting
}

// sighting is a state of a pool's keys, and where it was first found: nodes that have applied that have it.
type sighting struct {
	keys []*model.TicketKey
	at   model.Revision
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	w := &Worker{store: s, sealer: sealer, world: world, fleet: fleet, log: log, seen: map[model.PoolID]sighting{}, steps: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_ticket_key_steps_total", Help: "Steps of the rotation of session ticket keys that this replica took, by result."}, []string{"step", "result"})}
	reg.MustRegister(w.steps)
	return w
}

// String names the task.
func (w *Worker) String() string { return "ticket keys" }

// Run looks after every change until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		limit := idle
		if w.look(ctx, m, time.Now()) {
			limit = busy
		}
		next, cancel := context.WithTimeout(ctx, limit)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// look takes the next step of each pool that has nodes, and reports whether one is due somewhere.
func (w *Worker) look(ctx context.Context, m *model.Model, now time.Time) (due bool) {
	for p := range m.Pools() {
		var nodes []model.NodeID
		for n := range m.NodesOf(p.ID) {
			if n.Enrolled() {
				nodes = append(nodes, n.ID)
			}
		}
		if len(nodes) == 0 {
			continue
		}
		keys := slices.Collect(m.TicketKeysOf(p.ID))
		if was, ok := w.seen[p.ID]; !ok || !same(was.keys, keys) {
			w.seen[p.ID] = sighting{keys, m.Revision()}
		}
		step := Next(keys, now, w.readable)
		if step == Rest {
			continue
		}
		due = true
		if step == Seal && !presence.Free(w.fleet.Standing(now, nodes, w.seen[p.ID].at), now.Sub(taught(keys))) {
			continue
		}
		w.take(ctx, p.ID, step, keys, now)
	}
	return due
}

// taught is since when the newest state has lasted, by the database's clock.
func taught(keys []*model.TicketKey) (since time.Time) {
	for _, k := range keys {
		if k.Updated.After(since) {
			since = k.Updated
		}
	}
	return since
}

func (w *Worker) take(ctx context.Context, pool model.PoolID, step Step, decided []*model.TicketKey, now time.Time) {
	rev, err := w.store.Tx(ctx, "worker:ticket-keys", func(tx *store.Tx) error {
		keys, err := tx.LockTicketKeys(ctx, pool)
		if err != nil || !same(keys, decided) { // another replica was quicker
			return err
		}
		return w.write(ctx, tx, pool, Take(step, keys, now, w.readable))
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.steps.WithLabelValues(string(step), "failed").Inc()
		w.log.Warn("step of a ticket key's rotation not taken", "pool", pool, "step", step, "err", err)
	case rev > 0:
		w.steps.WithLabelValues(string(step), "ok").Inc()
		level := slog.LevelInfo
		if step == Discard {
			level = slog.LevelError // somebody wrote what this program did not
		}
		w.log.Log(ctx, level, "step of a ticket key's rotation taken", "pool", pool, "step", step, "rev", rev)
	}
}

func (w *Worker) write(ctx context.Context, tx *store.Tx, pool model.PoolID, e Edits) error {
	for _, id := range e.Delete {
		if err := tx.DeleteTicketKey(ctx, id); err != nil {
			return err
		}
	}
	for _, m := range e.Move {
		if err := tx.MoveTicketKey(ctx, m.ID, m.State); err != nil {
			return err
		}
	}
	if e.Create == "" {
		return nil
	}
	k := &model.TicketKey{ID: model.TicketKeyID{}.New(), Pool: pool, State: e.Create}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails since Go 1.24
	var err error
	if k.SealedKey, err = w.sealer.Seal(key, k.ID.String()); err != nil {
		return err
	}
	return tx.CreateTicketKey(ctx, k)
}

func (w *Worker) readable(k *model.TicketKey) bool {
	key, err := w.sealer.Open(k.SealedKey, k.ID.String())
	return err == nil && len(key) == keySize
}
