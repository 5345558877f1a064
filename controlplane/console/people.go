package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

// roleOptions are the roles that can be given in the organization.
func (q *Request) roleOptions() ([]Option, error) {
	list, err := everyOf(q, q.Admin.Roles.List)
	var out []Option
	for _, r := range list {
		out = append(out, Option{r.Name, r.Name})
	}
	return out, err
}

// peopleTabs are the pages about who may do what, as far as the caller sees them.
func peopleTabs(q *Request) []link {
	var out []link
	for _, e := range people {
		if q.Can(e.need) {
			out = append(out, link{e.text, q.To(e.to), q.URL.Path == q.To(e.to)})
		}
	}
	return out
}

var people = []entry{
	{"Members", "members", access.MembersRead},
	{"Invitations", "invitations", access.InvitationsRead},
	{"Groups", "groups", access.GroupsRead},
	{"Roles", "roles", access.RolesRead},
	{"Service accounts", "service-accounts", access.ServiceAccountsRead},
	{"Identity providers", "identity-providers", access.SecurityRead},
}

func listMembers(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Members.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Members", Actions: membersActions(q), Top: tabs(q, "People", peopleTabs(q)), Live: peopleView(q, list)}, nil
}

func (q *Request) personForm(title, list, page, said string, f Form, status int, named bool, hint string) (*Page, error) {
	roles, err := q.roleOptions()
	if err != nil {
		return nil, err
	}
	return &Page{Title: title, Crumbs: []Crumb{{page, q.To(list)}}, Status: status, Top: personFormView(q, f, roles, named, hint, said, q.To(list))}, nil
}

// someRole refuses a form without a role, as the API does.
func someRole(f Form) error {
	if len(f.Values["roles"]) == 0 {
		return fault.Field("roles", "want one at least")
	}
	return nil
}

func (q *Request) memberForm(name string, f Form, status int) (*Page, error) {
	return q.personForm("Roles of "+name, "members", "Members", "Save", f, status, false, "")
}

func editMember(q *Request) (*Page, error) {
	v, err := q.Admin.Members.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled()
	f.Values["roles"] = v.Roles
	return q.memberForm(v.Name, f, 0)
}

func changeMember(q *Request) (*Done, error) {
	v, err := q.Admin.Members.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	if err = someRole(f); err == nil {
		_, _, _, err = q.Admin.Members.Put(q.Context(), q.Who, q.scope(), v.ID, admin.MemberSpec{Roles: f.Values["roles"]})
	}
	return tried(f, err, Done{To: q.To("members"), Said: v.Name + " has other roles now."}, func(f Form, status int) (*Page, error) { return q.memberForm(v.Name, f, status) })
}

func listInvitations(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Invitations.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Invitations", Actions: membersActions(q), Top: tabs(q, "People", peopleTabs(q)), Live: invitationsView(q, list)}, nil
}

func (q *Request) inviteForm(f Form, status int) (*Page, error) {
	return q.personForm("Invite somebody", "invitations", "Invitations", "Invite", f, status, true, "The mail address. Who has its link joins; where there is no mail, you pass it on.")
}

func newInvitation(q *Request) (*Page, error) {
	return q.inviteForm(filled("roles", "member"), 0)
}

func createInvitation(q *Request) (*Done, error) {
	f := formOf(q)
	var v admin.Invitation
	err := someRole(f)
	if err == nil {
		v, err = q.Admin.Invite(q.Context(), q.Who, q.scope(), f.Get("name"), admin.InvitationSpec{Roles: f.Values["roles"]})
	}
	label := "With this link " + v.Name + " joins."
	if v.Mailed {
		label += " It was mailed as well."
	}
	once := &Page{Title: "The invitation", Crumbs: []Crumb{{"Invitations", q.To("invitations")}}, Top: secret(label, v.Link, q.To("invitations"))}
	return tried(f, err, Done{Page: once}, q.inviteForm)
}

func listGroups(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Groups.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Groups", Actions: newAction(q, access.GroupsManage, "new-group", "New group"), Top: tabs(q, "People", peopleTabs(q)), Live: groupsView(q, list)}, nil
}

func (q *Request) groupForm(name string, f Form, status int) (*Page, error) {
	title := "New group"
	if name != "" {
		title = "Edit " + name
	}
	return &Page{Title: title, Crumbs: []Crumb{{"Groups", q.To("groups")}}, Status: status, Top: groupFormView(q, name, f)}, nil
}

func newGroup(q *Request) (*Page, error) { return q.groupForm("", filled(), 0) }

func createGroup(q *Request) (*Done, error) {
	f := formOf(q)
	_, rev, err := q.Admin.Groups.Create(q.Context(), q.Who, q.scope(), f.Get("name"), admin.GroupSpec{Users: f.lines("users")})
	return tried(f, err, Done{To: q.To("groups"), Said: "The group " + f.Get("name") + " is there.", Revision: rev}, func(f Form, status int) (*Page, error) { return q.groupForm("", f, status) })
}

func editGroup(q *Request) (*Page, error) {
	v, err := q.Admin.Groups.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return q.groupForm(v.Name, filled("users", strings.Join(v.Users, "\n")), 0)
}

func changeGroup(q *Request) (*Done, error) {
	v, err := q.Admin.Groups.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	_, _, rev, err := q.Admin.Groups.Put(q.Context(), q.Who, q.scope(), v.ID, admin.GroupSpec{Users: f.lines("users")})
	return tried(f, err, Done{To: q.To("groups"), Said: "The group " + v.Name + " is changed.", Revision: rev}, func(f Form, status int) (*Page, error) { return q.groupForm(v.Name, f, status) })
}

func listRoles(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Roles.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Roles", Actions: newAction(q, access.RolesManage, "new-role", "New role"), Top: tabs(q, "People", peopleTabs(q)), Live: rolesView(q, list)}, nil
}

// permissionOptions are the permissions that the caller can give here.
func (q *Request) permissionOptions() (out []Option) {
	for _, p := range access.Permissions(false) {
		if q.Can(p) {
			out = append(out, Option{string(p), string(p)})
		}
	}
	return out
}

func (q *Request) roleForm(name string, f Form, status int) (*Page, error) {
	title := "New role"
	if name != "" {
		title = "Edit " + name
	}
	return &Page{Title: title, Crumbs: []Crumb{{"Roles", q.To("roles")}}, Status: status, Top: roleFormView(q, name, f)}, nil
}

func newRole(q *Request) (*Page, error) { return q.roleForm("", filled(), 0) }

func createRole(q *Request) (*Done, error) {
	f := formOf(q)
	_, _, err := q.Admin.Roles.Create(q.Context(), q.Who, q.scope(), f.Get("name"), admin.RoleSpec{Permissions: append([]string{}, f.Values["permissions"]...)})
	return tried(f, err, Done{To: q.To("roles"), Said: "The role " + f.Get("name") + " is there."}, func(f Form, status int) (*Page, error) { return q.roleForm("", f, status) })
}

func editRole(q *Request) (*Page, error) {
	v, err := q.Admin.Roles.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled()
	f.Values["permissions"] = v.Permissions
	return q.roleForm(v.Name, f, 0)
}

func changeRole(q *Request) (*Done, error) {
	v, err := q.Admin.Roles.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	_, _, _, err = q.Admin.Roles.Put(q.Context(), q.Who, q.scope(), v.ID, admin.RoleSpec{Permissions: append([]string{}, f.Values["permissions"]...)})
	return tried(f, err, Done{To: q.To("roles"), Said: "The role " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.roleForm(v.Name, f, status) })
}

// peopleRoutes are the pages about who may do what in an organization.
func (c *Console) peopleRoutes(org string) {
	c.page(org+"/members", access.MembersRead, listMembers)
	c.page(org+"/members/{name}/edit", access.MembersManage, editMember)
	c.form(org+"/members/{name}/edit", access.MembersManage, changeMember)
	c.removable(org+"/members/{name}", access.MembersManage, removalOf(c.Admin.Members, func(v admin.Member) string { return v.Name },
		removal{noun: "membership of", list: "members", title: "Members", warning: "What was given because of it ends at once."}))

	c.page(org+"/invitations", access.InvitationsRead, listInvitations)
	c.page(org+"/invite", access.InvitationsManage, newInvitation)
	c.form(org+"/invite", access.InvitationsManage, createInvitation)
	c.removable(org+"/invitations/{name}", access.InvitationsManage, removalOf(c.Admin.Invitations, func(v admin.Invitation) string { return v.Name },
		removal{noun: "invitation of", list: "invitations", title: "Invitations", warning: "Its link is good for nothing."}))

	c.page(org+"/groups", access.GroupsRead, listGroups)
	c.page(org+"/new-group", access.GroupsManage, newGroup)
	c.form(org+"/new-group", access.GroupsManage, createGroup)
	c.page(org+"/groups/{name}/edit", access.GroupsManage, editGroup)
	c.form(org+"/groups/{name}/edit", access.GroupsManage, changeGroup)
	c.removable(org+"/groups/{name}", access.GroupsManage, removalOf(c.Admin.Groups, func(v admin.Group) string { return v.Name },
		removal{noun: "group", list: "groups", title: "Groups", warning: "Policies that let it in let its members in no more."}))

	c.page(org+"/roles", access.RolesRead, listRoles)
	c.page(org+"/new-role", access.RolesManage, newRole)
	c.form(org+"/new-role", access.RolesManage, createRole)
	c.page(org+"/roles/{name}/edit", access.RolesManage, editRole)
	c.form(org+"/roles/{name}/edit", access.RolesManage, changeRole)
	c.removable(org+"/roles/{name}", access.RolesManage, removalOf(c.Admin.Roles, func(v admin.Role) string { return v.Name },
		removal{noun: "role", list: "roles", title: "Roles", warning: "Who has it may do no more what it permits."}))

	c.accountRoutes(org)
	c.page(org+"/identity-providers", access.SecurityRead, listProviders)
	c.page(org+"/new-identity-provider", access.SecurityManage, newProvider)
	c.form(org+"/new-identity-provider", access.SecurityManage, createProvider)
	c.page(org+"/identity-providers/{name}/edit", access.SecurityManage, editProvider)
	c.form(org+"/identity-providers/{name}/edit", access.SecurityManage, changeProvider)
	c.removable(org+"/identity-providers/{name}", access.SecurityManage, removalOf(c.Admin.IdentityProviders, func(v admin.IdentityProvider) string { return v.Name },
		removal{noun: "identity provider", list: "identity-providers", title: "Identity providers", warning: "Nobody signs in by it any more."}))
}
