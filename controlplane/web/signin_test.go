package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/store"
)

// T28: a fresh cluster has no account that anybody could use. The setup token makes one, once.
func TestT28AFreshClusterHasNoUsableAccount(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	for _, email := range []string{"admin", "admin@localhost.localdomain", "root@example.com", alice} {
		if p := b.post("/sign-in", "email", email, "password", "admin"); p.status == 200 || b.cookie(sessions) != "" {
			t.Errorf("%s is let in", email)
		}
	}
	first, err := signin.NewSetupToken(t.Context(), r.db)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signin.NewSetupToken(t.Context(), r.db)
	if err != nil {
		t.Fatal(err)
	}
	good := []string{"email", alice, "name", "Alice", "password", secret}
	for name, tok := range map[string]string{"none": "", "one before": first, "cut": token[:42], "longer": token + "A", "altered": flip(token)} {
		if p := b.post("/setup", append([]string{"token", tok}, good...)...); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	if p := b.post("/setup", "token", token, "email", alice, "password", "password1234"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "too common") {
		t.Errorf("%d: %s", p.status, p.body)
	}
	if p := b.get("/setup?token=" + token); p.status != 200 || !strings.Contains(p.header.Get("Content-Security-Policy"), "default-src 'none'") || p.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v", p.status, p.header)
	}
	if p := b.post("/setup", append([]string{"token", token}, good...)...); p.status != 200 || p.at.Path != "/account" {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	if p := r.browser(t).post("/setup", "token", token, "email", "b@example.org", "password", secret); p.status != http.StatusNotFound {
		t.Errorf("used twice: %d", p.status)
	}
	if _, err := signin.NewSetupToken(t.Context(), r.db); fault.Of(err) != fault.Conflict {
		t.Errorf("another one although there is an administrator: %v", err)
	}
	err = r.db.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(t.Context(), alice)
		if err == nil && u.ClusterRole != model.RoleClusterAdmin {
			t.Error("the first one is no administrator")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func flip(s string) string {
	c := byte('A')
	if s[5] == c {
		c = 'B'
	}
	return s[:5] + string(c) + s[6:]
}

// Who tries addresses learns nothing: neither by what he is told, nor by what it costs.
func TestNoEnumeration(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	b.addApp()
	err := r.db.View(t.Context(), func(tx *store.Tx) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	bob := &model.User{ID: model.UserID{}.New(), Email: "bob@example.org", Disabled: time.Now()}
	if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.CreateUser(t.Context(), bob) }); err != nil {
		t.Fatal(err)
	}
	var first reply
	for i, email := range []string{alice, "nobody@example.org", "bob@example.org", "no address", "ALICE@example.org"} {
		before := r.hashes(t)
		p := r.browser(t).post("/sign-in", "email", email, "password", another)
		if n := r.hashes(t) - before; n != 1 {
			t.Errorf("%s: %v hashes", email, n)
		}
		p.body = strings.ReplaceAll(p.body, `value="`+email+`"`, "")
		if i == 0 {
			first = p
		} else if p.status != first.status || p.body != first.body || len(p.header) != len(first.header) {
			t.Errorf("%s: %d %s\nwant %d %s", email, p.status, p.body, first.status, first.body)
		}
	}
	before := r.hashes(t)
	known, unknown := r.browser(t).post("/reset", "email", alice), r.browser(t).post("/reset", "email", "nobody@example.org")
	if known.status != 200 || known.body != unknown.body || r.hashes(t) != before {
		t.Errorf("a reset tells them apart: %d %s\n%d %s", known.status, known.body, unknown.status, unknown.body)
	}
	if m := r.mail.Next(t); m.To != alice || r.mail.Count() != 0 {
		t.Errorf("mail to %s, and %d more", m.To, r.mail.Count())
	}
}

func TestTooManyAttempts(t *testing.T) {
	r := newRig(t)
	r.set(t)
	b := r.browser(t)
	for range 5 {
		if p := b.post("/sign-in", "email", alice, "password", another); p.status != http.StatusForbidden {
			t.Fatalf("%d", p.status)
		}
	}
	before := r.hashes(t)
	p := b.post("/sign-in", "email", alice, "password", secret)
	if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" || r.hashes(t) != before {
		t.Errorf("%d %v", p.status, p.header)
	}
	if p := b.post("/sign-in", "email", "bob@example.org", "password", secret); p.status != http.StatusForbidden {
		t.Errorf("another account: %d", p.status)
	}
}

// T30: the session of a sign-in is a new one, its cookie is of this host alone, and only pages of ours change anything.
func TestT30SessionsAreNotFixedAndFormsAreOurs(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	at, _ := url.Parse(home)
	victim := r.browser(t)
	planted := "wrn_session_" + strings.Repeat("A", 43)
	victim.Jar.SetCookies(at, []*http.Cookie{{Name: sessions, Value: planted, Path: "/", Secure: true}})
	victim.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := victim.post("/sign-in", "email", alice, "password", secret)
	var set *http.Cookie
	for _, c := range (&http.Response{Header: p.header}).Cookies() {
		if c.Name == sessions {
			set = c
		}
	}
	if p.status != http.StatusSeeOther || set == nil || set.Value == planted || !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/" || set.Domain != "" {
		t.Fatalf("%d %+v", p.status, set)
	}
	before := victim.cookie(sessions)
	victim.CheckRedirect = b.CheckRedirect
	victim.addApp()
	if after := victim.cookie(sessions); after == before || after == "" {
		t.Error("the same token after a second factor was shown")
	}
	old := r.browser(t)
	old.Jar.SetCookies(at, []*http.Cookie{{Name: sessions, Value: before, Path: "/", Secure: true}})
	if old.signedIn() {
		t.Error("the token before still works")
	}
	for name, h := range map[string]http.Header{
		"another site":                 {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		"a service below our domain":   {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://wiki.example.com"}},
		"another site, an old browser": {"Origin": {"https://evil.example"}},
		"our name with another port":   {"Origin": {"https://example.com:8443"}},
		"a sandbox":                    {"Origin": {"null"}},
		"nothing that browsers say":    {},
	} {
		b.header = h
		if p := b.post("/sign-out"); p.status != http.StatusForbidden || !b.signedIn() {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	for _, h := range []http.Header{{"Sec-Fetch-Site": {"same-origin"}}, {"Origin": {home}}} {
		b.header = h
		if p := b.post("/account/sessions/end", "id", "others"); p.status != 200 {
			t.Errorf("%v: %d", h, p.status)
		}
	}
	if p := b.post("/sign-out"); p.status != 200 || b.signedIn() || r.told("sign-out") != 1 {
		t.Errorf("sign-out: %d", p.status)
	}
}

// T31: whatever a request says our name is, links lead to the one of the settings.
func TestT31LinksComeFromTheSettings(t *testing.T) {
	r := newRig(t)
	r.set(t)
	b := r.browser(t)
	for _, header := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Host"} {
		b.header.Set(header, "evil.example")
	}
	if p := b.post("/reset", "email", alice); p.status != 200 {
		t.Fatal(p.status)
	}
	link := linkIn(t, r.mail.Next(t).Text)
	if link.Scheme+"://"+link.Host != home {
		t.Errorf("the link leads to %s", link)
	}
	req, _ := http.NewRequest(http.MethodPost, home+"/reset", strings.NewReader("email="+alice))
	req.Header = b.header.Clone()
	req.Host = "evil.example"
	if p := b.do(req); p.status != http.StatusMisdirectedRequest || r.mail.Count() != 0 {
		t.Errorf("another name: %d", p.status)
	}
	req, _ = http.NewRequest(http.MethodGet, home+"/sign-in", nil)
	req.Host = "evil.example"
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p := b.do(req); p.status != http.StatusFound || p.header.Get("Location") != home+"/" {
		t.Errorf("%d to %s", p.status, p.header.Get("Location"))
	}
}

// T33: a link or a session of which anything was changed is worth nothing; so is one that was used.
func TestT33AlteredTokensAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	b.post("/reset", "email", alice)
	link := linkIn(t, r.mail.Next(t).Text)
	token := link.Query().Get("token")
	at, _ := url.Parse(home)
	session := b.cookie(sessions)
	for name, change := range map[string]func(string) string{
		"cut": func(s string) string { return s[:len(s)-1] }, "longer": func(s string) string { return s + "A" }, "another end": func(s string) string { return s[:len(s)-1] + "_" },
		"altered": flip, "none": func(string) string { return "" }, "padded": func(s string) string { return s + "=" },
	} {
		if p := b.get("/reset/new?token=" + url.QueryEscape(change(token))); p.status != http.StatusNotFound {
			t.Errorf("a link, %s: %d", name, p.status)
		}
		thief := r.browser(t)
		thief.Jar.SetCookies(at, []*http.Cookie{{Name: sessions, Value: change(session), Path: "/", Secure: true}})
		if thief.signedIn() {
			t.Errorf("a session, %s: signed in", name)
		}
	}
	if p := b.post("/reset/new", "token", token, "password", "short"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a short one: %d", p.status)
	}
	if p := b.post("/reset/new", "token", token, "password", another); p.status != 200 || b.signedIn() {
		t.Errorf("%d, or sessions of the old password go on", p.status)
	}
	if p := b.post("/reset/new", "token", token, "password", secret); p.status != http.StatusNotFound {
		t.Errorf("a link was good twice: %d", p.status)
	}
	if p := b.post("/sign-in", "email", alice, "password", secret); p.status != http.StatusForbidden {
		t.Errorf("the old password: %d", p.status)
	}
	if p := b.post("/sign-in", "email", alice, "password", another); p.status != 200 || !b.signedIn() {
		t.Errorf("the new password: %d", p.status)
	}
}

func TestSecondFactor(t *testing.T) {
	r := newRig(t)
	owner := r.set(t)
	key, codes := owner.addApp()
	half := func() *browser {
		t.Helper()
		b := r.browser(t)
		if p := b.post("/sign-in", "email", alice, "password", secret, "next", "/device"); p.at.Path != "/sign-in/code" || b.cookie(sessions) != "" {
			t.Fatalf("%s, signed in by half", p.at)
		}
		return b
	}
	b := half()
	if p := b.post("/sign-in/code", "code", owner.confirmed, "next", "/device"); p.status != http.StatusForbidden {
		t.Errorf("the code that confirmed the app: %d", p.status)
	}
	next := code(t, key, 30*time.Second)
	if p := b.post("/sign-in/code", "code", next, "next", "/device"); p.status != 200 || !strings.Contains(p.body, `content="0;url=/device"`) || !b.signedIn() {
		t.Errorf("%d: %s", p.status, p.body)
	}
	b = half()
	if p := b.post("/sign-in/code", "code", next); p.status != http.StatusForbidden {
		t.Errorf("a code was good twice: %d", p.status)
	}
	if p := b.post("/sign-in/code", "code", strings.ToUpper(codes[3])); p.status != 200 || !b.signedIn() {
		t.Errorf("a backup code: %d", p.status)
	}
	b = half()
	if p := b.post("/sign-in/code", "code", codes[3]); p.status != http.StatusForbidden {
		t.Errorf("a backup code was good twice: %d", p.status)
	}
	for range 4 {
		b.post("/sign-in/code", "code", "000000")
	}
	if p := b.post("/sign-in/code", "code", codes[4]); p.status != http.StatusNotFound || b.signedIn() {
		t.Errorf("after five wrong ones: %d", p.status)
	}
	thief := r.browser(t)
	if p := thief.post("/sign-in/code", "code", codes[5]); p.status != http.StatusNotFound {
		t.Errorf("without the password: %d", p.status)
	}
}

func TestLocal(t *testing.T) {
	for next, want := range map[string]string{
		"": "/account", "/device?code=ABCD-EFGH": "/device?code=ABCD-EFGH", "/access/authorize?host=a&path=%2Fx%3Fy": "/access/authorize?host=a&path=%2Fx%3Fy",
		"//evil.example": "/account", "/\\evil.example": "/account", "\\\\evil.example": "/account", "https://evil.example": "/account", "evil": "/account",
		"/\t/evil.example": "/account", "/ /evil": "/account", "javascript:alert(1)": "/account", "/%5cevil.example": "/account", "/.//evil.example": "/.//evil.example",
		"/é": "/account", "///evil.example": "/account", "/" + strings.Repeat("a", 5000): "/account",
	} {
		if got := Local(next); got != want {
			t.Errorf("%q: %q, want %q", next, got, want)
		}
	}
}
