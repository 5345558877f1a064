package console

import (
	"strings"

	"github.com/a-h/templ"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

// peopleTop leads to the pages about who may do what, as far as the caller sees them.
func (q *Request) peopleTop() templ.Component {
	list := people
	if q.inCluster() {
		list = clusterPeople
	}
	var out []link
	for _, e := range list {
		if q.gives(e.need) {
			out = append(out, link{e.text, q.here(e.to), q.URL.Path == q.here(e.to)})
		}
	}
	return tabs(q, "People", out)
}

var people = []entry{
	{"Members", "members", access.MembersRead},
	{"Invitations", "invitations", access.InvitationsRead},
	{"Groups", "groups", access.GroupsRead},
	{"Roles", "roles", access.RolesRead},
	{"Service accounts", "service-accounts", access.ServiceAccountsRead},
	{"Identity providers", "identity-providers", access.SecurityRead},
	{"Visitors", "visitors", access.VisitorsRead},
}

// clusterPeople are the pages about who may do what in the whole cluster.
var clusterPeople = []entry{
	{"Users", "users", access.UsersRead},
	{"Roles", "roles", access.RolesRead},
	{"Identity providers", "identity-providers", access.ClusterManage},
}

func listMembers(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Members.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Members", Actions: membersActions(q), Top: q.peopleTop(), Live: peopleView(q, list)}, nil
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
	return &Page{Title: "Invitations", Actions: membersActions(q), Top: q.peopleTop(), Live: invitationsView(q, list)}, nil
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
	return &Page{Title: "Groups", Actions: newAction(q, access.GroupsManage, "new-group", "New group"), Top: q.peopleTop(), Live: groupsView(q, list)}, nil
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
	return q.keeping(v.ManagedBy)(q.groupForm(v.Name, filled("users", strings.Join(v.Users, "\n")), 0))
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

	c.roleRoutes(org, c.Admin.Roles)
	c.accountRoutes(org)
	c.providerRoutes(org, access.SecurityRead, access.SecurityManage, c.Admin.IdentityProviders)
	c.visitorRoutes(org)
}
