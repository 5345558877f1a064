package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// providers are those of the page: of the organization, or for everybody.
func (q *Request) providers() *admin.Collection[model.IdentityProvider, admin.IdentityProviderSpec, admin.IdentityProvider] {
	if q.inCluster() {
		return q.Admin.ClusterIdentityProviders
	}
	return q.Admin.IdentityProviders
}

func (q *Request) mayProvide() bool { return q.able(access.SecurityManage, access.ClusterManage) }

func listProviders(q *Request) (*Page, error) {
	list, err := part(q, q.providers().List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Identity providers", Actions: providersActions(q), Top: q.peopleTop(), Live: providersView(q, list)}, nil
}

func (q *Request) providerForm(name string, f Form, status int) (*Page, error) {
	title := "New identity provider"
	if name != "" {
		title = "Edit " + name
	}
	roles, err := q.roleOptions()
	if err != nil {
		return nil, err
	}
	return &Page{Title: title, Crumbs: []Crumb{{"Identity providers", q.here("identity-providers")}}, Status: status, Top: providerFormView(q, name, f, roles)}, nil
}

func newProvider(q *Request) (*Page, error) { return q.providerForm("", filled(), 0) }

// providerSpec is what was typed of a provider. A rule on each line: a role, or "claim = value: role", both perhaps with
// " in organization" behind.
func providerSpec(f Form) (admin.IdentityProviderSpec, error) {
	s := admin.IdentityProviderSpec{
		Title: f.Get("title"), Issuer: f.Get("issuer"), ClientID: f.Get("client_id"), ClientSecret: f.Get("client_secret"), Scopes: f.lines("scopes"), Provision: f.Get("provision") == "on",
	}
	for i, line := range f.rows("rules") {
		r, ok := claimRule(line)
		if !ok {
			return s, fault.Field("rules", "line %d: %q, want a role, or claim = value: role", i+1, line)
		}
		s.Rules = append(s.Rules, r)
	}
	return s, nil
}

func claimRule(line string) (r admin.ClaimRule, ok bool) {
	r.Role = line
	if at := strings.LastIndex(line, ":"); at >= 0 {
		if r.Claim, r.Value, ok = strings.Cut(line[:at], "="); !ok {
			return r, false
		}
		r.Claim, r.Value, r.Role = strings.TrimSpace(r.Claim), strings.TrimSpace(r.Value), line[at+1:]
	}
	words := strings.Fields(r.Role)
	switch {
	case len(words) == 1:
		r.Role = words[0]
	case len(words) == 3 && words[1] == "in":
		r.Role, r.Organization = words[0], words[2]
	default:
		return r, false
	}
	return r, true
}

// claimRules is what providerSpec reads of the rules of a provider, which gives roles in its own organization if it has one.
func claimRules(v admin.IdentityProvider) string {
	var out []string
	for _, r := range v.Rules {
		line := r.Role
		if r.Claim != "" {
			line = r.Claim + " = " + r.Value + ": " + r.Role
		}
		if r.Organization != v.Organization {
			line += " in " + r.Organization
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func createProvider(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := providerSpec(f)
	if err == nil {
		_, _, err = q.providers().Create(q.Context(), q.Who, q.scope(), f.Get("name"), spec)
	}
	return tried(f, err, Done{To: q.here("identity-providers"), Said: "People sign in by " + f.Get("name") + " now."}, func(f Form, status int) (*Page, error) { return q.providerForm("", f, status) })
}

func editProvider(q *Request) (*Page, error) {
	v, err := q.providers().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled("title", v.Title, "issuer", v.Issuer, "client_id", v.ClientID, "scopes", strings.Join(v.Scopes, " "), "rules", claimRules(v))
	f.tick("provision", v.Provision)
	return q.providerForm(v.Name, f, 0)
}

func changeProvider(q *Request) (*Done, error) {
	v, err := q.providers().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := providerSpec(f)
	if err == nil {
		_, _, _, err = q.providers().Put(q.Context(), q.Who, q.scope(), v.ID, spec)
	}
	return tried(f, err, Done{To: q.here("identity-providers"), Said: "The identity provider " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.providerForm(v.Name, f, status) })
}

// providerRoutes are the pages about where else people sign in: members of an organization, or everybody.
func (c *Console) providerRoutes(at string, read, write access.Permission, k *admin.Collection[model.IdentityProvider, admin.IdentityProviderSpec, admin.IdentityProvider]) {
	c.page(at+"/identity-providers", read, listProviders)
	c.page(at+"/new-identity-provider", write, newProvider)
	c.form(at+"/new-identity-provider", write, createProvider)
	c.page(at+"/identity-providers/{name}/edit", write, editProvider)
	c.form(at+"/identity-providers/{name}/edit", write, changeProvider)
	c.removable(at+"/identity-providers/{name}", write, removalOf(k, func(v admin.IdentityProvider) string { return v.Name },
		removal{noun: "identity provider", list: "identity-providers", title: "Identity providers", warning: "Nobody signs in by it any more."}))
}
