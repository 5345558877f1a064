package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/signin/oidc/oidctest"
)

const redirect = "https://control.example.org/sign-in/oidc/callback"

type rig struct {
	idp *oidctest.Provider
	c   *Client
	cfg Config
}

func newRig(t *testing.T) *rig {
	t.Helper()
	idp := oidctest.Start(t, redirect)
	idp.AddUser("alice", "alice@example.org", true)
	idp.AddUser("mallory", "alice@example.org", false)
	return &rig{idp, New(idp.HTTP()), Config{
		Issuer: idp.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Scopes: []string{"email", "profile"}, RedirectURL: redirect,
	}}
}

func (r *rig) begin(t *testing.T) (string, Flow) {
	t.Helper()
	to, f, err := r.c.Begin(t.Context(), r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return to, f
}

func TestSignIn(t *testing.T) {
	r := newRig(t)
	to, f := r.begin(t)
	q, _ := url.Parse(to)
	if q := q.Query(); q.Get("code_challenge_method") != "S256" || q.Get("nonce") != f.Nonce || q.Get("state") != f.State || q.Get("redirect_uri") != redirect {
		t.Errorf("asked with %v", q)
	}
	back := r.idp.SignIn(t, to, "alice")
	id, err := r.c.Finish(t.Context(), r.cfg, f, back.Query())
	if err != nil || id.Issuer != r.idp.Issuer || id.Subject != "alice" || id.Email != "alice@example.org" || id.Name != "alice of the provider" {
		t.Fatal(id, err)
	}
	if _, err := r.c.Finish(t.Context(), r.cfg, f, back.Query()); fault.Of(err) != fault.Denied {
		t.Errorf("a code was good twice: %v", err)
	}
	to, f = r.begin(t)
	id, err = r.c.Finish(t.Context(), r.cfg, f, r.idp.SignIn(t, to, "mallory").Query())
	if err != nil || id.Subject != "mallory" || id.Email != "" {
		t.Errorf("an address that the provider does not vouch for counts: %+v, %v", id, err)
	}
}

// T32 and B15: a provider that lies, or an answer that was tampered with, signs nobody in.
func TestT32EveryLieIsRefused(t *testing.T) {
	r := newRig(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(k string, v any) oidctest.Lies { return oidctest.Lies{Claims: func(m map[string]any) { m[k] = v }} }
	without := func(k string) oidctest.Lies { return oidctest.Lies{Claims: func(m map[string]any) { delete(m, k) }} }
	said := func(k string, v ...string) oidctest.Lies {
		return oidctest.Lies{Answer: func(q url.Values) { q[k] = v }}
	}
	token := func(fn func(m map[string]any) string) oidctest.Lies { return oidctest.Lies{Token: fn} }
	now := time.Now()
	for name, lies := range map[string]oidctest.Lies{
		"missing state":           said("state"),
		"another state":           said("state", "nonsense"),
		"state twice":             {Answer: func(q url.Values) { q.Add("state", q.Get("state")) }},
		"missing code":            said("code"),
		"another code":            said("code", "nonsense"),
		"code twice":              {Answer: func(q url.Values) { q.Add("code", q.Get("code")) }},
		"an endless code":         said("code", strings.Repeat("x", 5000)),
		"another issuer's answer": said("iss", "https://evil.example"),
		"an error with script":    said("error", "<script>alert(1)</script>"),
		"an error with a code":    said("error", "access_denied"),
		"another issuer":          set("iss", "https://evil.example"),
		"the issuer with a slash": set("iss", r.idp.Issuer+"/"),
		"no issuer":               without("iss"),
		"another audience":        set("aud", []string{"another client"}),
		"no audience":             without("aud"),
		"audiences, no party":     {Claims: func(m map[string]any) { m["aud"] = []string{oidctest.ClientID, "another"}; delete(m, "azp") }},
		"another party":           set("azp", "another client"),
		"another nonce":           set("nonce", "nonsense"),
		"no nonce":                without("nonce"),
		"no subject":              without("sub"),
		"an empty subject":        set("sub", ""),
		"an endless subject":      set("sub", strings.Repeat("x", 256)),
		"ended":                   set("exp", now.Add(-time.Minute).Unix()),
		"no end":                  without("exp"),
		"not yet":                 set("nbf", now.Add(time.Hour).Unix()),
		"of the future":           set("iat", now.Add(time.Hour).Unix()),
		"another access token":    set("at_hash", "nonsense"),
		"no token":                token(func(map[string]any) string { return "" }),
		"no JWT":                  token(func(map[string]any) string { return "nonsense" }),
		"another key":             token(func(m map[string]any) string { return oidctest.SignWith(jose.RS256, stranger, r.idp.KeyID(), m) }),
		"another key, no name":    token(func(m map[string]any) string { return oidctest.SignWith(jose.RS256, stranger, "", m) }),
		"the client's secret": token(func(m map[string]any) string {
			return oidctest.SignWith(jose.HS256, []byte(strings.Repeat(oidctest.ClientSecret, 2)), "", m)
		}),
		"no signature":             token(unsigned),
		"a signature that was cut": token(func(m map[string]any) string { s := r.idp.Sign(m); return s[:len(s)-8] }),
		"a payload that was swapped": token(func(m map[string]any) string {
			parts := strings.Split(r.idp.Sign(m), ".")
			m["sub"] = "bob"
			b, _ := json.Marshal(m)
			parts[1] = base64.RawURLEncoding.EncodeToString(b)
			return strings.Join(parts, ".")
		}),
		"somebody else's userinfo": {UserInfo: func(m map[string]any) { m["sub"] = "bob" }},
	} {
		t.Run(name, func(t *testing.T) {
			to, f := r.begin(t)
			r.idp.Lie(lies)
			defer r.idp.Lie(oidctest.Lies{})
			id, err := r.c.Finish(t.Context(), r.cfg, f, r.idp.SignIn(t, to, "alice").Query())
			if fault.Of(err) != fault.Denied || id.Subject != "" {
				t.Fatalf("%+v, %v", id, err)
			}
			if fe := err.(*fault.Error); strings.Contains(fe.Msg, "script") {
				t.Errorf("it is repeated: %s", fe.Msg)
			}
		})
	}
	to, f := r.begin(t)
	if _, err := r.c.Finish(t.Context(), r.cfg, f, r.idp.SignIn(t, to, "alice").Query()); err != nil {
		t.Errorf("the truth: %v", err)
	}
}

func unsigned(m map[string]any) string {
	b, _ := json.Marshal(m)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
}

// Another browser's flow, an empty one, and another provider's are good for nothing.
func TestT32AFlowIsOfOneBrowserAndOneProvider(t *testing.T) {
	r, other := newRig(t), newRig(t)
	to, f := r.begin(t)
	_, second := r.begin(t)
	mixed := second
	mixed.State = f.State
	back := r.idp.SignIn(t, to, "alice").Query()
	for name, tc := range map[string]struct {
		cfg Config
		f   Flow
	}{
		"another browser":           {r.cfg, second},
		"another browser's secrets": {r.cfg, mixed},
		"no flow":                   {r.cfg, Flow{}},
		"another provider":          {other.cfg, f},
	} {
		c := r.c
		if tc.cfg.Issuer == other.cfg.Issuer {
			c = other.c
		}
		if _, err := c.Finish(t.Context(), tc.cfg, tc.f, back); fault.Of(err) != fault.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAProviderSaysOfItself(t *testing.T) {
	for name, lies := range map[string]oidctest.Lies{
		"another issuer":          {Discovery: func(m map[string]any) { m["issuer"] = "https://evil.example" }},
		"browsers go without TLS": {Discovery: func(m map[string]any) { m["authorization_endpoint"] = "http://evil.example/auth" }},
		"browsers go to a script": {Discovery: func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" }},
		"browsers are somebody":   {Discovery: func(m map[string]any) { m["authorization_endpoint"] = "https://a:b@evil.example/" }},
		"no JSON":                 {HTTP: func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true }},
		"an error":                {HTTP: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }},
		"a redirect": {HTTP: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
			return true
		}},
		"no end": {HTTP: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(`{"issuer":"`))
			for range 40 {
				_, _ = w.Write(make([]byte, 64<<10))
			}
			return true
		}},
	} {
		r := newRig(t)
		r.idp.Lie(lies)
		if to, _, err := r.c.Begin(t.Context(), r.cfg); fault.Of(err) != fault.Unavailable {
			t.Errorf("%s: %s, %v", name, to, err)
		}
	}
	for what, lies := range map[string]oidctest.Lies{
		"keys":     {Discovery: func(m map[string]any) { m["jwks_uri"] = "http://127.0.0.1:1/keys" }},
		"tokens":   {Discovery: func(m map[string]any) { m["token_endpoint"] = "http://127.0.0.1:1/token" }},
		"RFC 9207": {Discovery: func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }},
	} {
		r := newRig(t)
		r.idp.Lie(lies)
		to, f := r.begin(t)
		if _, err := r.c.Finish(t.Context(), r.cfg, f, r.idp.SignIn(t, to, "alice").Query()); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestMatching(t *testing.T) {
	var claims map[string]any
	err := json.Unmarshal([]byte(`{"groups":["ops","dev"],"department":"it","admin":true,"realm_access":{"roles":["edge"]},"https://example.org/roles":["x"],"empty":""}`), &claims)
	if err != nil {
		t.Fatal(err)
	}
	rules := []Rule{
		{"", "", "a", "member"}, {"groups", "ops", "b", "admin"}, {"groups", "op", "c", "admin"}, {"department", "it", "d", "viewer"}, {"admin", "true", "", "cluster-admin"},
		{"realm_access.roles", "edge", "e", "member"}, {"https://example.org/roles", "x", "f", "member"}, {"nothing", "*", "g", "member"}, {"empty", "*", "h", "member"},
		{"department", "*", "i", "member"}, {"groups.ops", "*", "j", "member"}, {"realm_access", "*", "k", "member"},
	}
	var got []string
	for _, r := range Matching(rules, claims) {
		got = append(got, r.Org)
	}
	if want := []string{"a", "b", "d", "", "e", "f", "i"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
