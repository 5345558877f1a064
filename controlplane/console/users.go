package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

func listUsers(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Users.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Users", Top: q.peopleTop(), Live: usersView(q, list)}, nil
}

func (q *Request) userNamed() (admin.User, error) {
	return q.Admin.Users.Get(q.Context(), q.Who, "", q.PathValue("name"))
}

func (q *Request) userForm(v admin.User, f Form, status int) (*Page, error) {
	roles, err := everyOf(q, q.Admin.ClusterRoles.List)
	if err != nil {
		return nil, err
	}
	choices := []Option{{"", "none"}}
	for _, r := range roles {
		choices = append(choices, Option{r.Name, r.Name})
	}
	return &Page{Title: "Edit " + v.Name, Crumbs: []Crumb{{"Users", q.ToCluster("users")}}, Status: status, Top: userFormView(q, f, choices)}, nil
}

func editUser(q *Request) (*Page, error) {
	v, err := q.userNamed()
	if err != nil {
		return nil, err
	}
	f := filled("display_name", v.DisplayName, "cluster_role", v.ClusterRole)
	f.tick("disabled", v.Disabled)
	return q.userForm(v, f, 0)
}

func changeUser(q *Request) (*Done, error) {
	v, err := q.userNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec := admin.UserSpec{DisplayName: f.Get("display_name"), ClusterRole: f.Get("cluster_role"), Disabled: f.Get("disabled") == "on"}
	_, _, _, err = q.Admin.Users.Put(q.Context(), q.Who, "", v.ID, spec)
	return tried(f, err, Done{To: q.ToCluster("users"), Said: v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.userForm(v, f, status) })
}

func signOutUser(q *Request) (*Done, error) {
	v, err := q.Admin.SignOutUser(q.Context(), q.Who, q.PathValue("name"))
	return &Done{To: q.ToCluster("users"), Said: "All sessions of " + v.Name + " are over."}, err
}

// userRoutes are the pages about all people of the cluster.
func (c *Console) userRoutes(cluster string) {
	c.roleRoutes(cluster, c.Admin.ClusterRoles)
	c.providerRoutes(cluster, access.ClusterManage, access.ClusterManage, c.Admin.ClusterIdentityProviders)
	at := cluster + "/users/{name}"
	c.page(cluster+"/users", access.UsersRead, listUsers)
	c.page(at+"/edit", access.UsersManage, editUser)
	c.form(at+"/edit", access.UsersManage, changeUser)
	c.form(at+"/sign-out", access.UsersManage, signOutUser)
	c.removable(at, access.UsersManage, removalOf(c.Admin.Users, func(v admin.User) string { return v.Name },
		removal{noun: "user", list: "users", title: "Users", warning: "Memberships, sessions and keys go with it."}))
}
