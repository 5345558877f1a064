package store

import (
	"context"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// LockGossipKeys returns the gossip keys, ordered by ID, and lets nobody else change them until the transaction
// ends.
func (t *Tx) LockGossipKeys(ctx context.Context) ([]*model.GossipKey, error) {
	if err := t.q.LockGossipKeys(ctx); err != nil {
		return nil, classify(err, "lock gossip keys")
	}
	return t.ListGossipKeys(ctx)
}

// ListGossipKeys returns all gossip keys, ordered by ID.
func (t *Tx) ListGossipKeys(ctx context.Context) ([]*model.GossipKey, error) {
	rows, err := t.q.AllGossipKeys(ctx)
	return convert(rows, gossipKey), classify(err, "list gossip keys")
}

// CreateGossipKey adds a row; its ID is the caller's to make.
func (t *Tx) CreateGossipKey(ctx context.Context, v *model.GossipKey) error {
	return classify(t.q.InsertGossipKey(ctx, db.InsertGossipKeyParams{ID: v.ID.UUID, State: string(v.State), SealedKey: v.SealedKey}), "create gossip key")
}

// UpdateGossipKey writes the state and the sealed key of a row.
func (t *Tx) UpdateGossipKey(ctx context.Context, v *model.GossipKey) error {
	n, err := t.q.UpdateGossipKey(ctx, db.UpdateGossipKeyParams{ID: v.ID.UUID, State: string(v.State), SealedKey: v.SealedKey})
	return affected(n, err, "update gossip key")
}

// DeleteGossipKey removes a row.
func (t *Tx) DeleteGossipKey(ctx context.Context, id model.GossipKeyID) error {
	n, err := t.q.DeleteGossipKey(ctx, id.UUID)
	return affected(n, err, "delete gossip key")
}

func gossipKey(r db.GossipKey) *model.GossipKey {
	return &model.GossipKey{
		ID:        model.GossipKeyID{UUID: r.ID},
		State:     model.GossipKeyState(r.State),
		SealedKey: r.SealedKey,
		Meta:      model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
