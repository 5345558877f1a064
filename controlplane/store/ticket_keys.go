package store

import (
	"context"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// LockTicketKeys returns the ticket keys of a pool, ordered by ID, and lets nobody else change any until the
// transaction ends.
func (t *Tx) LockTicketKeys(ctx context.Context, pool model.PoolID) ([]*model.TicketKey, error) {
	if err := t.q.LockTicketKeys(ctx); err != nil {
		return nil, classify(err, "lock ticket keys")
	}
	rows, err := t.q.ListTicketKeysOfPool(ctx, pool.UUID)
	return convert(rows, ticketKey), classify(err, "list ticket keys")
}

// CreateTicketKey adds a row; its ID is the caller's to make.
func (t *Tx) CreateTicketKey(ctx context.Context, v *model.TicketKey) error {
	return classify(t.q.InsertTicketKey(ctx, db.InsertTicketKeyParams{ID: v.ID.UUID, PoolID: v.Pool.UUID, State: string(v.State), SealedKey: v.SealedKey}), "create ticket key")
}

// MoveTicketKey writes the state of a row.
func (t *Tx) MoveTicketKey(ctx context.Context, id model.TicketKeyID, state model.TicketKeyState) error {
	n, err := t.q.UpdateTicketKey(ctx, db.UpdateTicketKeyParams{ID: id.UUID, State: string(state)})
	return affected(n, err, "update ticket key")
}

// DeleteTicketKey removes a row.
func (t *Tx) DeleteTicketKey(ctx context.Context, id model.TicketKeyID) error {
	n, err := t.q.DeleteTicketKey(ctx, id.UUID)
	return affected(n, err, "delete ticket key")
}

func ticketKey(r db.TicketKey) *model.TicketKey {
	return &model.TicketKey{
		ID:        model.TicketKeyID{UUID: r.ID},
		Pool:      model.PoolID{UUID: r.PoolID},
		State:     model.TicketKeyState(r.State),
		SealedKey: r.SealedKey,
		Meta:      model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
