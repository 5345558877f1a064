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
	"github.com/warrenedge/warren/controlplane/rotation"
	"github.com/warrenedge/warren/controlplane/store"
)

// keySize is of AES-256, which memberlist takes.
const keySize = 32

// Worker makes the first key and takes the steps of rotations.
type Worker = rotation.Worker[*model.GossipKey]

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet rotation.Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	seals := vault{sealer}
	return rotation.New(rotation.Plan[*model.GossipKey]{
		Name: "gossip keys", Metric: "cp_gossip_key_steps_total", Busy: 250 * time.Millisecond,
		Sets: func(m *model.Model) []rotation.Set[*model.GossipKey] {
			return []rotation.Set[*model.GossipKey]{{Keys: slices.Collect(m.GossipKeys()), Nodes: rotation.Enrolled(m.Nodes())}}
		},
		State: func(k *model.GossipKey) (string, time.Time) { return k.ID.String() + " " + string(k.State), k.Updated },
		Next: func(keys []*model.GossipKey, _ time.Time) rotation.Step {
			step := Next(keys, seals.readable)
			if step == Rest {
				return rotation.Step{}
			}
			return rotation.Step{Name: string(step), Waits: step.Waits(), Grave: step == Discard || step == Restore}
		},
		Lock: func(ctx context.Context, tx *store.Tx, _ model.PoolID) ([]*model.GossipKey, error) {
			return tx.LockGossipKeys(ctx)
		},
		Take: func(ctx context.Context, tx *store.Tx, _ model.PoolID, step rotation.Step, keys []*model.GossipKey, _ time.Time) error {
			e, err := Take(Step(step.Name), keys, seals.readable, seals.fresh)
			if err != nil {
				return err
			}
			return write(ctx, tx, e)
		},
	}, s, world, fleet, log, reg)
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

// vault makes keys, and opens them.
type vault struct{ *authority.Sealer }

// fresh makes a key and seals it for its row.
func (v vault) fresh(id model.GossipKeyID) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return v.Seal(key, id.String())
}

func (v vault) readable(k *model.GossipKey) bool {
	key, err := v.Open(k.SealedKey, k.ID.String())
	return err == nil && len(key) == keySize
}
