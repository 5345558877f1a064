package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// lives are for how long a link or a token is good.
var lives = []Option{{"1h", "an hour"}, {"24h", "a day"}, {"168h", "a week"}, {"720h", "30 days"}, {"8760h", "a year"}, {"", "for good"}}

// until is the end of a life that was chosen, nil for none.
func (q *Request) until(f Form) (*time.Time, error) {
	if f.Get("life") == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(f.Get("life"))
	if err != nil || d <= 0 {
		return nil, fault.Field("life", "%q is no time that one can choose", f.Get("life"))
	}
	end := q.Now.Add(d).UTC()
	return &end, nil
}

func (q *Request) linkPage(v admin.Policy, f Form, status int) (*Page, error) {
	return &Page{Title: "New share link", Crumbs: q.policyCrumbs(Crumb{v.Name, q.To("policies", v.Name)}), Status: status, Top: linkFormView(q, v, f)}, nil
}

func newLink(q *Request) (*Page, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	return q.linkPage(v, filled("life", "168h"), 0)
}

func createLink(q *Request) (*Done, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	var made admin.ShareLink
	uses, err := number(f, "max_uses")
	if err == nil && uses < 0 {
		err = fault.Field("max_uses", "%d, want none, or a number above 0", uses)
	}
	spec := admin.ShareLinkSpec{Title: f.Get("title"), MaxUses: uint32(min(max(uses, 0), 1_000_000))}
	if err == nil {
		spec.ExpiresAt, err = q.until(f)
	}
	if err == nil {
		made, _, err = q.Admin.CreateShareLink(q.Context(), q.Who, q.Org.ID.String(), v.ID, spec)
	}
	back := q.To("policies", v.Name)
	once := &Page{Title: "The share link", Crumbs: q.policyCrumbs(Crumb{v.Name, back}), Top: secret("Whoever has this link gets in.", q.linkText(v, made.Path), back)}
	return tried(f, err, Done{Page: once}, func(f Form, status int) (*Page, error) { return q.linkPage(v, f, status) })
}

// linkText is a link for each service that a policy guards.
func (q *Request) linkText(v admin.Policy, path string) string {
	var out []string
	for _, name := range v.Services {
		for s := range q.m.Services() {
			if s.Org == q.Org.ID && s.Name == name && s.Kind == model.HTTP && !strings.HasPrefix(s.Hostname, "*.") {
				out = append(out, "https://"+q.m.HostPort(s)+path)
			}
		}
	}
	if len(out) == 0 {
		return "https://<hostname of a service>" + path
	}
	return strings.Join(out, "\n")
}

func (q *Request) tokenPage(v admin.Policy, f Form, status int) (*Page, error) {
	return &Page{Title: "New service token", Crumbs: q.policyCrumbs(Crumb{v.Name, q.To("policies", v.Name)}), Status: status, Top: tokenFormView(q, v, f)}, nil
}

func newToken(q *Request) (*Page, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	return q.tokenPage(v, filled("life", "8760h"), 0)
}

func createToken(q *Request) (*Done, error) {
	v, err := q.policyNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec := admin.ServiceTokenSpec{Name: f.Get("name")}
	var made admin.ServiceToken
	if spec.ExpiresAt, err = q.until(f); err == nil {
		made, _, err = q.Admin.CreateServiceToken(q.Context(), q.Who, q.Org.ID.String(), v.ID, spec)
	}
	back := q.To("policies", v.Name)
	text := fmt.Sprintf("Warren-Token-Id: %s\nWarren-Token-Secret: %s", made.ID, made.Secret)
	once := &Page{Title: "The service token", Crumbs: q.policyCrumbs(Crumb{v.Name, back}), Top: secret("A program that sends these two header fields gets in.", text, back)}
	return tried(f, err, Done{Page: once}, func(f Form, status int) (*Page, error) { return q.tokenPage(v, f, status) })
}

// revocation is an action that ends a link or a token, and the question before it.
func (c *Console) revocation(path, noun string, does func(q *Request, policy, id string) (model.Revision, error)) {
	c.page(path, access.PoliciesWrite, func(q *Request) (*Page, error) {
		v, err := q.policyNamed()
		if err != nil {
			return nil, err
		}
		back := q.To("policies", v.Name)
		return &Page{
			Title: "Revoke the " + noun + "?", Crumbs: q.policyCrumbs(Crumb{v.Name, back}),
			Top: question("The "+noun+" opens nothing any more, and what was opened with it is closed.", "Revoke it", q.URL.Path, back),
		}, nil
	})
	c.form(path, access.PoliciesWrite, func(q *Request) (*Done, error) {
		rev, err := does(q, q.PathValue("name"), q.PathValue("id"))
		return &Done{To: q.To("policies", q.PathValue("name")), Said: "The " + noun + " is revoked.", Revision: rev}, err
	})
}
