package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
	"github.com/warrenedge/warren/shared/brand"
)

// CreateOrganization adds a row; its ID is the caller's to make.
func (t *Tx) CreateOrganization(ctx context.Context, v *model.Organization) error {
	return classify(t.q.InsertOrganization(ctx, db.InsertOrganizationParams{
		ID:   v.ID.UUID,
		Name: v.Name,

		Trusted:           v.Trusted,
		RequestsPerSecond: int32(v.RequestsPerSecond),
	}), "create organization")
}

// UpdateOrganization writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateOrganization(ctx context.Context, v *model.Organization) (changed bool, err error) {
	old, err := t.GetOrganization(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta, same.Brand = old.Meta, old.Brand // which BrandOrganization writes
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateOrganization(ctx, db.UpdateOrganizationParams{
		ID:   v.ID.UUID,
		Name: v.Name,

		Trusted:           v.Trusted,
		RequestsPerSecond: int32(v.RequestsPerSecond),
	})
	return true, affected(n, err, "update organization")
}

// BrandOrganization writes what an organization's pages look like, and reports whether that was different.
func (t *Tx) BrandOrganization(ctx context.Context, id model.OrgID, b brand.Brand) (changed bool, err error) {
	old, err := t.GetOrganization(ctx, id)
	if err != nil || reflect.DeepEqual(old.Brand, b) {
		return false, err
	}
	n, err := t.q.BrandOrganization(ctx, db.BrandOrganizationParams{ID: id.UUID, Name: b.Name, Accent: b.Accent, Logo: append([]byte{}, b.Logo...)})
	return true, affected(n, err, "brand organization")
}

// DeleteOrganization removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteOrganization(ctx context.Context, id model.OrgID) error {
	n, err := t.q.DeleteOrganization(ctx, id.UUID)
	return affected(n, err, "delete organization")
}

// GetOrganization returns a row by its ID.
func (t *Tx) GetOrganization(ctx context.Context, id model.OrgID) (*model.Organization, error) {
	r, err := t.q.GetOrganization(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "organization")
	}
	return organization(r), nil
}

// GetOrganizationByName returns a row by its name.
func (t *Tx) GetOrganizationByName(ctx context.Context, name string) (*model.Organization, error) {
	r, err := t.q.GetOrganizationByName(ctx, name)
	if err != nil {
		return nil, classify(err, "organization")
	}
	return organization(r), nil
}

// ListOrganizations returns a page of rows ordered by name.
func (t *Tx) ListOrganizations(ctx context.Context, page Page) ([]*model.Organization, error) {
	rows, err := t.q.ListOrganizations(ctx, db.ListOrganizationsParams{After: page.After, Most: page.limit()})
	return convert(rows, organization), classify(err, "list organizations")
}

// LockOrganization keeps what an organization says of its people, its groups and what it wants of sessions, from being relied
// on until the transaction ends: whoever changes it takes it first.
func (t *Tx) LockOrganization(ctx context.Context, id model.OrgID) error {
	return classify(t.q.LockOrganization(ctx, id.UUID), "organization")
}

// ShareOrganization keeps the same from changing until the transaction ends, beside others who rely on it.
func (t *Tx) ShareOrganization(ctx context.Context, id model.OrgID) error {
	return classify(t.q.ShareOrganization(ctx, id.UUID), "organization")
}

func organization(r db.Organization) *model.Organization {
	b := brand.Brand{Name: r.BrandName, Accent: r.BrandAccent}
	if len(r.BrandLogo) > 0 {
		b.Logo = r.BrandLogo
	}
	return &model.Organization{
		ID:    model.OrgID{UUID: r.ID},
		Name:  r.Name,
		Brand: b,
		Meta:  model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},

		Trusted:           r.Trusted,
		RequestsPerSecond: int(r.RequestsPerSecond),
	}
}
