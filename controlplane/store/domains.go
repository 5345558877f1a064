package store

import (
	"context"
	"reflect"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateDomain adds a row; its ID is the caller's to make.
func (t *Tx) CreateDomain(ctx context.Context, v *model.Domain) error {
	return classify(t.q.InsertDomain(ctx, db.InsertDomainParams{
		ID:     v.ID.UUID,
		OrgID:  v.Org.UUID,
		Name:   v.Name,
		PoolID: v.Pool.UUID,

		Unproven:   v.Unproven,
		CaaAccount: v.CAAAccount,
	}), "create domain")
}

// UpdateDomain writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateDomain(ctx context.Context, v *model.Domain) (changed bool, err error) {
	old, err := t.GetDomain(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateDomain(ctx, db.UpdateDomainParams{
		ID:     v.ID.UUID,
		OrgID:  v.Org.UUID,
		Name:   v.Name,
		PoolID: v.Pool.UUID,

		Unproven:   v.Unproven,
		CaaAccount: v.CAAAccount,
	})
	return true, affected(n, err, "update domain")
}

// ProveDomain makes a claimed domain its organization's, unless it is so already, or gone. What was found of the claim is
// forgotten, and what failed for want of the domain is tried at once.
func (t *Tx) ProveDomain(ctx context.Context, id model.DomainID, now time.Time) error {
	n, err := t.q.ProveDomain(ctx, id.UUID)
	if err != nil || n == 0 {
		return classify(err, "prove domain")
	}
	if err := t.q.DeleteDomainFinding(ctx, id.UUID); err != nil {
		return classify(err, "delete domain finding")
	}
	d, err := t.GetDomain(ctx, id)
	if err != nil {
		return err
	}
	return t.ResetLadder(ctx, d.Org, d.Name, now)
}

// DeleteDomain removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteDomain(ctx context.Context, id model.DomainID) error {
	n, err := t.q.DeleteDomain(ctx, id.UUID)
	return affected(n, err, "delete domain")
}

// NamesOutsideDomains returns those of some names that stand in no domain that is proved to be the organization's.
func (t *Tx) NamesOutsideDomains(ctx context.Context, org model.OrgID, names []string) ([]string, error) {
	out, err := t.q.NamesOutsideDomains(ctx, db.NamesOutsideDomainsParams{OrgID: org.UUID, Names: names})
	return out, classify(err, "domains of names")
}

// GetDomain returns a row by its ID.
func (t *Tx) GetDomain(ctx context.Context, id model.DomainID) (*model.Domain, error) {
	r, err := t.q.GetDomain(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "domain")
	}
	return domain(r), nil
}

// GetDomainByName returns a row by its name in an organization.
func (t *Tx) GetDomainByName(ctx context.Context, org model.OrgID, name string) (*model.Domain, error) {
	r, err := t.q.GetDomainByName(ctx, db.GetDomainByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "domain")
	}
	return domain(r), nil
}

// ListDomains returns a page of rows ordered by name.
func (t *Tx) ListDomains(ctx context.Context, org model.OrgID, page Page) ([]*model.Domain, error) {
	rows, err := t.q.ListDomains(ctx, db.ListDomainsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, domain), classify(err, "list domains")
}

func domain(r db.Domain) *model.Domain {
	return &model.Domain{
		ID:   model.DomainID{UUID: r.ID},
		Org:  model.OrgID{UUID: r.OrgID},
		Name: r.Name,
		Pool: model.PoolID{UUID: r.PoolID},
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},

		Unproven:   r.Unproven,
		CAAAccount: r.CaaAccount,
	}
}
