package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// DataKeyset is the cluster's data keys, wrapped with one key-encryption key.
type DataKeyset struct {
	ID         uuid.UUID
	Generation int64 // counts changes of the keys; the same in all rows
	Wrapped    []byte
}

// LockDataKeys returns all wrapped data keys, the oldest first, and lets nobody else change them until the
// transaction ends.
func (t *Tx) LockDataKeys(ctx context.Context) ([]DataKeyset, error) {
	if err := t.q.LockDataKeys(ctx); err != nil {
		return nil, classify(err, "lock data keys")
	}
	return t.ListDataKeysets(ctx)
}

// ListDataKeysets returns all wrapped data keys, the oldest first.
func (t *Tx) ListDataKeysets(ctx context.Context) ([]DataKeyset, error) {
	rows, err := t.q.AllDataKeysets(ctx)
	out := make([]DataKeyset, len(rows))
	for i, r := range rows {
		out[i] = DataKeyset{r.ID, r.Generation, r.Wrapped}
	}
	return out, classify(err, "list data keys")
}

// DataKeyGeneration is the present generation of the data keys, 0 if there are none yet.
func (t *Tx) DataKeyGeneration(ctx context.Context) (int64, error) {
	n, err := t.q.DataKeyGeneration(ctx)
	return n, classify(err, "generation of the data keys")
}

// CreateDataKeyset adds a wrapping.
func (t *Tx) CreateDataKeyset(ctx context.Context, v DataKeyset) error {
	return classify(t.q.InsertDataKeyset(ctx, db.InsertDataKeysetParams{ID: v.ID, Generation: v.Generation, Wrapped: v.Wrapped}), "create data keyset")
}

// UpdateDataKeyset replaces the keys in a wrapping.
func (t *Tx) UpdateDataKeyset(ctx context.Context, v DataKeyset) error {
	n, err := t.q.UpdateDataKeyset(ctx, db.UpdateDataKeysetParams{ID: v.ID, Generation: v.Generation, Wrapped: v.Wrapped})
	return affected(n, err, "update data keyset")
}

// DeleteDataKeyset removes a wrapping.
func (t *Tx) DeleteDataKeyset(ctx context.Context, id uuid.UUID) error {
	n, err := t.q.DeleteDataKeyset(ctx, id)
	return affected(n, err, "delete data keyset")
}

// AllowDataKey lets rows be sealed with a key.
func (t *Tx) AllowDataKey(ctx context.Context, id uint32) error {
	return classify(t.q.InsertDataKey(ctx, int64(id)), "allow data key")
}

// RetireDataKey waits for the transactions that seal with a key, and refuses all that do so later: those that begin to
// while it waits wait as well.
func (t *Tx) RetireDataKey(ctx context.Context, id uint32) error {
	if err := t.q.LockDataKey(ctx, int32(id)); err != nil {
		return classify(err, "retire data key")
	}
	return classify(t.q.DeleteDataKey(ctx, int64(id)), "retire data key")
}

// HasAuthorities reports whether the cluster has been made.
func (t *Tx) HasAuthorities(ctx context.Context) (bool, error) {
	ok, err := t.q.HasAuthorities(ctx)
	return ok, classify(err, "look for authorities")
}
