package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateChallenges adds rows in one statement, all or none; their IDs are the caller's to make. The revision of
// the transaction is the one that nodes must have applied before anybody is told to look.
func (t *Tx) CreateChallenges(ctx context.Context, all []*model.Challenge) error {
	var p db.InsertChallengesParams
	for _, v := range all {
		p.Ids, p.OrgIds, p.OrderIds = append(p.Ids, v.ID.UUID), append(p.OrgIds, v.Org.UUID), append(p.OrderIds, v.Order.UUID)
		p.Types, p.Names = append(p.Types, string(v.Type)), append(p.Names, v.Name)
		p.Tokens, p.Answers, p.Expires = append(p.Tokens, v.Token), append(p.Answers, string(v.Value)), append(p.Expires, v.Expires)
	}
	if len(all) == 0 {
		return nil
	}
	return classify(t.q.InsertChallenges(ctx, p), "create challenge")
}

// DeleteChallengesOfOrder removes what an order has published and says how many rows that were: none is no fault.
func (t *Tx) DeleteChallengesOfOrder(ctx context.Context, order model.OrderID) (int64, error) {
	n, err := t.q.DeleteChallengesOfOrder(ctx, order.UUID)
	return n, classify(err, "delete challenges of order")
}

// DeleteExpiredChallenges removes what no node answers any more and says how many rows that were.
func (t *Tx) DeleteExpiredChallenges(ctx context.Context, now time.Time) (int64, error) {
	n, err := t.q.DeleteExpiredChallenges(ctx, now)
	return n, classify(err, "delete expired challenges")
}

// ListChallengesOfOrder returns what an order has published, ordered by ID.
func (t *Tx) ListChallengesOfOrder(ctx context.Context, order model.OrderID) ([]*model.Challenge, error) {
	rows, err := t.q.ListChallengesOfOrder(ctx, order.UUID)
	return convert(rows, challenge), classify(err, "list challenges of order")
}

func challenge(r db.Challenge) *model.Challenge {
	return &model.Challenge{
		ID:      model.ChallengeID{UUID: r.ID},
		Org:     model.OrgID{UUID: r.OrgID},
		Order:   model.OrderID{UUID: r.OrderID},
		Type:    model.ChallengeType(r.Type),
		Name:    r.Name,
		Token:   r.Token,
		Value:   model.Authorization(r.Value),
		Expires: r.ExpiresAt,
		Meta:    model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
