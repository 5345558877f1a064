// Package oidctest is an OpenID provider for tests that can be made to lie.
//
// What is underneath is an honest one, zitadel/oidc; each lie is told on the way out.
package oidctest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What Warren is registered as.
const (
	ClientID     = "warren"
	ClientSecret = "the client's secret"
)

// Lies are what the provider says instead of the truth. The zero value is honest.
type Lies struct {
	Claims    func(map[string]any)                          // of the id_token, which is signed again
	Token     func(claims map[string]any) string            // instead of the id_token
	Discovery func(map[string]any)                          // of what it says of itself
	UserInfo  func(map[string]any)                          // of what it says of a person
	Answer    func(url.Values)                              // of what the browser is sent back with
	HTTP      func(http.ResponseWriter, *http.Request) bool // true: it has answered
}

// Provider is a running provider.
type Provider struct {
	Issuer string

	srv   *httptest.Server
	store *storage.Storage
	inner http.Handler

	mu    sync.Mutex
	lies  Lies
	users map[string]*storage.User
}

// Start runs a provider that sends browsers back to a URL, until the test ends.
func Start(t testing.TB, redirect string) *Provider {
	t.Helper()
	p := &Provider{users: map[string]*storage.User{}}
	p.srv = httptest.NewTLSServer(p)
	t.Cleanup(p.srv.Close)
	p.Issuer = p.srv.URL
	p.store = storage.NewStorageWithClients(p, map[string]*storage.Client{ClientID: storage.WebClient(ClientID, ClientSecret, redirect)})
	var key [32]byte
	handler, err := op.NewProvider(&op.Config{CryptoKey: key, CodeMethodS256: true, AuthMethodPost: true}, p.store, op.StaticIssuer(p.Issuer))
	if err != nil {
		t.Fatal(err)
	}
	p.inner = handler
	return p
}

// HTTP is a client that trusts the provider's certificate.
func (p *Provider) HTTP() *http.Client { return p.srv.Client() }

// Lie makes the provider lie from now on.
func (p *Provider) Lie(l Lies) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lies = l
}

func (p *Provider) telling() Lies {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lies
}

// AddUser gives the provider a user, whose subject is his name.
func (p *Provider) AddUser(name, email string, verified bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[name] = &storage.User{ID: name, Username: name, Password: "secret", FirstName: name, LastName: "of the provider", Email: email, EmailVerified: verified}
}

// GetUserByID implements storage.UserStore.
func (p *Provider) GetUserByID(id string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users[id]
}

// GetUserByUsername implements storage.UserStore.
func (p *Provider) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

// ExampleClientID implements storage.UserStore.
func (p *Provider) ExampleClientID() string { return storage.ServiceUserID }

// SignIn does what a browser and a person at it do: it follows authURL, signs a user in, and returns where the browser
// is sent, with what.
func (p *Provider) SignIn(t testing.TB, authURL, user string) *url.URL {
	t.Helper()
	to := p.redirected(t, authURL)
	id := to.Query().Get("authRequestID")
	if err := p.store.CheckUsernamePassword(user, "secret", id); err != nil {
		t.Fatal(err)
	}
	back := p.redirected(t, p.Issuer+"/authorize/callback?id="+url.QueryEscape(id))
	if lie := p.telling().Answer; lie != nil {
		q := back.Query()
		lie(q)
		back.RawQuery = q.Encode()
	}
	return back
}

func (p *Provider) redirected(t testing.TB, to string) *url.URL {
	t.Helper()
	c := *p.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	loc, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: %s, no redirect", to, resp.Status)
	}
	return loc
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l := p.telling()
	if l.HTTP != nil && l.HTTP(w, r) {
		return
	}
	rec := httptest.NewRecorder()
	p.inner.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	if rec.Code == http.StatusOK {
		switch {
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
			body = altered(body, l.Discovery)
		case r.URL.Path == "/userinfo":
			body = altered(body, l.UserInfo)
		case r.URL.Path == "/oauth/token":
			body = altered(body, func(m map[string]any) { p.lieToken(l, m) })
		}
	}
	for k, v := range rec.Header() {
		if k != "Content-Length" {
			w.Header()[k] = v
		}
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

func altered(body []byte, by func(map[string]any)) []byte {
	if by == nil {
		return body
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&m) != nil {
		return body
	}
	by(m)
	out, err := json.Marshal(m)
	if err != nil {
		return body
	}
	return out
}

func (p *Provider) lieToken(l Lies, m map[string]any) {
	raw, _ := m["id_token"].(string)
	if raw == "" || l.Claims == nil && l.Token == nil {
		return
	}
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return
	}
	var claims map[string]any
	if parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return
	}
	if l.Claims != nil {
		l.Claims(claims)
		m["id_token"] = p.Sign(claims)
	}
	if l.Token != nil {
		m["id_token"] = l.Token(claims)
	}
}

// Sign signs claims with the provider's key.
func (p *Provider) Sign(claims map[string]any) string {
	k, err := p.store.SigningKey(context.Background())
	if err != nil {
		return ""
	}
	return SignWith(jose.RS256, k.Key(), k.ID(), claims)
}

// SignWith signs claims with any key.
func SignWith(alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		return ""
	}
	text, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		return ""
	}
	return text
}

// KeyID is the name of the provider's key.
func (p *Provider) KeyID() string {
	k, err := p.store.SigningKey(context.Background())
	if err != nil {
		return ""
	}
	return k.ID()
}
