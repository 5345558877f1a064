package traffic

import (
	"context"
	"log/slog"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// How often the Keeper works, and how much at once.
const (
	rollEvery   = 30 * time.Second
	removeEvery = 20 * time.Minute
	removeMost  = 5000 // rows of a transaction
	rollBack    = 2*oldest + model.TrafficCoarse
)

// Keeper adds up what was counted, and removes what is too old. Several replicas that do so at once do no harm.
type Keeper struct {
	store *store.Store
	log   *slog.Logger
}

// NewKeeper makes a Keeper; Run does the work.
func NewKeeper(s *store.Store, log *slog.Logger) *Keeper { return &Keeper{s, log} }

// String names the task.
func (k *Keeper) String() string { return "traffic keeper" }

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(rollEvery)
	defer tick.Stop()
	rolled, removed := time.Unix(0, 0), time.Time{}
	for {
		now := time.Now()
		if err := k.Roll(ctx, now, rolled); err == nil {
			rolled = now
		} else if ctx.Err() == nil {
			k.log.Warn("traffic not added up", "err", err)
		}
		if now.Sub(removed) >= removeEvery {
			removed = now
			if err := k.Remove(ctx, now); err != nil && ctx.Err() == nil {
				k.log.Warn("old requests and traffic not removed", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Roll adds up the windows of which some part was stored since the last time. A transaction that began to store
// before that may have ended after it: hence the margin.
func (k *Keeper) Roll(ctx context.Context, now, last time.Time) error {
	_, err := k.store.Tx(ctx, "traffic", func(tx *store.Tx) error {
		_, err := tx.RollUpTraffic(ctx, now.Add(-rollBack).Truncate(model.TrafficCoarse), last.Add(-time.Minute))
		return err
	})
	return err
}

// Remove removes what nobody wants any longer: days that are over for all organizations, and rows of those that want less.
func (k *Keeper) Remove(ctx context.Context, now time.Time) error {
	days, most := map[model.OrgID]int{}, model.RequestLogDays
	_, err := k.store.Tx(ctx, "traffic", func(tx *store.Tx) (err error) {
		if err = tx.DeleteTraffic(ctx, now.Add(-model.TrafficCoarseKept)); err == nil {
			days, err = tx.RequestLogSettings(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range days {
		most = max(most, d)
	}
	dropped, err := k.store.DropPartitions(ctx, now.AddDate(0, 0, -most), now.Add(-model.TrafficFineKept))
	if err != nil {
		return err
	}
	if len(dropped) > 0 {
		k.log.Info("old requests and traffic removed", "partitions", dropped)
	}
	if most > model.RequestLogDays { // those who said nothing want less than what is there
		err = k.store.View(ctx, func(tx *store.Tx) error {
			orgs, err := tx.OrganizationIDs(ctx)
			for _, o := range orgs {
				if _, said := days[o]; !said {
					days[o] = model.RequestLogDays
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for org, d := range days {
		if err := k.rows(ctx, org, now.AddDate(0, 0, -d)); err != nil {
			return err
		}
	}
	return nil
}

// rows removes the requests of an organization that are older than it wants, some at a time.
func (k *Keeper) rows(ctx context.Context, org model.OrgID, before time.Time) error {
	for {
		var n int64
		_, err := k.store.Tx(ctx, "traffic", func(tx *store.Tx) (err error) {
			n, err = tx.DeleteRequests(ctx, org, before, removeMost)
			return err
		})
		if err != nil || n < removeMost {
			return err
		}
	}
}
