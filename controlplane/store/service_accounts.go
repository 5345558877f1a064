package store

import (
	"context"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateServiceAccount adds a row with its roles; its ID is the caller's to make.
func (t *Tx) CreateServiceAccount(ctx context.Context, v *model.ServiceAccount) error {
	if err := t.q.InsertServiceAccount(ctx, db.InsertServiceAccountParams{ID: v.ID.UUID, OrgID: v.Org.UUID, Name: v.Name, DisabledAt: nullTime(v.Disabled)}); err != nil {
		return classify(err, "create service account")
	}
	return t.writeServiceAccountRoles(ctx, v)
}

// UpdateServiceAccount writes a row with its roles and reports whether anything but the time of the update was different.
func (t *Tx) UpdateServiceAccount(ctx context.Context, v *model.ServiceAccount) (changed bool, err error) {
	old, err := t.GetServiceAccount(ctx, v.ID)
	if err != nil {
		return false, err
	}
	if v.Name == old.Name && stored(v.Disabled).Equal(old.Disabled) && slices.Equal(sortedIDs(v.Roles), old.Roles) {
		return false, nil
	}
	n, err := t.q.UpdateServiceAccount(ctx, db.UpdateServiceAccountParams{ID: v.ID.UUID, Name: v.Name, DisabledAt: nullTime(v.Disabled)})
	if err := affected(n, err, "update service account"); err != nil {
		return false, err
	}
	if err := t.q.DeleteServiceAccountRoles(ctx, v.ID.UUID); err != nil {
		return false, classify(err, "update service account")
	}
	return true, t.writeServiceAccountRoles(ctx, v)
}

func (t *Tx) writeServiceAccountRoles(ctx context.Context, v *model.ServiceAccount) error {
	return classify(t.q.InsertServiceAccountRoles(ctx, db.InsertServiceAccountRolesParams{OrgID: v.Org.UUID, ServiceAccountID: v.ID.UUID, RoleIds: idsOf(sortedIDs(v.Roles))}), "update service account role")
}

// DeleteServiceAccount removes a row with its keys.
func (t *Tx) DeleteServiceAccount(ctx context.Context, id model.AccountID) error {
	n, err := t.q.DeleteServiceAccount(ctx, id.UUID)
	return affected(n, err, "delete service account")
}

// GetServiceAccount returns a row by its ID.
func (t *Tx) GetServiceAccount(ctx context.Context, id model.AccountID) (*model.ServiceAccount, error) {
	r, err := t.q.GetServiceAccount(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "service account")
	}
	return serviceAccount(r), nil
}

// GetServiceAccountByName returns a row by organization and name.
func (t *Tx) GetServiceAccountByName(ctx context.Context, org model.OrgID, name string) (*model.ServiceAccount, error) {
	r, err := t.q.GetServiceAccountByName(ctx, db.GetServiceAccountByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "service account")
	}
	return serviceAccount(db.GetServiceAccountRow(r)), nil
}

// ListServiceAccounts returns a page of an organization's rows ordered by name.
func (t *Tx) ListServiceAccounts(ctx context.Context, org model.OrgID, page Page) ([]*model.ServiceAccount, error) {
	rows, err := t.q.ListServiceAccounts(ctx, db.ListServiceAccountsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, func(r db.ListServiceAccountsRow) *model.ServiceAccount {
		return serviceAccount(db.GetServiceAccountRow(r))
	}), classify(err, "list service accounts")
}

// LockServiceAccount keeps a service account for the caller until the transaction ends.
func (t *Tx) LockServiceAccount(ctx context.Context, id model.AccountID) error {
	return classify(t.q.LockServiceAccount(ctx, id.UUID), "service account")
}

// GrantsOfServiceAccount returns the roles that a service account has.
func (t *Tx) GrantsOfServiceAccount(ctx context.Context, id model.AccountID) ([]model.Grant, error) {
	rows, err := t.q.GrantsOfServiceAccount(ctx, id.UUID)
	out := make([]model.Grant, len(rows))
	for i, r := range rows {
		out[i] = grant(r.OrgID, r.ID, r.Permissions)
	}
	return out, classify(err, "grants of service account")
}

func serviceAccount(r db.GetServiceAccountRow) *model.ServiceAccount {
	return &model.ServiceAccount{
		ID: model.AccountID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Name: r.Name, Roles: idsFrom[model.RoleID](r.RoleIds), Disabled: timeOrZero(r.DisabledAt),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
