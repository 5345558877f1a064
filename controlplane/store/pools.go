package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreatePool adds a row; its ID is the caller's to make.
func (t *Tx) CreatePool(ctx context.Context, v *model.Pool) error {
	return classify(t.q.InsertPool(ctx, db.InsertPoolParams{
		ID:   v.ID.UUID,
		Name: v.Name,
	}), "create pool")
}

// UpdatePool writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdatePool(ctx context.Context, v *model.Pool) (changed bool, err error) {
	old, err := t.GetPool(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdatePool(ctx, db.UpdatePoolParams{
		ID:   v.ID.UUID,
		Name: v.Name,
	})
	return true, affected(n, err, "update pool")
}

// DeletePool removes a row; one that others refer to is a conflict.
func (t *Tx) DeletePool(ctx context.Context, id model.PoolID) error {
	n, err := t.q.DeletePool(ctx, id.UUID)
	return affected(n, err, "delete pool")
}

// GetPool returns a row by its ID.
func (t *Tx) GetPool(ctx context.Context, id model.PoolID) (*model.Pool, error) {
	r, err := t.q.GetPool(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "pool")
	}
	return pool(r), nil
}

// GetPoolByName returns a row by its name.
func (t *Tx) GetPoolByName(ctx context.Context, name string) (*model.Pool, error) {
	r, err := t.q.GetPoolByName(ctx, name)
	if err != nil {
		return nil, classify(err, "pool")
	}
	return pool(r), nil
}

// ListPools returns a page of rows ordered by name.
func (t *Tx) ListPools(ctx context.Context, page Page) ([]*model.Pool, error) {
	rows, err := t.q.ListPools(ctx, db.ListPoolsParams{After: page.After, Most: page.limit()})
	return convert(rows, pool), classify(err, "list pools")
}

func pool(r db.Pool) *model.Pool {
	return &model.Pool{
		ID:   model.PoolID{UUID: r.ID},
		Name: r.Name,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
