package accesskey

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/rotation"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	pruneEvery = time.Minute
	codesLive  = time.Hour // longer than any is good
)

// Worker takes the steps, and removes what was revoked, or was given out, too long ago to matter.
type Worker struct {
	*rotation.Worker[*model.AccessKey]
	store *store.Store
	log   *slog.Logger
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet rotation.Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	seals := vault{sealer}
	return &Worker{store: s, log: log, Worker: rotation.New(rotation.Plan[*model.AccessKey]{
		Name: "access keys", Metric: "cp_access_key_steps_total", Busy: time.Second,
		Sets: func(m *model.Model) []rotation.Set[*model.AccessKey] {
			return []rotation.Set[*model.AccessKey]{{Keys: slices.Collect(m.AccessKeys()), Nodes: rotation.Enrolled(m.Nodes())}}
		},
		State: func(k *model.AccessKey) (string, time.Time) { return k.ID.String() + " " + string(k.State), k.Updated },
		Next: func(keys []*model.AccessKey, now time.Time) rotation.Step {
			step := Next(keys, now, seals.readable)
			if step == Rest {
				return rotation.Step{}
			}
			return rotation.Step{Name: string(step), Waits: step == Sign, Grave: step == Discard}
		},
		Lock: func(ctx context.Context, tx *store.Tx, _ model.PoolID) ([]*model.AccessKey, error) {
			return tx.LockAccessKeys(ctx)
		},
		Take: func(ctx context.Context, tx *store.Tx, _ model.PoolID, step rotation.Step, keys []*model.AccessKey, now time.Time) error {
			return seals.write(ctx, tx, Take(Step(step.Name), keys, now, seals.readable))
		},
	}, s, world, fleet, log, reg)}
}

// Run takes steps and prunes until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	var pruning sync.WaitGroup
	defer pruning.Wait()
	pruning.Go(func() {
		tick := time.NewTicker(pruneEvery)
		defer tick.Stop()
		for {
			w.prune(ctx, time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return w.Worker.Run(ctx)
}

// vault makes keys, and opens them.
type vault struct{ *authority.Sealer }

func (v vault) write(ctx context.Context, tx *store.Tx, e Edits) error {
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
	if k.SealedKey, err = v.Seal(private.Seed(), k.ID.String()); err != nil {
		return err
	}
	return tx.CreateAccessKey(ctx, k)
}

func (v vault) readable(k *model.AccessKey) bool {
	_, err := Open(k, v.Sealer.Open)
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

// prune forgets what no token rests on any more.
func (w *Worker) prune(ctx context.Context, now time.Time) {
	_, err := w.store.Tx(ctx, "worker:access-keys", func(tx *store.Tx) error {
		_, err := tx.PruneAccess(ctx, now.Add(-Verifies), now.Add(-codesLive))
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.log.Warn("old revocations and codes not forgotten", "err", err)
	}
}
