package gossipkey

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
	idle = 30 * time.Second       // how often the worker looks although nothing changed
	busy = 250 * time.Millisecond // the same while it waits for nodes, or for the database
)

// keySize is of AES-256, which memberlist takes.
const keySize = 32

// Fleet says what nodes have applied.
type Fleet interface {
	Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing
}

// Worker makes the first key and takes the steps of rotations. Several replicas may run one: a step is taken
// only if the rows still are what it was decided on.
type Worker struct {
	store  *store.Store
	sealer *authority.Sealer
	world  *model.Current
	fleet  Fleet
	log    *slog.Logger
	steps  *prometheus.CounterVec

	seen []*model.GossipKey // the state that was last found
	at   model.Revision     // where it was first found: nodes that have applied that have the state
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	w := &Worker{store: s, sealer: sealer, world: world, fleet: fleet, log: log, steps: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_gossip_key_steps_total", Help: "Steps of the rotation of the gossip key that this replica took, by result."}, []string{"step", "result"})}
	reg.MustRegister(w.steps)
	return w
}

// String names the task.
func (w *Worker) String() string { return "gossip keys" }

// Run looks after every change, and while a rotation is at work four times a second, until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		limit := idle
		if w.look(ctx, m, time.Now()) != Rest {
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

// look takes the next step if it is time for it, and returns what the step is.
func (w *Worker) look(ctx context.Context, m *model.Model, now time.Time) Step {
	if m.Revision() == 0 {
		return Rest // not read yet
	}
	keys := slices.Collect(m.GossipKeys())
	if !same(keys, w.seen) || w.at == 0 {
		w.seen, w.at = keys, m.Revision()
	}
	step := Next(keys, w.readable)
	if step == Rest || step.Waits() && !w.free(m, keys, now) {
		return step
	}
	w.take(ctx, step, keys)
	return step
}

// free reports whether all nodes that count have applied the state of the keys.
func (w *Worker) free(m *model.Model, keys []*model.GossipKey, now time.Time) bool {
	var nodes []model.NodeID
	for n := range m.Nodes() {
		if n.Enrolled() {
			nodes = append(nodes, n.ID)
		}
	}
	var began time.Time // of the state, by the database's clock
	for _, k := range keys {
		if k.Updated.After(began) {
			began = k.Updated
		}
	}
	return presence.Free(w.fleet.Standing(now, nodes, w.at), now.Sub(began))
}

func (w *Worker) take(ctx context.Context, step Step, decided []*model.GossipKey) {
	rev, err := w.store.Tx(ctx, "worker:gossip-keys", func(tx *store.Tx) error {
		keys, err := tx.LockGossipKeys(ctx)
		if err != nil || !same(keys, decided) { // another replica was quicker, or a rotation was asked for
			return err
		}
		e, err := Take(step, keys, w.readable, w.fresh)
		if err != nil {
			return err
		}
		return write(ctx, tx, e)
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.steps.WithLabelValues(string(step), "failed").Inc()
		w.log.Warn("step of the gossip key's rotation not taken", "step", step, "err", err)
	case rev > 0:
		w.steps.WithLabelValues(string(step), "ok").Inc()
		level := slog.LevelInfo
		if step == Discard || step == Restore {
			level = slog.LevelError // somebody wrote what this program did not
		}
		w.log.Log(ctx, level, "step of the gossip key's rotation taken", "step", step, "rev", rev)
	}
}

func write(ctx context.Context, tx *store.Tx, e Edits) error {
	for _, id := range e.Delete {
		if err := tx.DeleteGossipKey(ctx, id); err != nil {
			return err
		}
	}
	for _, k := range e.Update {
		if err := tx.UpdateGossipKey(ctx, k); err != nil {
			return err
		}
	}
	for _, k := range e.Create {
		if err := tx.CreateGossipKey(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// fresh makes a key and seals it for its row.
func (w *Worker) fresh(id model.GossipKeyID) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return w.sealer.Seal(key, id.String())
}

func (w *Worker) readable(k *model.GossipKey) bool {
	key, err := w.sealer.Open(k.SealedKey, k.ID.String())
	return err == nil && len(key) == keySize
}
