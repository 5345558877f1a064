package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// GetManifestSet returns what the last apply of a set left.
func (t *Tx) GetManifestSet(ctx context.Context, org model.OrgID, name string) (*model.ManifestSet, error) {
	r, err := t.q.GetManifestSet(ctx, db.GetManifestSetParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "set of manifests")
	}
	return manifestSet(r)
}

// ListManifestSets returns a page of the sets of an organization, ordered by name.
func (t *Tx) ListManifestSets(ctx context.Context, org model.OrgID, page Page) (out []*model.ManifestSet, err error) {
	rows, err := t.q.ListManifestSets(ctx, db.ListManifestSetsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	if err != nil {
		return nil, classify(err, "list sets of manifests")
	}
	for _, r := range rows {
		v, err := manifestSet(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// PutManifestSet writes what an apply of a set left.
func (t *Tx) PutManifestSet(ctx context.Context, v *model.ManifestSet) error {
	objects, err := json.Marshal(v.Objects)
	if err != nil {
		return fmt.Errorf("write set of manifests: %w", err)
	}
	return classify(t.q.PutManifestSet(ctx, db.PutManifestSetParams{
		OrgID: v.Org.UUID, Name: v.Name, AppliedAt: v.Applied, AppliedBy: v.By, Created: int32(v.Created), Changed: int32(v.Changed), Removed: int32(v.Removed), Objects: objects,
	}), "write set of manifests")
}

// DeleteManifestSet forgets a set, if it is there, and touches nothing that it keeps.
func (t *Tx) DeleteManifestSet(ctx context.Context, org model.OrgID, name string) error {
	return classify(t.q.DeleteManifestSet(ctx, db.DeleteManifestSetParams{OrgID: org.UUID, Name: name}), "delete set of manifests")
}

func manifestSet(r db.ManifestSet) (*model.ManifestSet, error) {
	v := &model.ManifestSet{
		Org: model.OrgID{UUID: r.OrgID}, Name: r.Name, Applied: r.AppliedAt, By: r.AppliedBy, Created: int(r.Created), Changed: int(r.Changed), Removed: int(r.Removed),
	}
	if err := json.Unmarshal(r.Objects, &v.Objects); err != nil {
		return nil, fmt.Errorf("set of manifests %s: %w", r.Name, err)
	}
	return v, nil
}
