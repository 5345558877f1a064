package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateTarget adds a row; its ID is the caller's to make.
func (t *Tx) CreateTarget(ctx context.Context, v *model.Target) error {
	check, err := checkDocument(v.HealthCheck)
	if err != nil {
		return err
	}
	return classify(t.q.InsertTarget(ctx, db.InsertTargetParams{
		ID:          v.ID.UUID,
		OrgID:       v.Org.UUID,
		Name:        v.Name,
		ServiceID:   v.Service.UUID,
		SiteID:      v.Site.UUID,
		Address:     v.Address,
		Port:        int32(v.Port),
		PathPrefix:  v.PathPrefix,
		Weight:      int32(v.Weight),
		HealthCheck: check,

		Scheme: scheme(v.Upstream), ServerName: v.Upstream.ServerName, AuthoritiesPem: v.Upstream.AuthoritiesPEM, StripPrefix: v.Upstream.StripPrefix,
	}), "create target")
}

// UpdateTarget writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateTarget(ctx context.Context, v *model.Target) (changed bool, err error) {
	old, err := t.GetTarget(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	check, err := checkDocument(v.HealthCheck)
	if err != nil {
		return false, err
	}
	n, err := t.q.UpdateTarget(ctx, db.UpdateTargetParams{
		ID:          v.ID.UUID,
		OrgID:       v.Org.UUID,
		Name:        v.Name,
		ServiceID:   v.Service.UUID,
		SiteID:      v.Site.UUID,
		Address:     v.Address,
		Port:        int32(v.Port),
		PathPrefix:  v.PathPrefix,
		Weight:      int32(v.Weight),
		HealthCheck: check,

		Scheme: scheme(v.Upstream), ServerName: v.Upstream.ServerName, AuthoritiesPem: v.Upstream.AuthoritiesPEM, StripPrefix: v.Upstream.StripPrefix,
	})
	return true, affected(n, err, "update target")
}

// DeleteTarget removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteTarget(ctx context.Context, id model.TargetID) error {
	n, err := t.q.DeleteTarget(ctx, id.UUID)
	return affected(n, err, "delete target")
}

// GetTarget returns a row by its ID.
func (t *Tx) GetTarget(ctx context.Context, id model.TargetID) (*model.Target, error) {
	r, err := t.q.GetTarget(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "target")
	}
	return target(r), nil
}

// GetTargetByName returns a row by its name in an organization.
func (t *Tx) GetTargetByName(ctx context.Context, org model.OrgID, name string) (*model.Target, error) {
	r, err := t.q.GetTargetByName(ctx, db.GetTargetByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "target")
	}
	return target(r), nil
}

// ListTargets returns a page of rows ordered by name.
func (t *Tx) ListTargets(ctx context.Context, org model.OrgID, page Page) ([]*model.Target, error) {
	rows, err := t.q.ListTargets(ctx, db.ListTargetsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, target), classify(err, "list targets")
}

func target(r db.Target) *model.Target {
	return &model.Target{
		ID:          model.TargetID{UUID: r.ID},
		Org:         model.OrgID{UUID: r.OrgID},
		Name:        r.Name,
		Service:     model.ServiceID{UUID: r.ServiceID},
		Site:        model.SiteID{UUID: r.SiteID},
		Address:     r.Address,
		Port:        uint16(r.Port),
		PathPrefix:  r.PathPrefix,
		Weight:      uint16(r.Weight),
		HealthCheck: healthCheck(r.HealthCheck),
		Upstream:    upstream(r),
		Meta:        model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

func scheme(u model.Upstream) string {
	if u.Scheme == "" {
		return model.SchemeHTTP
	}
	return u.Scheme
}

func upstream(r db.Target) model.Upstream {
	u := model.Upstream{Scheme: r.Scheme, ServerName: r.ServerName, AuthoritiesPEM: r.AuthoritiesPem, StripPrefix: r.StripPrefix}
	if u.Scheme == model.SchemeHTTP {
		u.Scheme = ""
	}
	return u
}
