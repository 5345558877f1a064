package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

var policyRemoval = removal{noun: "policy", list: "policies", title: "Policies", warning: "One that a service uses can't be deleted: that would be open to everybody."}

func (q *Request) policyCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Policies", q.To("policies")}}, more...)
}

func (q *Request) policyNamed() (admin.Policy, error) {
	return q.Admin.Policies.Get(q.Context(), q.Who, q.Org.ID.String(), q.PathValue("name"))
}

func listPolicies(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Policies.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Policies", Actions: policiesActions(q), Live: policiesView(q, list)}, nil
}

// showPolicy is a policy with what opens it.
func showPolicy(q *Request) (*Page, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	links, err := q.Admin.ShareLinks(q.Context(), q.Who, q.Org.ID.String(), v.ID)
	if err != nil {
		return nil, err
	}
	tokens, err := q.Admin.ServiceTokens(q.Context(), q.Who, q.Org.ID.String(), v.ID)
	if err != nil {
		return nil, err
	}
	return &Page{Title: v.Name, Crumbs: q.policyCrumbs(), Actions: policyActions(q, v), Live: policyView(q, v, links, tokens)}, nil
}

// policyPage is the form of a policy; name is that of one that is there.
func (q *Request) policyPage(name string, f Form, status int) (*Page, error) {
	p := &Page{Title: "New policy", Crumbs: q.policyCrumbs(), Status: status, Top: policyFormView(q, name, f)}
	if name != "" {
		p.Title, p.Crumbs = "Edit "+name, q.policyCrumbs(Crumb{name, q.To("policies", name)})
	}
	return p, nil
}

func newPolicy(q *Request) (*Page, error) {
	return q.policyPage("", policyForm(admin.PolicySpec{Otherwise: "authenticate", Auth: &admin.PolicyAuth{SignIn: &admin.PolicySignIn{Members: true}}}), 0)
}

func createPolicy(q *Request) (*Done, error) {
	return q.writePolicy("", func(f Form, s admin.PolicySpec) (string, model.Revision, error) {
		if f.Get("name") == "" {
			return "", 0, fault.Field("name", "missing")
		}
		v, rev, err := q.Admin.Policies.Create(q.Context(), q.Who, q.Org.ID.String(), f.Get("name"), s)
		return v.Name, rev, err
	})
}

func editPolicy(q *Request) (*Page, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	if len(v.Rules) > mostRules {
		return nil, fault.New(fault.Conflict, "This policy has %d rules, more than a form shows. Write it as YAML.", len(v.Rules))
	}
	spec, err := specOf[admin.PolicySpec](v)
	if err != nil {
		return nil, err
	}
	return q.keeping(v.ManagedBy)(q.policyPage(v.Name, policyForm(spec), 0))
}

func changePolicy(q *Request) (*Done, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	return q.writePolicy(v.Name, func(_ Form, s admin.PolicySpec) (string, model.Revision, error) {
		v, _, rev, err := q.Admin.Policies.Put(q.Context(), q.Who, q.Org.ID.String(), v.ID, s)
		return v.Name, rev, err
	})
}

// writePolicy does what a button of the form asks for: arranges rules, or writes the policy.
func (q *Request) writePolicy(name string, write func(Form, admin.PolicySpec) (string, model.Revision, error)) (*Done, error) {
	f := formOf(q)
	if f.arrange() {
		p, err := q.policyPage(name, f, http.StatusOK)
		return &Done{Page: p}, err
	}
	spec, err := policySpec(f)
	var rev model.Revision
	written := name
	if err == nil {
		written, rev, err = write(f, spec)
	}
	return tried(f, err, Done{To: q.To("policies", written), Said: "The policy " + written + " is saved.", Revision: rev}, func(f Form, status int) (*Page, error) {
		return q.policyPage(name, f, status)
	})
}

func (c *Console) policyRoutes(org string) {
	c.page(org+"/policies", access.PoliciesRead, listPolicies)
	c.page(org+"/new-policy", access.PoliciesWrite, newPolicy)
	c.form(org+"/new-policy", access.PoliciesWrite, createPolicy)
	at := org + "/policies/{name}"
	c.page(at, access.PoliciesRead, showPolicy)
	c.page(at+"/yaml", access.PoliciesRead, policyYAML)
	c.form(at+"/yaml", access.PoliciesWrite, changePolicyYAML)
	c.page(at+"/edit", access.PoliciesWrite, editPolicy)
	c.form(at+"/edit", access.PoliciesWrite, changePolicy)
	c.removable(at, access.PoliciesWrite, removalOf(c.Admin.Policies, func(v admin.Policy) string { return v.Name }, policyRemoval))
	c.page(at+"/new-link", access.PoliciesWrite, newLink)
	c.form(at+"/new-link", access.PoliciesWrite, createLink)
	c.page(at+"/new-token", access.PoliciesWrite, newToken)
	c.form(at+"/new-token", access.PoliciesWrite, createToken)
	c.revocation(at+"/links/{id}/revoke", "share link", func(q *Request, policy, id string) (model.Revision, error) {
		return q.Admin.RevokeShareLink(q.Context(), q.Who, q.Org.ID.String(), policy, id)
	})
	c.revocation(at+"/tokens/{id}/revoke", "service token", func(q *Request, policy, id string) (model.Revision, error) {
		return q.Admin.RevokeServiceToken(q.Context(), q.Who, q.Org.ID.String(), policy, id)
	})
	c.page(org+"/test", access.PoliciesRead, testRequest)
}

// waysOf are the ways in of a policy, as people say them.
func waysOf(v admin.Policy, links, tokens int) (out []string) {
	if a := v.Auth; a != nil {
		if in := a.SignIn; in != nil && in.Members {
			out = append(out, "members who sign in")
		} else if in != nil {
			out = append(out, "who signs in of "+strings.Join(append(append(append([]string{}, in.Users...), in.Roles...), in.Groups...), ", "))
		}
		if len(a.MailCode) > 0 {
			out = append(out, "a code mailed to "+strings.Join(a.MailCode, ", "))
		}
		if a.PIN != nil {
			out = append(out, "a PIN")
		}
		if a.Password != nil {
			out = append(out, "a password")
		}
		if len(a.Basic) > 0 {
			out = append(out, "basic authentication of "+plural(len(a.Basic), "user", "users"))
		}
		if a.ClientCertificate != nil {
			out = append(out, "a client certificate")
		}
	}
	if links > 0 {
		out = append(out, plural(links, "share link", "share links"))
	}
	if tokens > 0 {
		out = append(out, plural(tokens, "service token", "service tokens"))
	}
	return out
}

// ruleText is when a rule applies, as people say it: one text for each condition.
func ruleText(c admin.PolicyConditions) (out []string) {
	say := func(what string, values []string) {
		if len(values) > 0 {
			out = append(out, what+" "+cut(strings.Join(values, ", "), 300))
		}
	}
	say("from", c.Networks)
	say("path", c.Paths)
	say("method", c.Methods)
	say("country", c.Countries)
	var asns []string
	for _, n := range c.ASNs {
		asns = append(asns, "AS"+strconv.FormatInt(n, 10))
	}
	say("network of", asns)
	for _, h := range c.Headers {
		out = append(out, strings.TrimSpace("header "+h.Name+" "+strings.Join(h.Values, " or ")))
	}
	for _, w := range c.Windows {
		out = append(out, strings.TrimSpace("during "+strings.Join(w.Days, ",")+" "+w.From+"–"+w.To+" "+w.Zone))
	}
	return out
}

func actionTone(action string) string {
	switch action {
	case "allow":
		return good
	case "deny":
		return bad
	}
	return warn
}

// testURL is where a request at a service, or at any that a policy guards, is tested.
func (q *Request) testURL(service string) string {
	v := url.Values{}
	for s := range q.m.Services() {
		if s.Org == q.Org.ID && s.Name == service && !s.Raw() {
			v.Set("url", "https://"+strings.Replace(s.Hostname, "*", "any", 1)+"/")
		}
	}
	return withQuery(q.To("test"), v)
}
