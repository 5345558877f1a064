package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateRegion adds a row; its ID is the caller's to make.
func (t *Tx) CreateRegion(ctx context.Context, v *model.Region) error {
	return classify(t.q.InsertRegion(ctx, db.InsertRegionParams{
		ID:   v.ID.UUID,
		Name: v.Name,
	}), "create region")
}

// UpdateRegion writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateRegion(ctx context.Context, v *model.Region) (changed bool, err error) {
	old, err := t.GetRegion(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateRegion(ctx, db.UpdateRegionParams{
		ID:   v.ID.UUID,
		Name: v.Name,
	})
	return true, affected(n, err, "update region")
}

// DeleteRegion removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteRegion(ctx context.Context, id model.RegionID) error {
	n, err := t.q.DeleteRegion(ctx, id.UUID)
	return affected(n, err, "delete region")
}

// GetRegion returns a row by its ID.
func (t *Tx) GetRegion(ctx context.Context, id model.RegionID) (*model.Region, error) {
	r, err := t.q.GetRegion(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "region")
	}
	return region(r), nil
}

// GetRegionByName returns a row by its name.
func (t *Tx) GetRegionByName(ctx context.Context, name string) (*model.Region, error) {
	r, err := t.q.GetRegionByName(ctx, name)
	if err != nil {
		return nil, classify(err, "region")
	}
	return region(r), nil
}

// ListRegions returns a page of rows ordered by name.
func (t *Tx) ListRegions(ctx context.Context, page Page) ([]*model.Region, error) {
	rows, err := t.q.ListRegions(ctx, db.ListRegionsParams{After: page.After, Most: page.limit()})
	return convert(rows, region), classify(err, "list regions")
}

func region(r db.Region) *model.Region {
	return &model.Region{
		ID:   model.RegionID{UUID: r.ID},
		Name: r.Name,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
