package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// Labelling is what people call an object by.
type Labelling struct {
	Labels    model.Labels
	ManagedBy string // the set of manifests that keeps it; "": none does
}

// Labels returns what there is of some objects of a table, by id. Org is zero for those that belong to no organization.
func (t *Tx) Labels(ctx context.Context, table string, org model.OrgID, ids []uuid.UUID) (map[uuid.UUID]Labelling, error) {
	rows, err := t.q.LabelsOf(ctx, db.LabelsOfParams{Kind: table, Ids: ids, OrgID: nullID(org.UUID)})
	if err != nil {
		return nil, classify(err, "labels")
	}
	out := make(map[uuid.UUID]Labelling, len(rows))
	for _, r := range rows {
		l := Labelling{ManagedBy: r.ManagedBy}
		if err := json.Unmarshal(r.Labels, &l.Labels); err != nil {
			return nil, fmt.Errorf("labels of %s %s: %w", table, r.ObjectID, err)
		}
		out[r.ObjectID] = l
	}
	return out, nil
}

// PutLabels writes what an object is called by. It takes no revision.
func (t *Tx) PutLabels(ctx context.Context, table string, org model.OrgID, id uuid.UUID, l Labelling) error {
	b, err := marshalLabels(l.Labels)
	if err != nil {
		return err
	}
	return classify(t.q.PutLabels(ctx, db.PutLabelsParams{Kind: table, ObjectID: id, OrgID: nullID(org.UUID), Labels: b, ManagedBy: l.ManagedBy}), "write labels")
}

// LabelledWith returns the objects of a table that have all of the labels.
func (t *Tx) LabelledWith(ctx context.Context, table string, org model.OrgID, want model.Labels) (map[uuid.UUID]bool, error) {
	b, err := marshalLabels(want)
	if err != nil {
		return nil, err
	}
	ids, err := t.q.LabelledWith(ctx, db.LabelledWithParams{Kind: table, Labels: b, OrgID: nullID(org.UUID)})
	if err != nil {
		return nil, classify(err, "list by labels")
	}
	out := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}

// ManagedBy returns the objects of a table that a set of manifests keeps.
func (t *Tx) ManagedBy(ctx context.Context, table string, org model.OrgID, set string) ([]uuid.UUID, error) {
	ids, err := t.q.ManagedBySet(ctx, db.ManagedBySetParams{Kind: table, ManagedBy: set, OrgID: nullID(org.UUID)})
	return ids, classify(err, "list by set")
}

// LockObject makes whoever else calls it for the same object wait until the transaction ends.
func (t *Tx) LockObject(ctx context.Context, id string) error {
	return classify(t.q.LockObject(ctx, id), "lock object")
}

func marshalLabels(l model.Labels) ([]byte, error) {
	if l == nil {
		l = model.Labels{}
	}
	return json.Marshal(l)
}
