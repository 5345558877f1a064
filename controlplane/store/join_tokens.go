package store

import (
	"context"
	"reflect"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateJoinToken adds a row; its ID is the caller's to make.
func (t *Tx) CreateJoinToken(ctx context.Context, v *model.JoinToken) error {
	return classify(t.q.InsertJoinToken(ctx, db.InsertJoinTokenParams{
		ID:          v.ID.UUID,
		NodeID:      nullID(v.Node.UUID),
		ConnectorID: nullID(v.Connector.UUID),
		Name:        v.Name,
		Hash:        v.Hash,
		ExpiresAt:   v.Expires,
		UsedAt:      nullTime(v.Used),
		CreatedBy:   v.By,
	}), "create join token")
}

// UpdateJoinToken writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateJoinToken(ctx context.Context, v *model.JoinToken) (changed bool, err error) {
	old, err := t.GetJoinToken(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Expires = stored(v.Expires)
	same.Used = stored(v.Used)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateJoinToken(ctx, db.UpdateJoinTokenParams{
		ID:          v.ID.UUID,
		NodeID:      nullID(v.Node.UUID),
		ConnectorID: nullID(v.Connector.UUID),
		Name:        v.Name,
		Hash:        v.Hash,
		ExpiresAt:   v.Expires,
		UsedAt:      nullTime(v.Used),
		CreatedBy:   v.By,
	})
	return true, affected(n, err, "update join token")
}

// DeleteJoinToken removes a token that was not used. What was used, or is gone, is not found.
func (t *Tx) DeleteJoinToken(ctx context.Context, id model.JoinTokenID) error {
	n, err := t.q.DeleteJoinToken(ctx, id.UUID)
	return affected(n, err, "delete join token")
}

// GetJoinToken returns a row by its ID.
func (t *Tx) GetJoinToken(ctx context.Context, id model.JoinTokenID) (*model.JoinToken, error) {
	r, err := t.q.GetJoinToken(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "join token")
	}
	return joinToken(r), nil
}

// ListJoinTokens returns a page of rows, the newest first: of the connectors of an organization, or, where that is zero,
// of all nodes and connectors.
func (t *Tx) ListJoinTokens(ctx context.Context, org model.OrgID, page Page) ([]*model.JoinToken, error) {
	rows, err := t.q.ListJoinTokens(ctx, db.ListJoinTokensParams{OrgID: nullID(org.UUID), Before: nullID(page.afterID()), Most: page.limit()})
	return convert(rows, joinToken), classify(err, "list join tokens")
}

// PruneJoinTokens forgets tokens that were used or ran out before a time.
func (t *Tx) PruneJoinTokens(ctx context.Context, before time.Time) (int64, error) {
	n, err := t.q.PruneJoinTokens(ctx, before)
	return n, classify(err, "prune join tokens")
}

func joinToken(r db.JoinToken) *model.JoinToken {
	return &model.JoinToken{
		ID:        model.JoinTokenID{UUID: r.ID},
		Node:      model.NodeID{UUID: idOrZero(r.NodeID)},
		Connector: model.ConnectorID{UUID: idOrZero(r.ConnectorID)},
		Name:      r.Name,
		Hash:      r.Hash,
		Expires:   r.ExpiresAt,
		Used:      timeOrZero(r.UsedAt),
		By:        r.CreatedBy,
		Meta:      model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
