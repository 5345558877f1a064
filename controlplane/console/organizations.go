package console

import (
	"strconv"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// Organizations as the cluster's administrators see them: who shares the nodes, and how much of them.

func manageOrganizations(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Organizations.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Organizations", Actions: newAction(q, access.OrganizationsWrite, "new-organization", "New organization"), Live: tenantsView(q, list)}, nil
}

func (q *Request) organizationForm(name string, f Form, status int) (*Page, error) {
	title := "New organization"
	if name != "" {
		title = "Edit " + name
	}
	return &Page{Title: title, Crumbs: []Crumb{{"Organizations", q.ToCluster("organizations")}}, Status: status, Top: tenantFormView(q, name, f)}, nil
}

func newOrganization(q *Request) (*Page, error) {
	return q.organizationForm("", filled("requests_per_second", "0"), 0)
}

func organizationSpec(f Form) (admin.OrganizationSpec, error) {
	most, err := number(f, "requests_per_second")
	trusted := f.Get("trusted") == "on"
	return admin.OrganizationSpec{Trusted: &trusted, RequestsPerSecond: &most}, err
}

func createOrganization(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := organizationSpec(f)
	done := Done{To: q.ToCluster("organizations"), Said: "The organization " + f.Get("name") + " is there."}
	if err == nil {
		_, done.Revision, err = q.Admin.Organizations.Create(q.Context(), q.Who, "", f.Get("name"), spec)
	}
	return tried(f, err, done, func(f Form, status int) (*Page, error) { return q.organizationForm("", f, status) })
}

func (q *Request) organizationNamed() (admin.Organization, error) {
	return q.Admin.Organizations.Get(q.Context(), q.Who, "", q.PathValue("name"))
}

func editOrganization(q *Request) (*Page, error) {
	v, err := q.organizationNamed()
	if err != nil {
		return nil, err
	}
	f := filled("requests_per_second", strconv.Itoa(v.RequestsPerSecond))
	f.tick("trusted", v.Trusted)
	return q.organizationForm(v.Name, f, 0)
}

func changeOrganization(q *Request) (*Done, error) {
	v, err := q.organizationNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := organizationSpec(f)
	done := Done{To: q.ToCluster("organizations"), Said: v.Name + " is changed."}
	if err == nil {
		_, _, done.Revision, err = q.Admin.Organizations.Put(q.Context(), q.Who, "", v.ID, spec)
	}
	return tried(f, err, done, func(f Form, status int) (*Page, error) { return q.organizationForm(v.Name, f, status) })
}

// most is what each node serves of an organization in a second.
func most(perSecond int) string {
	if perSecond == 0 {
		return "as many as there are"
	}
	return strconv.Itoa(perSecond)
}

func (c *Console) organizationRoutes(cluster string) {
	at := cluster + "/organizations"
	c.page(at, access.OrganizationsRead, manageOrganizations)
	c.page(cluster+"/new-organization", access.OrganizationsWrite, newOrganization)
	c.form(cluster+"/new-organization", access.OrganizationsWrite, createOrganization)
	c.page(at+"/{name}/edit", access.OrganizationsWrite, editOrganization)
	c.form(at+"/{name}/edit", access.OrganizationsWrite, changeOrganization)
	c.removable(at+"/{name}", access.OrganizationsWrite, removalOf(c.Admin.Organizations, func(v admin.Organization) string { return v.Name },
		removal{noun: "organization", list: "organizations", title: "Organizations", warning: "It has to be empty: without services, sites, domains and members."}))
}
