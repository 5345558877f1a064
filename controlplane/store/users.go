package store

import (
	"context"
	"reflect"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateUser adds a row; its ID is the caller's to make.
func (t *Tx) CreateUser(ctx context.Context, v *model.User) error {
	return classify(t.q.InsertUser(ctx, db.InsertUserParams{
		ID: v.ID.UUID, Email: v.Email, Name: v.Name, ClusterRoleID: nullID(v.ClusterRole.UUID), DisabledAt: nullTime(v.Disabled),
	}), "create user")
}

// UpdateUser writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateUser(ctx context.Context, v *model.User) (changed bool, err error) {
	old, err := t.GetUser(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Disabled = stored(v.Disabled)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateUser(ctx, db.UpdateUserParams{
		ID: v.ID.UUID, Email: v.Email, Name: v.Name, ClusterRoleID: nullID(v.ClusterRole.UUID), DisabledAt: nullTime(v.Disabled),
	})
	return true, affected(n, err, "update user")
}

// DeleteUser removes a row with the user's memberships, sessions and keys.
func (t *Tx) DeleteUser(ctx context.Context, id model.UserID) error {
	n, err := t.q.DeleteUser(ctx, id.UUID)
	return affected(n, err, "delete user")
}

// GetUser returns a row by its ID.
func (t *Tx) GetUser(ctx context.Context, id model.UserID) (*model.User, error) {
	r, err := t.q.GetUser(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "user")
	}
	return user(r), nil
}

// GetUserByEmail returns a row by its canonical mail address.
func (t *Tx) GetUserByEmail(ctx context.Context, email string) (*model.User, error) {
	r, err := t.q.GetUserByEmail(ctx, email)
	if err != nil {
		return nil, classify(err, "user")
	}
	return user(r), nil
}

// ListUsers returns a page of rows ordered by mail address.
func (t *Tx) ListUsers(ctx context.Context, page Page) ([]*model.User, error) {
	rows, err := t.q.ListUsers(ctx, db.ListUsersParams{After: page.After, Most: page.limit()})
	return convert(rows, user), classify(err, "list users")
}

// CountUsers returns how many users there are: with none, nobody has signed in yet.
func (t *Tx) CountUsers(ctx context.Context) (int, error) {
	n, err := t.q.CountUsers(ctx)
	return int(n), classify(err, "count users")
}

// LockUser keeps all that belongs to a user from changing until the transaction ends: whoever changes his roles,
// memberships or sessions takes it first.
func (t *Tx) LockUser(ctx context.Context, id model.UserID) error {
	return classify(t.q.LockUser(ctx, id.UUID), "user")
}

// ShareUser keeps what a user may from changing until the transaction ends, beside others who rely on it.
func (t *Tx) ShareUser(ctx context.Context, id model.UserID) error {
	return classify(t.q.ShareUser(ctx, id.UUID), "user")
}

// GrantsOfUser returns the roles that a user has, in organizations and in the cluster.
func (t *Tx) GrantsOfUser(ctx context.Context, id model.UserID) ([]model.Grant, error) {
	rows, err := t.q.GrantsOfUser(ctx, id.UUID)
	out := make([]model.Grant, len(rows))
	for i, r := range rows {
		out[i] = grant(r.OrgID, r.ID, r.Permissions)
	}
	return out, classify(err, "grants of user")
}

func grant(org, role uuid.UUID, permissions []string) model.Grant {
	return model.Grant{Org: model.OrgID{UUID: org}, Role: model.RoleID{UUID: role}, Permissions: permissions}
}

func user(r db.User) *model.User {
	return &model.User{
		ID: model.UserID{UUID: r.ID}, Email: r.Email, Name: r.Name, ClusterRole: model.RoleID{UUID: idOrZero(r.ClusterRoleID)}, Disabled: timeOrZero(r.DisabledAt),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
