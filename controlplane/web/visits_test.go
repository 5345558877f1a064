package web

import (
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/policy"
)

const service = "wiki.example.org"

// publish makes a service of another organization than alice's, with a policy, and returns where a node sends its visitors.
func (r *rig) publish(t testing.TB, change func(*model.Policy)) string {
	t.Helper()
	ctx := t.Context()
	pool, org := &model.Pool{ID: model.PoolID{}.New(), Name: "elsewhere"}, &model.Organization{ID: model.OrgID{}.New(), Name: "acme"}
	p := &model.Policy{ID: model.PolicyID{}.New(), Org: org.ID, Name: "guard", Otherwise: policy.Authenticate}
	change(p)
	if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreatePool(ctx, pool), tx.CreateOrganization(ctx, org), tx.CreatePolicy(ctx, p),
			tx.CreateService(ctx, &model.Service{ID: model.ServiceID{}.New(), Org: org.ID, Name: "wiki", Kind: model.HTTP, Hostname: service, Pool: pool.ID, Policy: p.ID}))
	}); err != nil {
		t.Fatal(err)
	}
	b, err := r.db.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.visits.World.Set(r.visits.World.Get().Apply(b))
	return "/access/authorize?" + url.Values{"host": {service + ":8443"}, "challenge": {accesstoken.Binding("x")}, "state": {"s"}}.Encode()
}

// field is what a form of a page keeps.
func (p reply) field(t testing.TB, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no %s in %s", name, p.body)
	}
	return html.UnescapeString(m[1])
}

func TestVisitByMailedCode(t *testing.T) {
	r := newRig(t)
	at := r.publish(t, func(p *model.Policy) { p.Mail, p.SignIn = []string{"*@example.org"}, policy.SignIn{Members: true} })
	b := r.browser(t)
	asked := b.get(at)
	if asked.status != http.StatusOK || !strings.Contains(asked.body, "Sign in instead") {
		t.Fatalf("%d: %s", asked.status, asked.body)
	}
	sent := b.post("/access/mail", "visit", asked.field(t, "visit"), "email", "bob@example.org")
	if sent.status != http.StatusOK {
		t.Fatalf("%d: %s", sent.status, sent.body)
	}
	code := regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}`).FindString(r.mail.Next(t).Text)
	enter := func(code string) reply {
		return b.post("/access/mail/code", "visit", sent.field(t, "visit"), "flow", sent.field(t, "flow"), "email", "bob@example.org", "code", code)
	}
	if p := enter("BBBB-BBBB"); p.status != http.StatusForbidden || !strings.Contains(p.body, "the code is wrong") {
		t.Errorf("a wrong code: %d %s", p.status, p.body)
	}
	in := enter(code)
	to := regexp.MustCompile(`0;url=([^"]+)`).FindStringSubmatch(in.body)
	if in.status != http.StatusOK || to == nil || !strings.HasPrefix(to[1], "https://"+service+":8443/.warren/callback?code=") {
		t.Fatalf("%d: %s", in.status, in.body)
	}
	if p := enter(code); p.status != http.StatusNotFound || p.field(t, "visit") == "" {
		t.Errorf("a second time: %d %s", p.status, p.body)
	}
	if other := b.post("/access/mail", "visit", asked.field(t, "visit"), "email", "eve@elsewhere.example"); other.status != sent.status ||
		strings.Replace(strings.ReplaceAll(other.body, "eve@elsewhere.example", "bob@example.org"), other.field(t, "flow"), sent.field(t, "flow"), 1) != sent.body {
		t.Errorf("another page for who may not: %d %s", other.status, other.body)
	}
	b.header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}
	if p := b.post("/access/mail", "visit", asked.field(t, "visit"), "email", "bob@example.org"); p.status != http.StatusForbidden {
		t.Errorf("from another site: %d", p.status)
	}
}

// Who is signed in and may not visit is told so, with the other way in if there is one, instead of being sent around.
func TestWhoMayNotVisitIsTold(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	at := r.publish(t, func(p *model.Policy) { p.SignIn = policy.SignIn{Members: true} })
	if p := b.get(at); p.status != http.StatusForbidden || p.at.Path != "/access/authorize" || !strings.Contains(p.body, "you may not visit this service") || strings.Contains(p.body, `action="/access/mail"`) {
		t.Errorf("%d at %s: %s", p.status, p.at, p.body)
	}
	if p := r.browser(t).get(at); p.at.Path != "/sign-in" || Local(p.at.Query().Get("next")) != at {
		t.Errorf("not signed in: at %s", p.at)
	}
	if p := b.get("/access/authorize?host=evil.example&challenge=" + accesstoken.Binding("x")); p.status != http.StatusBadRequest {
		t.Errorf("to no service of ours: %d at %s", p.status, p.at)
	}
}

func TestKeysAreAtTheSignInURL(t *testing.T) {
	p := newRig(t).browser(t).get("/.well-known/jwks.json")
	var set struct{ Keys []any }
	if err := json.Unmarshal([]byte(p.body), &set); err != nil || p.status != http.StatusOK || set.Keys == nil || p.header.Get("Content-Type") != "application/jwk-set+json" {
		t.Errorf("%d %s %s: %v", p.status, p.header.Get("Content-Type"), p.body, err)
	}
}

// Who is signed in sees what he can open, and strangers are asked who they are.
func TestLauncher(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	if p := b.get("/services"); p.status != http.StatusOK || !strings.Contains(p.body, "nothing that you can open") {
		t.Errorf("%d: %s", p.status, p.body)
	}
	r.publish(t, func(p *model.Policy) { p.SignIn = policy.SignIn{Members: true} })
	if p := b.get("/services"); strings.Contains(p.body, service) {
		t.Errorf("of an organization that is not hers: %s", p.body)
	}
	if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(t.Context(), alice)
		if err != nil {
			return err
		}
		o, err := tx.GetOrganizationByName(t.Context(), "acme")
		if err != nil {
			return err
		}
		return tx.CreateMembership(t.Context(), &model.Membership{Org: o.ID, User: u.ID, Roles: []model.RoleID{model.RoleViewer}})
	}); err != nil {
		t.Fatal(err)
	}
	if p := b.get("/services"); !strings.Contains(p.body, `href="https://`+service+`/"`) || !strings.Contains(p.body, "<h2>acme</h2>") {
		t.Errorf("%d: %s", p.status, p.body)
	}
	if p := r.browser(t).get("/services"); p.at.Path != "/sign-in" {
		t.Errorf("a stranger is at %s", p.at)
	}
}

// Who comes from a service sees whose it is, on each page until he is in; who comes from nowhere does not.
func TestSignInLooksLikeTheService(t *testing.T) {
	r := newRig(t)
	at := r.publish(t, func(p *model.Policy) { p.Mail, p.SignIn = []string{"*@example.org"}, policy.SignIn{Members: true} })
	svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)
	if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		o, err := tx.GetOrganizationByName(t.Context(), "acme")
		if err != nil {
			return err
		}
		_, err = tx.BrandOrganization(t.Context(), o.ID, brand.Brand{Name: "Acme <b>& Co", Accent: "#ffcc00", Logo: svg})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	load, err := r.db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.visits.World.Set(r.visits.World.Get().Apply(load))
	b := r.browser(t)
	asked := b.get(at)
	sent := b.post("/access/mail", "visit", asked.field(t, "visit"), "email", "bob@example.org")
	signIn := b.get("/sign-in?next=" + url.QueryEscape(at))
	wrong := b.post("/sign-in", "email", "bob@example.org", "password", "x", "next", at)
	for name, p := range map[string]reply{"asked": asked, "mailed": sent, "sign-in": signIn, "wrong": wrong} {
		if !strings.Contains(p.body, "Acme &lt;b&gt;&amp; Co") || !strings.Contains(p.body, `src="/access/logo?host=`+service+`"`) || !strings.Contains(p.body, `href="/access/brand.css?host=`+service+`"`) {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	if p := b.get("/sign-in"); strings.Contains(p.body, "Acme") {
		t.Errorf("from nowhere: %s", p.body)
	}
	if p := b.get("/access/logo?host=" + service); p.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(p.header.Get("Content-Security-Policy"), "sandbox") || p.body != string(svg) {
		t.Errorf("logo: %d %v", p.status, p.header)
	}
	if p := b.get("/access/brand.css?host=" + service); !strings.Contains(p.body, "#ffcc00") || !strings.Contains(p.body, "#000000") {
		t.Errorf("style: %s", p.body)
	}
	if p := b.get("/access/logo?host=elsewhere.example"); p.status != http.StatusNotFound {
		t.Errorf("of nobody: %d", p.status)
	}
}
