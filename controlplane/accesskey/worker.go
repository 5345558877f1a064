package accesskey

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
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

	pruneEvery = time.Minute
	codesLive  = time.Hour // longer than any is good
)

// Fleet says what nodes have applied.
type Fleet interface {
	Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing
}

// Worker takes the steps, and removes what was revoked, or was given out, too long ago to matter. Several replicas may
// run one: a step is taken only if the rows still are what it was decided on.
type Worker struct {
	store  *store.Store
	sealer *authority.Sealer
	world  *model.Current
	fleet  Fleet
	log    *slog.Logger
	steps  *prometheus.CounterVec

	keys   []*model.AccessKey // as last seen
	at     model.Revision     // in which they were first so: nodes that have applied it know them
	pruned time.Time
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	w := &Worker{store: s, sealer: sealer, world: world, fleet: fleet, log: log, steps: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_access_key_steps_total", Help: "Steps of the rotation of access keys that this replica took, by result."}, []string{"step", "result"})}
	reg.MustRegister(w.steps)
	return w
}

// String names the task.
func (w *Worker) String() string { return "access keys" }

// Run looks after every change until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		limit := idle
		if w.look(ctx, m, time.Now()) {
			limit = busy
		}
		w.prune(ctx, time.Now())
		next, cancel := context.WithTimeout(ctx, limit)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// look takes the next step and reports whether one is due.
func (w *Worker) look(ctx context.Context, m *model.Model, now time.Time) (due bool) {
	if m.Revision() == 0 {
		return false // nothing was read yet
	}
	keys := slices.Collect(m.AccessKeys())
	if w.at == 0 || !same(w.keys, keys) {
		w.keys, w.at = keys, m.Revision()
	}
	step := Next(keys, now, w.readable)
	if step == Rest {
		return false
	}
	if step == Sign && !w.known(m, keys, now) {
		return true
	}
	w.take(ctx, step, keys, now)
	return true
}

// known reports whether no node is in the way of signing with the newest key.
func (w *Worker) known(m *model.Model, keys []*model.AccessKey, now time.Time) bool {
	var nodes []model.NodeID
	for n := range m.Nodes() {
		if n.Enrolled() {
			nodes = append(nodes, n.ID)
		}
	}
	var since time.Time // the newest state has lasted, by the database's clock
	for _, k := range keys {
		if k.Updated.After(since) {
			since = k.Updated
		}
	}
	return len(nodes) == 0 || presence.Free(w.fleet.Standing(now, nodes, w.at), now.Sub(since))
}

func (w *Worker) take(ctx context.Context, step Step, decided []*model.AccessKey, now time.Time) {
	rev, err := w.store.Tx(ctx, "worker:access-keys", func(tx *store.Tx) error {
		keys, err := tx.LockAccessKeys(ctx)
		if err != nil || !same(keys, decided) { // another replica was quicker
			return err
		}
		return w.write(ctx, tx, Take(step, keys, now, w.readable))
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.steps.WithLabelValues(string(step), "failed").Inc()
		w.log.Warn("step of an access key's rotation not taken", "step", step, "err", err)
	case rev > 0:
		w.steps.WithLabelValues(string(step), "ok").Inc()
		level := slog.LevelInfo
		if step == Discard {
			level = slog.LevelError // somebody wrote what this program did not
		}
		w.log.Log(ctx, level, "step of an access key's rotation taken", "step", step, "rev", rev)
	}
}

func (w *Worker) write(ctx context.Context, tx *store.Tx, e Edits) error {
	for _, id := range e.Delete {
		if err := tx.DeleteAccessKey(ctx, id); err != nil {
			return err
		}
	}
	for _, m := range e.Move {
		if err := tx.MoveAccessKey(ctx, m.ID, m.State); err != nil {
			return err
		}
	}
	if e.Create == "" {
		return nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make an access key: %w", err)
	}
	k := &model.AccessKey{ID: model.AccessKeyID{}.New(), State: e.Create, Public: public}
	if k.SealedKey, err = w.sealer.Seal(private.Seed(), k.ID.String()); err != nil {
		return err
	}
	return tx.CreateAccessKey(ctx, k)
}

func (w *Worker) readable(k *model.AccessKey) bool {
	_, err := Open(k, w.sealer.Open)
	return err == nil
}

// Open gives the private half of a key.
func Open(k *model.AccessKey, open func(sealed []byte, aad string) ([]byte, error)) (ed25519.PrivateKey, error) {
	seed, err := open(k.SealedKey, k.ID.String())
	if err != nil {
		return nil, fmt.Errorf("access key %s: %w", k.ID, err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("access key %s: %d bytes, want %d", k.ID, len(seed), ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !k.Public.Equal(private.Public()) {
		return nil, fmt.Errorf("access key %s: its public half is that of another", k.ID)
	}
	return private, nil
}

// prune forgets, once a minute.
func (w *Worker) prune(ctx context.Context, now time.Time) {
	if now.Sub(w.pruned) < pruneEvery {
		return
	}
	w.pruned = now
	_, err := w.store.Tx(ctx, "worker:access-keys", func(tx *store.Tx) error {
		_, err := tx.PruneAccess(ctx, now.Add(-Verifies), now.Add(-codesLive))
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.log.Warn("old revocations and codes not forgotten", "err", err)
	}
}
