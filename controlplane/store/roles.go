package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateRole adds a row; its ID is the caller's to make.
func (t *Tx) CreateRole(ctx context.Context, v *model.Role) error {
	return classify(t.q.InsertRole(ctx, db.InsertRoleParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Scope: roleScope(v), Permissions: notNil(v.Permissions),
	}), "create role")
}

func roleScope(v *model.Role) string {
	if v.Cluster {
		return "cluster"
	}
	return "organization"
}

// UpdateRole writes name and permissions and reports whether they were others. One that is built in is not there.
func (t *Tx) UpdateRole(ctx context.Context, v *model.Role) (changed bool, err error) {
	old, err := t.GetRole(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta, same.Permissions = old.Meta, orNil(v.Permissions)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateRole(ctx, db.UpdateRoleParams{ID: v.ID.UUID, Name: v.Name, Permissions: notNil(v.Permissions)})
	return true, affected(n, err, "update role")
}

// DeleteRole removes a row; one that somebody has is a conflict.
func (t *Tx) DeleteRole(ctx context.Context, id model.RoleID) error {
	n, err := t.q.DeleteRole(ctx, id.UUID)
	return affected(n, err, "delete role")
}

// GetRole returns a row by its ID.
func (t *Tx) GetRole(ctx context.Context, id model.RoleID) (*model.Role, error) {
	r, err := t.q.GetRole(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "role")
	}
	return role(r), nil
}

// GetRoles returns the rows with the given IDs, by name.
func (t *Tx) GetRoles(ctx context.Context, ids []model.RoleID) ([]*model.Role, error) {
	rows, err := t.q.GetRoles(ctx, idsOf(ids))
	return convert(rows, role), classify(err, "roles")
}

// GetRoleByName returns a role that may be given in an organization, its own or one that is built in, or, where
// that is zero, in the cluster.
func (t *Tx) GetRoleByName(ctx context.Context, org model.OrgID, name string) (*model.Role, error) {
	var r db.Role
	var err error
	if org.IsZero() {
		r, err = t.q.GetClusterRoleByName(ctx, name)
	} else {
		r, err = t.q.GetOrgRoleByName(ctx, db.GetOrgRoleByNameParams{Name: name, OrgID: org.UUID})
	}
	if err != nil {
		return nil, classify(err, "role")
	}
	return role(r), nil
}

// ListRoles returns a page of the roles that may be given in an organization, or, where that is zero, in the
// cluster, ordered by name.
func (t *Tx) ListRoles(ctx context.Context, org model.OrgID, page Page) ([]*model.Role, error) {
	var rows []db.Role
	var err error
	if org.IsZero() {
		rows, err = t.q.ListClusterRoles(ctx, db.ListClusterRolesParams{After: page.After, Most: page.limit()})
	} else {
		rows, err = t.q.ListOrgRoles(ctx, db.ListOrgRolesParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	}
	return convert(rows, role), classify(err, "list roles")
}

// LockRole keeps a role for the caller until the transaction ends: who relies on what it permits waits.
func (t *Tx) LockRole(ctx context.Context, id model.RoleID) error {
	return classify(t.q.LockRole(ctx, id.UUID), "role")
}

// ShareRoles keeps what roles permit from changing until the transaction ends.
func (t *Tx) ShareRoles(ctx context.Context, ids []model.RoleID) error {
	return classify(t.q.ShareRoles(ctx, idsOf(ids)), "roles")
}

func role(r db.Role) *model.Role {
	return &model.Role{
		ID: model.RoleID{UUID: r.ID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Name: r.Name, Cluster: r.Scope == "cluster", Builtin: r.Builtin,
		Permissions: orNil(r.Permissions), Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
