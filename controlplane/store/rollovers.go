package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// AskRollover lets the key of an issuer's account be changed; NotFound if there is no account. One that is under way goes on.
func (t *Tx) AskRollover(ctx context.Context, id model.IssuerID, now time.Time) error {
	n, err := t.q.AskRollover(ctx, db.AskRolloverParams{ID: id.UUID, At: &now})
	return affected(n, err, "ask for a rollover")
}

// ClaimRollover returns an issuer whose rollover is due, which nobody else carries on until a moment. NotFound: there is none.
func (t *Tx) ClaimRollover(ctx context.Context, now, until time.Time) (model.IssuerID, error) {
	id, err := t.q.ClaimRollover(ctx, db.ClaimRolloverParams{Now: &now, Until: &until})
	return model.IssuerID{UUID: id}, classify(err, "rollover")
}

// SetPendingKey writes the key that an account is to have, unless there is one already.
func (t *Tx) SetPendingKey(ctx context.Context, id model.IssuerID, sealed []byte) error {
	_, err := t.q.SetPendingKey(ctx, db.SetPendingKeyParams{ID: id.UUID, SealedPendingKey: sealed})
	return classify(err, "update issuer")
}

// DelayRollover says when a rollover goes on, and why it has not ended.
func (t *Tx) DelayRollover(ctx context.Context, id model.IssuerID, at time.Time, problem string) error {
	_, err := t.q.DelayRollover(ctx, db.DelayRolloverParams{ID: id.UUID, At: &at, Problem: problem})
	return classify(err, "update issuer")
}

// FinishRollover makes the key that was pending the account's.
func (t *Tx) FinishRollover(ctx context.Context, id model.IssuerID, now time.Time) error {
	_, err := t.q.FinishRollover(ctx, db.FinishRolloverParams{ID: id.UUID, At: &now})
	return classify(err, "update issuer")
}

// HasOrdersInValidation reports whether an authority may be looking at challenges of an issuer's orders.
func (t *Tx) HasOrdersInValidation(ctx context.Context, id model.IssuerID) (bool, error) {
	yes, err := t.q.HasOrdersInValidation(ctx, &id.UUID)
	return yes, classify(err, "orders in validation")
}
