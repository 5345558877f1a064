package store

import (
	"context"
	"net/netip"
	"reflect"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateAPIKey adds a row; its ID is the caller's to make.
func (t *Tx) CreateAPIKey(ctx context.Context, v *model.APIKey) error {
	return classify(t.q.InsertAPIKey(ctx, db.InsertAPIKeyParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Hash: v.Hash, ExpiresAt: nullTime(v.Expires),
		UserID: nullID(v.User.UUID), ServiceAccountID: nullID(v.Account.UUID), Permissions: v.Permissions, Allow: notNil(v.Allow), SecondFactorAt: nullTime(v.SecondFactor),
	}), "create API key")
}

// UpdateAPIKey writes a row and reports whether anything but the time of the update was different. When it was
// used is TouchAPIKey's.
func (t *Tx) UpdateAPIKey(ctx context.Context, v *model.APIKey) (changed bool, err error) {
	old, err := t.GetAPIKey(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta, same.Used, same.UsedFrom = old.Meta, old.Used, old.UsedFrom
	same.Expires, same.Allow = stored(v.Expires), orNil(v.Allow)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateAPIKey(ctx, db.UpdateAPIKeyParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Hash: v.Hash, ExpiresAt: nullTime(v.Expires),
		UserID: nullID(v.User.UUID), ServiceAccountID: nullID(v.Account.UUID), Permissions: v.Permissions, Allow: notNil(v.Allow),
	})
	return true, affected(n, err, "update API key")
}

// TouchAPIKey writes when and from where a key was last used, unless somebody else is at it.
func (t *Tx) TouchAPIKey(ctx context.Context, id model.APIKeyID, at time.Time, from netip.Addr) error {
	return classify(t.q.TouchAPIKey(ctx, db.TouchAPIKeyParams{ID: id.UUID, UsedAt: &at, UsedFrom: nullAddr(from)}), "API key")
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

// Keys selects API keys: of one organization, of one user, or, where these are zero, all.
type Keys struct {
	Org  model.OrgID
	User model.UserID
}

// ListAPIKeysNamed returns the rows of a name, one of the cluster or of each organization and owner, ordered by ID.
func (t *Tx) ListAPIKeysNamed(ctx context.Context, of Keys, name string, most int) ([]*model.APIKey, error) {
	rows, err := t.q.ListAPIKeysNamed(ctx, db.ListAPIKeysNamedParams{Name: name, OrgID: nullID(of.Org.UUID), UserID: nullID(of.User.UUID), Most: int32(most)})
	return convert(rows, apiKey), classify(err, "list API keys")
}

// ListAPIKeys returns a page of rows, of the cluster and of all organizations, ordered by ID.
func (t *Tx) ListAPIKeys(ctx context.Context, of Keys, page Page) ([]*model.APIKey, error) {
	rows, err := t.q.ListAPIKeys(ctx, db.ListAPIKeysParams{After: page.afterID(), OrgID: nullID(of.Org.UUID), UserID: nullID(of.User.UUID), Most: page.limit()})
	return convert(rows, apiKey), classify(err, "list API keys")
}

func apiKey(r db.ApiKey) *model.APIKey {
	return &model.APIKey{
		ID:          model.APIKeyID{UUID: r.ID},
		Org:         model.OrgID{UUID: idOrZero(r.OrgID)},
		User:        model.UserID{UUID: idOrZero(r.UserID)},
		Account:     accountID(r.ServiceAccountID),
		Name:        r.Name,
		Hash:        r.Hash,
		Permissions: r.Permissions,
		Allow:       orNil(r.Allow),
		Expires:     timeOrZero(r.ExpiresAt),
		Used:        timeOrZero(r.UsedAt),
		UsedFrom:    addrOrZero(r.UsedFrom),

		SecondFactor: timeOrZero(r.SecondFactorAt),
		Meta:         model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
