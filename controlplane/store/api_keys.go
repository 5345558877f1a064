package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateAPIKey adds a row; its ID is the caller's to make.
func (t *Tx) CreateAPIKey(ctx context.Context, v *model.APIKey) error {
	return classify(t.q.InsertAPIKey(ctx, db.InsertAPIKeyParams{
		ID:        v.ID.UUID,
		OrgID:     nullID(v.Org.UUID),
		Name:      v.Name,
		Hash:      v.Hash,
		ExpiresAt: nullTime(v.Expires),
	}), "create API key")
}

// UpdateAPIKey writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateAPIKey(ctx context.Context, v *model.APIKey) (changed bool, err error) {
	old, err := t.GetAPIKey(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Expires = stored(v.Expires)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateAPIKey(ctx, db.UpdateAPIKeyParams{
		ID:        v.ID.UUID,
		OrgID:     nullID(v.Org.UUID),
		Name:      v.Name,
		Hash:      v.Hash,
		ExpiresAt: nullTime(v.Expires),
	})
	return true, affected(n, err, "update API key")
}

// DeleteAPIKey removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteAPIKey(ctx context.Context, id model.APIKeyID) error {
	n, err := t.q.DeleteAPIKey(ctx, id.UUID)
	return affected(n, err, "delete API key")
}

// GetAPIKey returns a row by its ID.
func (t *Tx) GetAPIKey(ctx context.Context, id model.APIKeyID) (*model.APIKey, error) {
	r, err := t.q.GetAPIKey(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "API key")
	}
	return apiKey(r), nil
}

// ListAPIKeysNamed returns the rows of a name, one of the cluster or an organization each, ordered by ID.
func (t *Tx) ListAPIKeysNamed(ctx context.Context, name string, most int) ([]*model.APIKey, error) {
	rows, err := t.q.ListAPIKeysNamed(ctx, db.ListAPIKeysNamedParams{Name: name, Most: int32(most)})
	return convert(rows, apiKey), classify(err, "list API keys")
}

// ListAPIKeys returns a page of rows, of the cluster and of all organizations, ordered by ID.
func (t *Tx) ListAPIKeys(ctx context.Context, page Page) ([]*model.APIKey, error) {
	rows, err := t.q.ListAPIKeys(ctx, db.ListAPIKeysParams{After: page.afterID(), Most: page.limit()})
	return convert(rows, apiKey), classify(err, "list API keys")
}

func apiKey(r db.ApiKey) *model.APIKey {
	return &model.APIKey{
		ID:      model.APIKeyID{UUID: r.ID},
		Org:     model.OrgID{UUID: idOrZero(r.OrgID)},
		Name:    r.Name,
		Hash:    r.Hash,
		Expires: timeOrZero(r.ExpiresAt),
		Meta:    model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
