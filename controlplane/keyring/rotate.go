package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store"
)

// Rotation replaces keys while replicas serve. Each of its steps is a transaction: one that is cut off is finished
// by the next call.
type Rotation struct {
	Store *store.Store
	KEK   *authority.KEK // that the data keys are wrapped with
	// Settle is how long replicas get to learn of a new data key before the old one is retired. Who has not learned
	// until then is refused its next write once. Twice every if zero.
	Settle time.Duration
	Say    func(progress string) // a line each
}

const actor = "rotate-key"

// AddKEK wraps the data keys with another key-encryption key too: replicas may have the one or the other.
func (r *Rotation) AddKEK(ctx context.Context, next *authority.KEK) error {
	return r.tx(ctx, func(tx *store.Tx, sets []store.DataKeyset, keys *authority.DataKeys) (string, error) {
		if _, err := open(next, sets); err == nil {
			return "the data keys are wrapped with the new key-encryption key already", nil
		}
		if len(sets) > 1 {
			return "", fault.New(fault.Conflict, "the key-encryption key is being replaced by another one: finish that first, with rotate-key --finish")
		}
		wrapped, err := next.Wrap(keys)
		if err != nil {
			return "", err
		}
		return "the data keys are wrapped with the new key-encryption key, too",
			tx.CreateDataKeyset(ctx, store.DataKeyset{ID: uuid.Must(uuid.NewV7()), Generation: sets[0].Generation, Wrapped: wrapped})
	})
}

// FinishKEK removes what is wrapped with other key-encryption keys than KEK: they open nothing any more.
func (r *Rotation) FinishKEK(ctx context.Context) error {
	return r.tx(ctx, func(tx *store.Tx, sets []store.DataKeyset, _ *authority.DataKeys) (string, error) {
		removed := 0
		for _, s := range sets {
			if _, err := r.KEK.Unwrap(s.Wrapped); err == nil {
				continue
			}
			if err := tx.DeleteDataKeyset(ctx, s.ID); err != nil {
				return "", err
			}
			removed++
		}
		if removed == 0 {
			return "no other key-encryption key is in use", nil
		}
		return "the old key-encryption key opens nothing any more", nil
	})
}

// Data makes a new data key, seals every row with it and retires the ones before.
func (r *Rotation) Data(ctx context.Context) error {
	var fresh uint32
	err := r.tx(ctx, func(tx *store.Tx, sets []store.DataKeyset, keys *authority.DataKeys) (string, error) {
		if len(sets) > 1 {
			return "", fault.New(fault.Conflict, "the key-encryption key is being replaced: finish that first, with rotate-key --finish")
		}
		if len(keys.IDs()) > 1 {
			fresh = keys.Primary()
			return "going on with a rotation that was cut off", nil
		}
		grown, err := keys.Grown()
		if err != nil {
			return "", err
		}
		fresh = grown.Primary()
		if err := tx.AllowDataKey(ctx, fresh); err != nil {
			return "", err
		}
		return "a new data key seals from now on", r.write(ctx, tx, sets[0], grown)
	})
	if err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.reseal(ctx, fresh); err != nil {
		return err
	}
	return r.retire(ctx, fresh)
}

func (r *Rotation) settle(ctx context.Context) error {
	wait := r.Settle
	if wait == 0 {
		wait = 2 * every
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// batch is how many rows one transaction seals again: replicas hear of each batch as one revision.
const batch = 200

// reseal seals the rows that are there with the key fresh, some at a time, and waits for nobody else for long. It
// runs after no replica that goes on with an old key: retire takes what such a one has written meanwhile.
func (r *Rotation) reseal(ctx context.Context, fresh uint32) error {
	for _, c := range store.SealedColumns {
		for done, all := 0, -1; all < 0 || done < all; {
			n := 0
			err := r.tx(ctx, func(tx *store.Tx, _ []store.DataKeyset, keys *authority.DataKeys) (said string, err error) {
				if all < 0 {
					if all, err = tx.CountSealed(ctx, c, fresh); err != nil {
						return "", err
					}
				}
				if n, err = resealSome(ctx, tx, authority.NewReloadingSealer(keys, nil), c, fresh, batch); n > 0 {
					said = fmt.Sprintf("%s: %d rows sealed again", c.Table, done+n)
				}
				return said, err
			})
			if err != nil {
				return err
			}
			if done += n; n < batch {
				break
			}
		}
	}
	return nil
}

func resealSome(ctx context.Context, tx *store.Tx, sealer *authority.Sealer, c store.SealedColumn, fresh uint32, limit int) (int, error) {
	rows, err := tx.LockSealed(ctx, c, fresh, limit)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		name, err := c.Row(row.Key)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %w", c.Table, row.Key, err)
		}
		plain, err := sealer.Open(row.Sealed, name)
		if err != nil {
			return 0, fault.New(fault.Conflict, "%s %s can't be opened with any key of this cluster, so the old data key stays: remove the row, then run this again: %v", c.Table, row.Key, err)
		}
		if row.Sealed, err = sealer.Seal(plain, name); err != nil {
			return 0, err
		}
		if err := tx.UpdateSealed(ctx, c, row); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// retire removes the old keys once nothing is sealed with them. Who seals with one meanwhile is waited for by
// RetireDataKey; later ones are refused.
func (r *Rotation) retire(ctx context.Context, fresh uint32) error {
	return r.tx(ctx, func(tx *store.Tx, sets []store.DataKeyset, keys *authority.DataKeys) (string, error) {
		for _, id := range keys.IDs() {
			if id == fresh {
				continue
			}
			if err := tx.RetireDataKey(ctx, id); err != nil {
				return "", err
			}
		}
		sealer := authority.NewReloadingSealer(keys, nil)
		for _, c := range store.SealedColumns {
			for {
				n, err := resealSome(ctx, tx, sealer, c, fresh, batch)
				if err != nil {
					return "", err
				}
				if n == 0 {
					break
				}
			}
		}
		shrunk, err := keys.Shrunk()
		if err != nil {
			return "", err
		}
		if !slices.Equal(shrunk.IDs(), []uint32{fresh}) {
			return "", fmt.Errorf("the data keys were changed meanwhile: run this again")
		}
		return "the old data key is gone", r.write(ctx, tx, sets[0], shrunk)
	})
}

func (r *Rotation) write(ctx context.Context, tx *store.Tx, at store.DataKeyset, keys *authority.DataKeys) (err error) {
	at.Generation++
	if at.Wrapped, err = r.KEK.Wrap(keys); err != nil {
		return err
	}
	return tx.UpdateDataKeyset(ctx, at)
}

// tx runs one step with the present keys.
func (r *Rotation) tx(ctx context.Context, fn func(*store.Tx, []store.DataKeyset, *authority.DataKeys) (said string, err error)) error {
	said := ""
	_, err := r.Store.Tx(ctx, actor, func(tx *store.Tx) error {
		sets, err := tx.LockDataKeys(ctx)
		if err != nil {
			return err
		}
		if len(sets) == 0 {
			return fault.New(fault.Conflict, "this cluster has no data keys yet: start a replica of this version first")
		}
		keys, err := open(r.KEK, sets)
		if err != nil {
			return err
		}
		said, err = fn(tx, sets, keys)
		return err
	})
	if err == nil && said != "" {
		r.Say(said) // what is not committed did not happen
	}
	return err
}
