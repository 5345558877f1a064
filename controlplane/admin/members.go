package admin

import (
	"errors"
	"slices"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

func asField(err error) (*fault.Error, bool) {
	fe, ok := errors.AsType[*fault.Error](err)
	return fe, ok && fe.Kind == fault.Invalid && fe.Field != ""
}

// MemberSpec is what is written of a member of an organization; his name is his mail address.
type MemberSpec struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"32" doc:"Roles in the organization, by name or id: its own, or owner, admin, member and viewer"`
}

// Member is a user who belongs to an organization.
type Member struct {
	OrgMeta
	DisplayName string   `json:"display_name,omitempty"`
	Roles       []string `json:"roles"`
	Groups      []string `json:"groups"`
	Disabled    bool     `json:"disabled"`
}

func members(a *Admin) *Collection[model.Membership, MemberSpec, Member] {
	return &Collection[model.Membership, MemberSpec, Member]{
		a: a, kind: "member", inOrg: true, read: access.MembersRead, write: access.MembersManage,
		byRef: memberByRef,
		list:  func(c *call, p store.Page) ([]*model.Membership, error) { return c.tx.ListMemberships(c, c.org, p) },
		after: func(v *model.Membership) string { return v.Email },
		build: buildMember,
		create: func(c *call, v *model.Membership) error {
			if err := c.tx.AcceptClaims(c, v.User, v.Org, v.Roles...); err != nil {
				return err
			}
			return c.tx.CreateMembership(c, v)
		},
		update: func(c *call, v *model.Membership) (bool, error) {
			if !slices.Contains(v.Roles, model.RoleOwner) {
				if err := c.leavesOwner(v.Org, v.User); err != nil {
					return false, err
				}
			}
			c.a.forgetUser(v.User)
			if err := c.byHand(v); err != nil {
				return false, err
			}
			changed, err := c.tx.UpdateMembership(c, v)
			if err != nil || !changed {
				return changed, err
			}
			return true, c.a.Restated(c, c.tx, v.Org, v.User)
		},
		drop: func(c *call, v *model.Membership) error {
			if _, err := c.mayManageMember(v); err != nil {
				return err
			}
			if err := c.leavesOwner(v.Org, v.User); err != nil {
				return err
			}
			c.a.forgetUser(v.User)
			if err := c.tx.RefuseClaims(c, v.User, v.Org); err != nil {
				return err
			}
			if err := c.tx.DeleteMembership(c, v.Org, v.User); err != nil {
				return err
			}
			return c.a.Restated(c, c.tx, v.Org, v.User) // elsewhere he is who he was
		},
		view: viewMember,
	}
}

// byHand makes what somebody gives and takes count more than what providers say: what he takes they give no more.
func (c *call) byHand(v *model.Membership) error {
	old, err := c.tx.GetMembership(c, v.Org, v.User)
	if err != nil {
		return err
	}
	taken := slices.DeleteFunc(slices.Clone(old.Roles), func(r model.RoleID) bool { return slices.Contains(v.Roles, r) })
	if len(taken) > 0 {
		if err := c.tx.RefuseClaims(c, v.User, v.Org, taken...); err != nil {
			return err
		}
	}
	return c.tx.AcceptClaims(c, v.User, v.Org, v.Roles...)
}

func memberByRef(c *call, ref string) (*model.Membership, error) {
	u, err := userByRef(c, ref)
	if err == nil {
		var m *model.Membership
		if m, err = c.tx.GetMembership(c, c.org, u.ID); err == nil {
			return m, nil
		}
	}
	if fault.Of(err) == fault.NotFound { // whether there is such a user at all is nobody's business
		return nil, notHere("member")
	}
	return nil, err
}

func buildMember(c *call, old *model.Membership, name string, s MemberSpec) (v *model.Membership, err error) {
	if old != nil {
		if v, err = c.mayManageMember(old); err != nil {
			return nil, err
		}
	} else if v, err = c.newMember(name); err != nil {
		return nil, err
	}
	v.Roles = nil
	for i, ref := range s.Roles {
		r, err := c.roleToGive("roles["+itoa(i)+"]", c.org, ref)
		if err != nil {
			return nil, err
		}
		v.Roles = append(v.Roles, r.ID)
	}
	return v, v.Validate()
}

// newMember makes a member of a user who is there. It tells who is: that is for those who may see all users; the
// others invite.
func (c *call) newMember(name string) (*model.Membership, error) {
	if !c.p.Can(access.UsersRead, model.OrgID{}) {
		return nil, fault.New(fault.Denied, "members are invited: only who may see all users (%s) adds one who did not accept", access.UsersRead)
	}
	u, err := userByRef(c, name)
	if err != nil {
		return nil, missing("name", name, err)
	}
	if err := c.tx.LockUser(c, u.ID); err != nil {
		return nil, err
	}
	return &model.Membership{Org: c.org, User: u.ID, Email: u.Email}, c.fresh()
}

// mayManageMember locks a member whom the caller changes or removes, who must not be able to do more there than he.
func (c *call) mayManageMember(v *model.Membership) (*model.Membership, error) {
	if err := c.tx.LockUser(c, v.User); err != nil {
		return nil, err
	}
	if err := c.fresh(); err != nil {
		return nil, err
	}
	now, err := c.tx.GetMembership(c, v.Org, v.User)
	if err != nil {
		return nil, err
	}
	roles, err := c.tx.GetRoles(c, now.Roles)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		if c.p.CheckGive(access.Of(r), v.Org) != nil {
			return nil, fault.New(fault.Denied, "this member may do what you may not")
		}
	}
	return now, nil
}

// leavesOwner makes sure that an organization has an owner without this user. Who administers the cluster can give it
// another one, and may leave it without.
func (c *call) leavesOwner(org model.OrgID, without model.UserID) error {
	if c.p.Can(access.OrganizationsWrite, model.OrgID{}) {
		return nil
	}
	owners, err := c.tx.LockOwners(c, org)
	if err != nil || len(owners) != 1 || owners[0] != without {
		return err
	}
	return fault.New(fault.Conflict, "this is the last owner of the organization: make somebody else one first; only who administers the cluster leaves it without")
}

// leaveOwners is leavesOwner for all organizations of a user.
func (c *call) leaveOwners(user model.UserID) error {
	all, err := c.tx.ListMembershipsOfUser(c, user)
	for _, m := range all {
		if err == nil && slices.Contains(m.Roles, model.RoleOwner) {
			err = c.leavesOwner(m.Org, user)
		}
	}
	return err
}

func viewMember(c *call, v *model.Membership) (out Member, err error) {
	if out.OrgMeta, err = c.orgMeta(v.User.String(), v.Email, v.Org, v.Meta); err != nil {
		return out, err
	}
	u, err := c.tx.GetUser(c, v.User)
	if err != nil {
		return out, err
	}
	out.DisplayName, out.Disabled, out.Groups = u.Name, !u.Disabled.IsZero(), []string{}
	if out.Roles, err = c.roleNames(v.Roles); err != nil {
		return out, err
	}
	groups, err := c.tx.ListGroupsOfUser(c, v.Org, v.User)
	for _, g := range groups {
		out.Groups = append(out.Groups, g.Name)
	}
	return out, err
}

// GroupSpec is what is written of a group.
type GroupSpec struct {
	Users []string `json:"users,omitempty" maxItems:"10000" doc:"Members of the organization, by mail address or id"`
}

// Group is a named set of an organization's members.
type Group struct {
	OrgMeta
	Users []string `json:"users"`
}

func groups(a *Admin) *Collection[model.Group, GroupSpec, Group] {
	return &Collection[model.Group, GroupSpec, Group]{
		a: a, kind: "group", inOrg: true, read: access.GroupsRead, write: access.GroupsManage,
		byRef: func(c *call, ref string) (*model.Group, error) {
			if id, err := (model.GroupID{}).Parse(ref); err == nil {
				v, err := c.tx.GetGroup(c, id)
				if err == nil && v.Org != c.org {
					return nil, notHere("group")
				}
				return v, err
			}
			return c.tx.GetGroupByName(c, c.org, ref)
		},
		list:  func(c *call, p store.Page) ([]*model.Group, error) { return c.tx.ListGroups(c, c.org, p) },
		after: func(v *model.Group) string { return v.Name },
		build: buildGroup,
		create: func(c *call, v *model.Group) error {
			if err := c.tx.LockOrganization(c, v.Org); err != nil {
				return err
			}
			if err := c.tx.CreateGroup(c, v); err != nil {
				return err
			}
			return c.a.Restated(c, c.tx, v.Org, v.Users...)
		},
		update: func(c *call, v *model.Group) (bool, error) {
			if err := c.tx.LockOrganization(c, v.Org); err != nil {
				return false, err
			}
			old, err := c.tx.GetGroup(c, v.ID)
			if err != nil {
				return false, err
			}
			changed, err := c.tx.UpdateGroup(c, v)
			if err != nil || !changed {
				return changed, err
			}
			return true, c.a.Restated(c, c.tx, v.Org, either(old.Users, v.Users)...)
		},
		drop: func(c *call, v *model.Group) error {
			if err := c.tx.LockOrganization(c, v.Org); err != nil {
				return err
			}
			if err := c.tx.DeleteGroup(c, v.ID); err != nil {
				return err
			}
			return c.a.Restated(c, c.tx, v.Org, v.Users...)
		},
		view: func(c *call, v *model.Group) (out Group, err error) {
			out.Users = []string{}
			for _, id := range v.Users {
				email, err := c.userName(id)
				if err != nil {
					return out, err
				}
				out.Users = append(out.Users, email)
			}
			out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta)
			return out, err
		},
	}
}

// either returns who is in one of two sets, and not in both.
func either(a, b []model.UserID) (out []model.UserID) {
	in := map[model.UserID]int{}
	for _, id := range append(slices.Clone(a), b...) {
		in[id]++
	}
	for id, n := range in {
		if n == 1 {
			out = append(out, id)
		}
	}
	return out
}

func buildGroup(c *call, old *model.Group, name string, s GroupSpec) (v *model.Group, err error) {
	v = &model.Group{ID: model.GroupID{}.New(), Org: c.org, Name: name}
	if old != nil {
		if err := c.tx.LockGroup(c, old.ID); err != nil {
			return nil, err
		}
		if v, err = c.tx.GetGroup(c, old.ID); err != nil {
			return nil, err
		}
	}
	v.Users = nil
	for i, ref := range s.Users {
		m, err := memberByRef(c, ref)
		if err != nil {
			return nil, missing("users["+itoa(i)+"]", ref, err)
		}
		v.Users = append(v.Users, m.User)
	}
	return v, v.Validate()
}
