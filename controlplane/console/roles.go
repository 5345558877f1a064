package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

func listRoles(q *Request) (*Page, error) {
	list, err := part(q, q.roles().List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Roles", Actions: newAction(q, access.RolesManage, "new-role", "New role"), Top: q.peopleTop(), Live: rolesView(q, list)}, nil
}

// gives reports whether the caller can give a permission here.
func (q *Request) gives(p access.Permission) bool {
	if q.inCluster() {
		return q.Who.Can(p, model.OrgID{})
	}
	return q.Can(p)
}

// permissionOptions are the permissions that the caller can give here.
func (q *Request) permissionOptions() (out []Option) {
	for _, p := range access.Permissions(q.inCluster()) {
		if q.gives(p) {
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
	return &Page{Title: title, Crumbs: []Crumb{{"Roles", q.here("roles")}}, Status: status, Top: roleFormView(q, name, f)}, nil
}

func newRole(q *Request) (*Page, error) { return q.roleForm("", filled(), 0) }

func createRole(q *Request) (*Done, error) {
	f := formOf(q)
	_, _, err := q.roles().Create(q.Context(), q.Who, q.scope(), f.Get("name"), admin.RoleSpec{Permissions: append([]string{}, f.Values["permissions"]...)})
	return tried(f, err, Done{To: q.here("roles"), Said: "The role " + f.Get("name") + " is there."}, func(f Form, status int) (*Page, error) { return q.roleForm("", f, status) })
}

func editRole(q *Request) (*Page, error) {
	v, err := q.roles().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled()
	f.Values["permissions"] = v.Permissions
	return q.roleForm(v.Name, f, 0)
}

func changeRole(q *Request) (*Done, error) {
	v, err := q.roles().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	_, _, _, err = q.roles().Put(q.Context(), q.Who, q.scope(), v.ID, admin.RoleSpec{Permissions: append([]string{}, f.Values["permissions"]...)})
	return tried(f, err, Done{To: q.here("roles"), Said: "The role " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.roleForm(v.Name, f, status) })
}

// roles are those of the page: of the organization, or of the cluster.
func (q *Request) roles() *admin.Collection[model.Role, admin.RoleSpec, admin.Role] {
	if q.inCluster() {
		return q.Admin.ClusterRoles
	}
	return q.Admin.Roles
}

// roleOptions are the roles that can be given here.
func (q *Request) roleOptions() ([]Option, error) {
	list, err := everyOf(q, q.roles().List)
	var out []Option
	for _, r := range list {
		out = append(out, Option{r.Name, r.Name})
	}
	return out, err
}

// roleRoutes are the pages about what roles permit, in an organization or in the cluster.
func (c *Console) roleRoutes(at string, k *admin.Collection[model.Role, admin.RoleSpec, admin.Role]) {
	c.page(at+"/roles", access.RolesRead, listRoles)
	c.page(at+"/new-role", access.RolesManage, newRole)
	c.form(at+"/new-role", access.RolesManage, createRole)
	c.page(at+"/roles/{name}/edit", access.RolesManage, editRole)
	c.form(at+"/roles/{name}/edit", access.RolesManage, changeRole)
	c.removable(at+"/roles/{name}", access.RolesManage, removalOf(k, func(v admin.Role) string { return v.Name },
		removal{noun: "role", list: "roles", title: "Roles", warning: "Who has it may do no more what it permits."}))
}
