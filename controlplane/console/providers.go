package console

import (
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

func listProviders(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.IdentityProviders.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Identity providers", Actions: newAction(q, access.SecurityManage, "new-identity-provider", "New identity provider"), Top: tabs(q, "People", peopleTabs(q)), Live: providersView(q, list)}, nil
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
	return &Page{Title: title, Crumbs: []Crumb{{"Identity providers", q.To("identity-providers")}}, Status: status, Top: providerFormView(q, name, f, roles)}, nil
}

func newProvider(q *Request) (*Page, error) { return q.providerForm("", filled(), 0) }

// providerSpec is what was typed of a provider. A rule on each line: a role, or "claim = value: role".
func providerSpec(f Form) (admin.IdentityProviderSpec, error) {
	s := admin.IdentityProviderSpec{
		Title: f.Get("title"), Issuer: f.Get("issuer"), ClientID: f.Get("client_id"), ClientSecret: f.Get("client_secret"), Scopes: f.lines("scopes"), Provision: f.Get("provision") == "on",
	}
	for i, line := range f.rows("rules") {
		r := admin.ClaimRule{Role: line}
		if at := strings.LastIndex(line, ":"); at >= 0 {
			claim, value, ok := strings.Cut(line[:at], "=")
			if !ok {
				return s, fault.Field("rules", "line %d: %q, want a role, or claim = value: role", i+1, line)
			}
			r = admin.ClaimRule{Claim: strings.TrimSpace(claim), Value: strings.TrimSpace(value), Role: strings.TrimSpace(line[at+1:])}
		}
		s.Rules = append(s.Rules, r)
	}
	return s, nil
}

// claimRules is what providerSpec reads.
func claimRules(rules []admin.ClaimRule) string {
	var out []string
	for _, r := range rules {
		if r.Claim == "" {
			out = append(out, r.Role)
			continue
		}
		out = append(out, r.Claim+" = "+r.Value+": "+r.Role)
	}
	return strings.Join(out, "\n")
}

func createProvider(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := providerSpec(f)
	if err == nil {
		_, _, err = q.Admin.IdentityProviders.Create(q.Context(), q.Who, q.scope(), f.Get("name"), spec)
	}
	return tried(f, err, Done{To: q.To("identity-providers"), Said: "People sign in by " + f.Get("name") + " now."}, func(f Form, status int) (*Page, error) { return q.providerForm("", f, status) })
}

func editProvider(q *Request) (*Page, error) {
	v, err := q.Admin.IdentityProviders.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled("title", v.Title, "issuer", v.Issuer, "client_id", v.ClientID, "scopes", strings.Join(v.Scopes, " "), "rules", claimRules(v.Rules))
	f.tick("provision", v.Provision)
	return q.providerForm(v.Name, f, 0)
}

func changeProvider(q *Request) (*Done, error) {
	v, err := q.Admin.IdentityProviders.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := providerSpec(f)
	for i := range spec.Rules { // the organization stays where a rule names it
		if j := slices.IndexFunc(v.Rules, func(r admin.ClaimRule) bool {
			return r.Claim == spec.Rules[i].Claim && r.Value == spec.Rules[i].Value && r.Role == spec.Rules[i].Role
		}); j >= 0 {
			spec.Rules[i].Organization = v.Rules[j].Organization
		}
	}
	if err == nil {
		_, _, _, err = q.Admin.IdentityProviders.Put(q.Context(), q.Who, q.scope(), v.ID, spec)
	}
	return tried(f, err, Done{To: q.To("identity-providers"), Said: "The identity provider " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.providerForm(v.Name, f, status) })
}
