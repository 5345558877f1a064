// Package keyring keeps the data keys that seal private keys in rows. They are in the database, wrapped with the
// key-encryption key, which is not.
package keyring

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store"
)

// Ring is a replica's view of the data keys.
type Ring struct {
	store  *store.Store
	kek    *authority.KEK
	log    *slog.Logger
	sealer *authority.Sealer
	have   int64 // generation
}

// every is how often a replica looks for newer keys. One that meets a row sealed with a newer key looks at once.
const every = 5 * time.Second

// ask bounds a question to the database that somebody waits for.
const ask = 5 * time.Second

// Open reads the data keys, and makes them if the cluster has none. Replicas may do so at once.
func Open(ctx context.Context, s *store.Store, kek *authority.KEK, log *slog.Logger) (*Ring, error) {
	r := &Ring{store: s, kek: kek, log: log}
	var keys *authority.DataKeys
	_, err := s.Tx(ctx, "keyring", func(tx *store.Tx) error {
		sets, err := tx.LockDataKeys(ctx)
		if err != nil {
			return err
		}
		if len(sets) > 0 {
			keys, err = open(kek, sets)
			r.have = sets[0].Generation
			return err
		}
		keys, err = found(ctx, tx, kek)
		r.have = 1
		return err
	})
	if err != nil {
		return nil, err
	}
	r.sealer = authority.NewReloadingSealer(keys, r.reload)
	s.OnRetired(func() {
		if fresh, err := r.reload(); err == nil {
			r.sealer.Use(fresh)
		}
	})
	return r, nil
}

// found makes the first data keys. A cluster that was made before there were any goes on with the keys of its
// key-encryption key, so that replicas of the version before can still open what is sealed.
func found(ctx context.Context, tx *store.Tx, kek *authority.KEK) (*authority.DataKeys, error) {
	old, err := tx.HasAuthorities(ctx)
	if err != nil {
		return nil, err
	}
	make := authority.NewDataKeys
	if old {
		make = kek.DataKeys
	}
	keys, err := make()
	if err != nil {
		return nil, err
	}
	for _, id := range keys.IDs() {
		if err := tx.AllowDataKey(ctx, id); err != nil {
			return nil, err
		}
	}
	wrapped, err := kek.Wrap(keys)
	if err != nil {
		return nil, err
	}
	return keys, tx.CreateDataKeyset(ctx, store.DataKeyset{ID: uuid.Must(uuid.NewV7()), Generation: 1, Wrapped: wrapped})
}

// open finds the wrapping that kek has made.
func open(kek *authority.KEK, sets []store.DataKeyset) (*authority.DataKeys, error) {
	for _, s := range sets {
		if keys, err := kek.Unwrap(s.Wrapped); err == nil {
			return keys, nil
		}
	}
	return nil, fault.New(fault.Invalid, "the key-encryption key is not the one that this cluster's data keys are wrapped with: want the present one, or the one before while it is being replaced")
}

// Sealer seals and opens with the present data keys.
func (r *Ring) Sealer() *authority.Sealer { return r.sealer }

// String names the task.
func (r *Ring) String() string { return "data keys" }

// Run looks for newer data keys now and then, until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r.look(ctx)
	}
}

func (r *Ring) look(ctx context.Context) {
	var now int64
	err := r.store.View(ctx, func(tx *store.Tx) error {
		var err error
		now, err = tx.DataKeyGeneration(ctx)
		return err
	})
	if err != nil || now == r.have { // the feed says so when the database is away
		return
	}
	keys, err := r.read(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Error("data keys can't be read: this replica opens nothing that is sealed with a newer one", "err", err)
		}
		return
	}
	r.sealer.Use(keys)
	r.have = now
	r.log.Info("data keys read again", "generation", now, "keys", len(keys.IDs()))
}

func (r *Ring) reload() (*authority.DataKeys, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ask)
	defer cancel()
	return r.read(ctx)
}

func (r *Ring) read(ctx context.Context) (keys *authority.DataKeys, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		sets, err := tx.ListDataKeysets(ctx)
		if err != nil {
			return err
		}
		keys, err = open(r.kek, sets)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("data keys: %w", err)
	}
	return keys, nil
}
