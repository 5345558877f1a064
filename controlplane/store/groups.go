package store

import (
	"context"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateGroup adds a row with its members, who must be members of the organization; its ID is the caller's to make.
func (t *Tx) CreateGroup(ctx context.Context, v *model.Group) error {
	if err := t.q.InsertGroup(ctx, db.InsertGroupParams{ID: v.ID.UUID, OrgID: v.Org.UUID, Name: v.Name}); err != nil {
		return classify(err, "create user group")
	}
	return t.writeGroupMembers(ctx, v)
}

// UpdateGroup writes a row with its members and reports whether anything but the time of the update was different.
func (t *Tx) UpdateGroup(ctx context.Context, v *model.Group) (changed bool, err error) {
	old, err := t.GetGroup(ctx, v.ID)
	if err != nil {
		return false, err
	}
	if v.Name == old.Name && slices.Equal(sortedIDs(v.Users), old.Users) {
		return false, nil
	}
	n, err := t.q.UpdateGroup(ctx, db.UpdateGroupParams{ID: v.ID.UUID, Name: v.Name})
	if err := affected(n, err, "update group"); err != nil {
		return false, err
	}
	if err := t.q.DeleteGroupMembers(ctx, v.ID.UUID); err != nil {
		return false, classify(err, "update group")
	}
	return true, t.writeGroupMembers(ctx, v)
}

func (t *Tx) writeGroupMembers(ctx context.Context, v *model.Group) error {
	return classify(t.q.InsertGroupMembers(ctx, db.InsertGroupMembersParams{OrgID: v.Org.UUID, GroupID: v.ID.UUID, UserIds: idsOf(sortedIDs(v.Users))}), "update user group member")
}

// DeleteGroup removes a row.
func (t *Tx) DeleteGroup(ctx context.Context, id model.GroupID) error {
	n, err := t.q.DeleteGroup(ctx, id.UUID)
	return affected(n, err, "delete group")
}

// GetGroup returns a row by its ID.
func (t *Tx) GetGroup(ctx context.Context, id model.GroupID) (*model.Group, error) {
	r, err := t.q.GetGroup(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "group")
	}
	return group(r), nil
}

// GetGroupByName returns a row by organization and name.
func (t *Tx) GetGroupByName(ctx context.Context, org model.OrgID, name string) (*model.Group, error) {
	r, err := t.q.GetGroupByName(ctx, db.GetGroupByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "group")
	}
	return group(db.GetGroupRow(r)), nil
}

// ListGroups returns a page of an organization's rows ordered by name.
func (t *Tx) ListGroups(ctx context.Context, org model.OrgID, page Page) ([]*model.Group, error) {
	rows, err := t.q.ListGroups(ctx, db.ListGroupsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, func(r db.ListGroupsRow) *model.Group { return group(db.GetGroupRow(r)) }), classify(err, "list groups")
}

// ListGroupsOfUser returns the groups of an organization that a user is in, by name.
func (t *Tx) ListGroupsOfUser(ctx context.Context, org model.OrgID, user model.UserID) ([]*model.Group, error) {
	rows, err := t.q.ListGroupsOfUser(ctx, db.ListGroupsOfUserParams{OrgID: org.UUID, UserID: user.UUID})
	return convert(rows, func(r db.ListGroupsOfUserRow) *model.Group { return group(db.GetGroupRow(r)) }), classify(err, "list groups")
}

// LockGroup keeps a group for the caller until the transaction ends.
func (t *Tx) LockGroup(ctx context.Context, id model.GroupID) error {
	return classify(t.q.LockGroup(ctx, id.UUID), "group")
}

func group(r db.GetGroupRow) *model.Group {
	return &model.Group{
		ID: model.GroupID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Name: r.Name, Users: idsFrom[model.UserID](r.UserIds),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
