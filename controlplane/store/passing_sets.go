package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// GetPassingSet returns a row that nobody else writes until the transaction ends.
func (t *Tx) GetPassingSet(ctx context.Context, org model.OrgID, name string) (*model.PassingSet, error) {
	r, err := t.q.GetPassingSet(ctx, db.GetPassingSetParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "set of manifests")
	}
	return passingSet(r), nil
}

// PutPassingSet writes a row; the owner of one that is there stays.
func (t *Tx) PutPassingSet(ctx context.Context, v *model.PassingSet) error {
	return classify(t.q.PutPassingSet(ctx, db.PutPassingSetParams{
		OrgID: v.Org.UUID, Name: v.Name, Owner: v.Owner, LifetimeS: int32(v.Lifetime / time.Second), ExpiresAt: v.Expires,
	}), "write set of manifests")
}

// DeletePassingSet removes a row, if it is there, and nothing that the set keeps.
func (t *Tx) DeletePassingSet(ctx context.Context, org model.OrgID, name string) error {
	return classify(t.q.DeletePassingSet(ctx, db.DeletePassingSetParams{OrgID: org.UUID, Name: name}), "delete set of manifests")
}

// OverPassingSet returns the row that is over for the longest among those that nobody else looks at; it is the caller's until
// the transaction ends.
func (t *Tx) OverPassingSet(ctx context.Context, now time.Time) (*model.PassingSet, error) {
	r, err := t.q.OverPassingSet(ctx, now)
	if err != nil {
		return nil, classify(err, "set of manifests that is over")
	}
	return passingSet(r), nil
}

// PutOffPassingSet lets a row that is over be looked at again later.
func (t *Tx) PutOffPassingSet(ctx context.Context, org model.OrgID, name string, now, until time.Time) error {
	return classify(t.q.PutOffPassingSet(ctx, db.PutOffPassingSetParams{Until: until, OrgID: org.UUID, Name: name, Now: now}), "put off set of manifests")
}

// SetKeeps reports whether a set of manifests keeps objects of an organization, or, where that is zero, of none.
func (t *Tx) SetKeeps(ctx context.Context, org model.OrgID, name string) (bool, error) {
	keeps, err := t.q.SetKeeps(ctx, db.SetKeepsParams{Name: name, OrgID: nullID(org.UUID)})
	return keeps, classify(err, "set of manifests")
}

func passingSet(r db.PassingSet) *model.PassingSet {
	return &model.PassingSet{
		Org: model.OrgID{UUID: r.OrgID}, Name: r.Name, Owner: r.Owner, Lifetime: time.Duration(r.LifetimeS) * time.Second, Expires: r.ExpiresAt,
	}
}
