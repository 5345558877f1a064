package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateMembership adds a row with its roles.
func (t *Tx) CreateMembership(ctx context.Context, v *model.Membership) error {
	if err := t.q.InsertMembership(ctx, db.InsertMembershipParams{OrgID: v.Org.UUID, UserID: v.User.UUID}); err != nil {
		return classify(err, "create membership")
	}
	return t.writeMembershipRoles(ctx, v)
}

// UpdateMembership replaces the roles of a row and reports whether they were others.
func (t *Tx) UpdateMembership(ctx context.Context, v *model.Membership) (changed bool, err error) {
	old, err := t.GetMembership(ctx, v.Org, v.User)
	if err != nil {
		return false, err
	}
	if slices.Equal(sortedIDs(v.Roles), old.Roles) {
		return false, nil
	}
	n, err := t.q.TouchMembership(ctx, db.TouchMembershipParams{OrgID: v.Org.UUID, UserID: v.User.UUID})
	if err := affected(n, err, "update membership"); err != nil {
		return false, err
	}
	if err := t.q.DeleteMembershipRoles(ctx, db.DeleteMembershipRolesParams{OrgID: v.Org.UUID, UserID: v.User.UUID}); err != nil {
		return false, classify(err, "update membership")
	}
	return true, t.writeMembershipRoles(ctx, v)
}

func (t *Tx) writeMembershipRoles(ctx context.Context, v *model.Membership) error {
	return classify(t.q.InsertMembershipRoles(ctx, db.InsertMembershipRolesParams{OrgID: v.Org.UUID, UserID: v.User.UUID, RoleIds: idsOf(sortedIDs(v.Roles))}), "update membership role")
}

// DeleteMembership removes a row; the user leaves the organization's groups.
func (t *Tx) DeleteMembership(ctx context.Context, org model.OrgID, user model.UserID) error {
	n, err := t.q.DeleteMembership(ctx, db.DeleteMembershipParams{OrgID: org.UUID, UserID: user.UUID})
	return affected(n, err, "delete membership")
}

// GetMembership returns a row by organization and user.
func (t *Tx) GetMembership(ctx context.Context, org model.OrgID, user model.UserID) (*model.Membership, error) {
	r, err := t.q.GetMembership(ctx, db.GetMembershipParams{OrgID: org.UUID, UserID: user.UUID})
	if err != nil {
		return nil, classify(err, "membership")
	}
	return membership(r), nil
}

// ListMemberships returns a page of an organization's rows, ordered by mail address.
func (t *Tx) ListMemberships(ctx context.Context, org model.OrgID, page Page) ([]*model.Membership, error) {
	rows, err := t.q.ListMembershipsOfOrganization(ctx, db.ListMembershipsOfOrganizationParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, func(r db.ListMembershipsOfOrganizationRow) *model.Membership {
		return membership(db.GetMembershipRow(r))
	}), classify(err, "list memberships")
}

// ListMembershipsOfUser returns all rows of a user.
func (t *Tx) ListMembershipsOfUser(ctx context.Context, user model.UserID) ([]*model.Membership, error) {
	rows, err := t.q.ListMembershipsOfUser(ctx, user.UUID)
	return convert(rows, func(r db.ListMembershipsOfUserRow) *model.Membership { return membership(db.GetMembershipRow(r)) }), classify(err, "list memberships")
}

// LockOwners returns the owners of an organization who are not disabled, and keeps them until the transaction ends.
func (t *Tx) LockOwners(ctx context.Context, org model.OrgID) ([]model.UserID, error) {
	ids, err := t.q.LockOwners(ctx, db.LockOwnersParams{OrgID: org.UUID, RoleID: model.RoleOwner.UUID})
	return idsFrom[model.UserID](ids), classify(err, "owners")
}

func membership(r db.GetMembershipRow) *model.Membership {
	return &model.Membership{
		Org: model.OrgID{UUID: r.OrgID}, User: model.UserID{UUID: r.UserID}, Email: r.Email, Roles: idsFrom[model.RoleID](r.RoleIds),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

// anyID is an ID of any kind.
type anyID interface {
	comparable
	~struct{ uuid.UUID }
}

func sortedIDs[ID anyID](ids []ID) []ID {
	out := slices.Clone(ids)
	slices.SortFunc(out, func(a, b ID) int {
		x, y := struct{ uuid.UUID }(a).UUID, struct{ uuid.UUID }(b).UUID
		return slices.Compare(x[:], y[:])
	})
	return slices.Compact(out)
}

func idsOf[ID anyID](ids []ID) []uuid.UUID {
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = struct{ uuid.UUID }(id).UUID
	}
	return out
}

func idsFrom[ID anyID](ids []uuid.UUID) []ID {
	var out []ID
	for _, id := range ids {
		out = append(out, ID(struct{ uuid.UUID }{id}))
	}
	return out
}
