package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/passkey/passkeytest"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	oldPassword = "correct horse battery staple"
	newPassword = "incorrect horse battery staple"
)

// self is a user who changes what he signs in with, over the API.
type self struct {
	*world
	user   model.UserID
	token  string // of his session, as he knows it
	cookie bool   // he calls as a browser does
	told   []signin.Event
}

func newSelf(t *testing.T) *self {
	t.Helper()
	s := &self{world: newWorld(t)}
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	limiter, err := limits.New("", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	home, _ := url.Parse("https://example.com")
	hasher := password.New(password.Options{})
	s.api.SignIn = signin.New(signin.Options{Store: s.db, Admin: s.api.Admin, Sealer: sealer, URL: home, Hasher: hasher, Limiter: limiter, Log: log,
		Audit: func(_ context.Context, e signin.Event) { s.told = append(s.told, e) }})
	s.token = s.signIn("ann@example.com", "default", model.RoleViewer)
	hash, err := hasher.Hash(t.Context(), oldPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(t.Context(), "ann@example.com")
		if err != nil {
			return err
		}
		s.user = u.ID
		return tx.SetPassword(t.Context(), u.ID, hash)
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// do calls with the session, and takes its new token if there is one.
func (s *self) do(want int, method, path, body string) reply {
	s.t.Helper()
	r := s.with(s.token, method, path, body)
	if r.status != want {
		s.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, r.status, r.body, want)
	}
	var shown struct{ Token string }
	_ = json.Unmarshal(r.body, &shown)
	switch set := r.header.Get("Set-Cookie"); {
	case s.cookie && set != "":
		if shown.Token != "" {
			s.t.Errorf("%s shows a browser the token", path)
		}
		c, err := http.ParseSetCookie(set)
		if err != nil || c.Name != SessionCookie || !c.HttpOnly || !c.Secure || c.Path != "/" {
			s.t.Errorf("%s: %q", path, set)
		}
		s.token = c.Value
	case set != "":
		s.t.Errorf("%s sets a cookie for who has none", path)
	case shown.Token != "":
		s.token = shown.Token
	}
	return r
}

func (s *self) with(token, method, path, body string) reply {
	if s.cookie {
		return s.send(token, method, path, body, nil)
	}
	return s.send("", method, path, body, http.Header{"Authorization": {"Bearer " + token}})
}

// over makes replicas forget what they know of callers.
func (s *self) over(token string) bool {
	s.t.Helper()
	_, _, err := s.api.Admin.FindSession(s.t.Context(), token)
	return err != nil
}

// A thief of a session does not get at what its owner signs in with: each change needs the password, or the sign-in to have
// been just now. Whoever knew the session's token before knows nothing after one.
func TestOwnAccount(t *testing.T) {
	for _, cookie := range []bool{false, true} {
		s := newSelf(t)
		s.cookie = cookie
		other := s.again()
		me := func(path string) string { return "/api/v1/me/" + path }
		current := `{"current_password":"` + oldPassword + `"`
		const wrong = `{"current_password":"` + newPassword + `"`

		// Without the password nothing goes.
		for _, c := range [][3]string{
			{"PUT", "password", wrong + `,"new_password":"` + newPassword + `"}`}, {"PUT", "password", `{"new_password":"` + newPassword + `"}`},
			{"POST", "totp", wrong + "}"}, {"POST", "totp/remove", wrong + "}"}, {"POST", "backup-codes", "{}"}, {"POST", "passkeys/options", wrong + "}"},
		} {
			s.api.SignIn.(*signin.Service).Limiter.Forget(t.Context(), limits.NewKey(limits.Rate{Every: time.Second, Burst: 1}, "himself", s.user.String()))
			if r := s.with(s.token, c[0], me(c[1]), c[2]); r.status != http.StatusForbidden {
				t.Errorf("%s %s: %d %s", c[0], c[1], r.status, r.body)
			}
		}
		if r := s.with(s.token, "POST", me("totp"), wrong+"}"); r.status != http.StatusForbidden && r.status != http.StatusTooManyRequests {
			t.Errorf("%d %s", r.status, r.body)
		}

		before := s.token
		s.do(200, "PUT", me("password"), current+`,"new_password":"`+newPassword+`"}`)
		if s.token == before || !s.over(before) || !s.over(other) || s.over(s.token) {
			t.Errorf("after the change the same token is good: %t, the other session's: %t", !s.over(before), !s.over(other))
		}
		current = wrong // it is the right one now
		if r := s.with(s.token, "PUT", me("password"), current+`,"new_password":"short"}`); r.status != 422 || !slices.Contains(r.locations(t), "body.password") {
			t.Errorf("%d %s", r.status, r.body)
		}

		var app struct{ Secret, URI string }
		s.do(201, "POST", me("totp"), current+"}").into(t, &app)
		if !strings.HasPrefix(app.URI, "otpauth://totp/") {
			t.Errorf("%+v", app)
		}
		if r := s.with(s.token, "POST", me("totp/confirm"), `{"code":"000000"}`); r.status != 422 {
			t.Errorf("a wrong code: %d %s", r.status, r.body)
		}
		code, err := totp.GenerateCode(strings.ReplaceAll(app.Secret, " ", ""), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var codes struct {
			Codes []string `json:"backup_codes"`
		}
		before = s.token
		s.do(200, "POST", me("totp/confirm"), `{"code":"`+code+`"}`).into(t, &codes)
		if len(codes.Codes) < 8 || s.token == before || !s.over(before) {
			t.Errorf("%d codes, the same token: %t", len(codes.Codes), s.token == before)
		}
		s.do(201, "POST", me("backup-codes"), current+"}").into(t, &codes)

		s.passkey(current)

		var account struct {
			Password, TOTP bool
			BackupCodes    int `json:"backup_codes"`
			Passkeys       int
		}
		s.do(200, "GET", me("account"), "").into(t, &account)
		if !account.Password || !account.TOTP || account.BackupCodes != len(codes.Codes) || account.Passkeys != 0 {
			t.Errorf("%+v", account)
		}
		s.do(204, "POST", me("totp/remove"), current+"}")
		if s.do(200, "GET", me("account"), "").into(t, &account); account.TOTP || account.BackupCodes != 0 {
			t.Errorf("%+v", account)
		}
		for _, action := range []string{"password.ask", "password.change", "app.begin", "app.add", "backup-codes.new", "passkey.add", "passkey.rename", "passkey.remove", "app.remove"} {
			if !slices.ContainsFunc(s.told, func(e signin.Event) bool { return e.Action == action && e.User == s.user }) {
				t.Errorf("%s is not told to the audit log", action)
			}
		}
	}
}

// again signs the user in once more.
func (s *self) again() (token string) {
	s.t.Helper()
	svc := s.api.SignIn.(*signin.Service)
	out, err := svc.Password(s.t.Context(), signin.Client{Address: netip.MustParseAddr("192.0.2.9")}, "ann@example.com", oldPassword)
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Token
}

// passkey adds a passkey, renames it and removes it.
func (s *self) passkey(current string) {
	t := s.t
	t.Helper()
	const base = "/api/v1/me/passkeys"
	var asked struct {
		Flow    string
		Options json.RawMessage
	}
	s.do(201, "POST", base+"/options", current+"}").into(t, &asked)
	options, err := virtualwebauthn.ParseAttestationOptions(string(asked.Options))
	if err != nil {
		t.Fatal(err)
	}
	party := virtualwebauthn.RelyingParty{Name: "Warren", ID: "example.com", Origin: "https://example.com"}
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: s.user.UUID[:]})
	made := virtualwebauthn.CreateAttestationResponse(party, device, passkeytest.Credential(), *options)
	body := `{"flow":"` + asked.Flow + `","name":"laptop","credential":` + made + `}`
	before := s.token
	s.do(201, "POST", base, body)
	if s.token == before || !s.over(before) {
		t.Error("a passkey more, and the same token")
	}
	s.do(404, "POST", base, body) // a ceremony is good once
	var list struct{ Items []struct{ ID, Name string } }
	if s.do(200, "GET", base, "").into(t, &list); len(list.Items) != 1 || list.Items[0].Name != "laptop" {
		t.Fatalf("%+v", list)
	}
	at := base + "/" + list.Items[0].ID
	s.do(204, "PUT", at, `{"name":"old laptop"}`)
	if s.do(200, "GET", base, "").into(t, &list); list.Items[0].Name != "old laptop" {
		t.Errorf("%+v", list)
	}
	s.do(404, "PUT", base+"/"+model.PasskeyID{}.New().String(), `{"name":"x"}`)
	s.do(403, "POST", at+"/remove", `{}`)
	s.do(404, "POST", base+"/x/remove", current+"}")
	s.do(204, "POST", at+"/remove", current+"}")
}

// A key of a user, whatever it may, is not the user: what he signs in with it does not touch.
func TestKeysDoNotChangeTheAccount(t *testing.T) {
	s := newSelf(t)
	var key struct{ Secret string }
	s.do(201, "POST", "/api/v1/me/api-keys", `{"name":"laptop","current_password":"`+oldPassword+`"}`).into(t, &key)
	for _, c := range [][3]string{{"POST", "api-keys", `{"name":"another","current_password":"` + oldPassword + `"}`}, {"GET", "identities", ""}, {"GET", "account", ""}, {"PUT", "password", `{"current_password":"` + oldPassword + `","new_password":"` + newPassword + `"}`}, {"POST", "totp", "{}"}, {"GET", "passkeys", ""}} {
		if r := s.as(key.Secret, c[0], "/api/v1/me/"+c[1], c[2]); r.status != http.StatusConflict {
			t.Errorf("%s %s: %d %s", c[0], c[1], r.status, r.body)
		}
	}
}

// The end of an organization's key is replaced by who manages its keys, and by nobody else.
func TestPutOrganizationKey(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"deploy","organization":"default"}`)
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"cluster"}`)
	admin, viewer := w.signIn("admin@example.com", "default", model.RoleAdmin), w.signIn("viewer@example.com", "default", model.RoleViewer)
	const at = org + "/api-keys/deploy"
	body := `{"expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`
	var key struct {
		ExpiresAt *time.Time `json:"expires_at"`
	}
	r := w.as(admin, "PUT", at, body)
	if r.into(t, &key); r.status != 200 || key.ExpiresAt == nil || r.header.Get("X-Warren-Unchanged") != "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := w.as(admin, "PUT", at, body); r.status != 200 || r.header.Get("X-Warren-Unchanged") != "true" {
		t.Errorf("again: %d %s", r.status, r.body)
	}
	if r := w.as(viewer, "PUT", at, body); r.status != 403 {
		t.Errorf("of a viewer: %d %s", r.status, r.body)
	}
	if r := w.as(admin, "PUT", org+"/api-keys/cluster", body); r.status != 404 {
		t.Errorf("of the cluster: %d %s", r.status, r.body)
	}
}
