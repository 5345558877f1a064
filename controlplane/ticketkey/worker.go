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
	"github.com/warrenedge/warren/controlplane/rotation"
	"github.com/warrenedge/warren/controlplane/store"
)

const keySize = 32

// Worker takes the steps of each pool that has nodes.
type Worker = rotation.Worker[*model.TicketKey]

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, sealer *authority.Sealer, world *model.Current, fleet rotation.Fleet, log *slog.Logger, reg prometheus.Registerer) *Worker {
	seals := vault{sealer}
	return rotation.New(rotation.Plan[*model.TicketKey]{
		Name: "ticket keys", Metric: "cp_ticket_key_steps_total", Busy: time.Second,
		Sets:  sets,
		State: func(k *model.TicketKey) (string, time.Time) { return k.ID.String() + " " + string(k.State), k.Updated },
		Next: func(keys []*model.TicketKey, now time.Time) rotation.Step {
			step := Next(keys, now, seals.readable)
			if step == Rest {
				return rotation.Step{}
			}
			return rotation.Step{Name: string(step), Waits: step == Seal, Grave: step == Discard}
		},
		Lock: func(ctx context.Context, tx *store.Tx, pool model.PoolID) ([]*model.TicketKey, error) {
			return tx.LockTicketKeys(ctx, pool)
		},
		Take: func(ctx context.Context, tx *store.Tx, pool model.PoolID, step rotation.Step, keys []*model.TicketKey, now time.Time) error {
			return seals.write(ctx, tx, pool, Take(Step(step.Name), keys, now, seals.readable))
		},
	}, s, world, fleet, log, reg)
}

// sets are the keys of each pool that has nodes.
func sets(m *model.Model) (out []rotation.Set[*model.TicketKey]) {
	for p := range m.Pools() {
		if nodes := rotation.Enrolled(m.NodesOf(p.ID)); len(nodes) > 0 {
			out = append(out, rotation.Set[*model.TicketKey]{Pool: p.ID, Keys: slices.Collect(m.TicketKeysOf(p.ID)), Nodes: nodes})
		}
	}
	return out
}

// vault makes keys, and opens them.
type vault struct{ *authority.Sealer }

func (v vault) write(ctx context.Context, tx *store.Tx, pool model.PoolID, e Edits) error {
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
	if k.SealedKey, err = v.Seal(key, k.ID.String()); err != nil {
		return err
	}
	return tx.CreateTicketKey(ctx, k)
}

func (v vault) readable(k *model.TicketKey) bool {
	key, err := v.Open(k.SealedKey, k.ID.String())
	return err == nil && len(key) == keySize
}
