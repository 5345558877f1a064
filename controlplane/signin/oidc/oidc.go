// Package oidc lets people sign in at an OpenID provider, of which nothing is believed that it does not prove.
//
// It is the code flow with PKCE, state and nonce. Who somebody is is the provider's issuer with its subject; a mail
// address is what somebody says of himself.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Config is what a provider and we have agreed on.
type Config struct {
	Issuer       string // https, as its tokens say it
	ClientID     string
	ClientSecret string
	Scopes       []string // beside openid
	RedirectURL  string   // of ours, where the browser comes back
}

// Flow is what is kept of a sign-in while the browser is away, where the browser can't change it, for one use.
type Flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Life of a Flow.
const Life = 10 * time.Minute

// Identity is who has signed in.
type Identity struct {
	Issuer, Subject string
	Email           string         // "" unless the provider says that it is the person's
	Name            string         // may be ""
	Claims          map[string]any // all that the provider says
}

// Bounds of what a provider answers.
const (
	maxAnswer  = 1 << 20
	maxSubject = 255 // OpenID Connect Core §2
	rediscover = time.Hour
	maxKnown   = 1000
)

// algorithms are those that a public key verifies.
var algorithms = []string{goidc.RS256, goidc.RS384, goidc.RS512, goidc.ES256, goidc.ES384, goidc.ES512, goidc.PS256, goidc.PS384, goidc.PS512, goidc.EdDSA}

// Client signs people in. Safe for concurrent use.
type Client struct {
	http *http.Client
	now  func() time.Time

	mu    sync.Mutex
	known map[string]*provider // by issuer; never more than maxKnown, then all are forgotten
}

type provider struct {
	*goidc.Provider
	at      time.Time
	saysIss bool // RFC 9207: its answers name it
}

// New makes a Client over one that reaches only what providers may be (see package outbound).
func New(via *http.Client) *Client {
	c := *via
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = careful{next}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &c, now: time.Now, known: map[string]*provider{}}
}

// careful calls over TLS only, and reads no more than maxAnswer.
type careful struct{ next http.RoundTripper }

func (t careful) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.User != nil {
		return nil, fmt.Errorf("%s: want https without user", r.URL.Redacted())
	}
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = &capped{resp.Body, maxAnswer}
	}
	return resp, err
}

type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("answer of more than %d bytes", maxAnswer)
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// provider finds what an issuer says of itself.
func (c *Client) provider(ctx context.Context, issuer string) (*provider, error) {
	c.mu.Lock()
	p := c.known[issuer]
	c.mu.Unlock()
	if p != nil && c.now().Sub(p.at) < rediscover {
		return p, nil
	}
	// Of the context the library keeps the HTTP client, for the keys.
	found, err := goidc.NewProvider(goidc.ClientContext(ctx, c.http), issuer)
	if err != nil {
		return nil, unavailable("ask "+issuer, err)
	}
	var more struct {
		SaysIss bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, unavailable("ask "+issuer, err)
	}
	if u, err := url.Parse(found.Endpoint().AuthURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, unavailable("ask "+issuer, errors.New("its authorization endpoint is no https URL"))
	}
	p = &provider{found, c.now(), more.SaysIss}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[issuer] = p
	return p, nil
}

func unavailable(what string, err error) error {
	return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the identity provider does not answer as it should", Err: err}
}

// Check asks a provider for what it says of itself, for who configures it.
func (c *Client) Check(ctx context.Context, issuer string) error {
	_, err := c.provider(ctx, issuer)
	return err
}

// Begin returns where to send the browser, and what to keep until it comes back.
func (c *Client) Begin(ctx context.Context, cfg Config) (string, Flow, error) {
	p, err := c.provider(ctx, cfg.Issuer)
	if err != nil {
		return "", Flow{}, err
	}
	f := Flow{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier()}
	return cfg.oauth(p).AuthCodeURL(f.State, goidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

func (cfg Config) oauth(p *provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, RedirectURL: cfg.RedirectURL, Endpoint: p.Endpoint(),
		Scopes: append([]string{goidc.ScopeOpenID}, cfg.Scopes...),
	}
}

// Finish checks what the browser came back with. All that is refused is Denied; a provider that does not answer is
// Unavailable.
func (c *Client) Finish(ctx context.Context, cfg Config, f Flow, said url.Values) (Identity, error) {
	p, err := c.provider(ctx, cfg.Issuer)
	if err != nil {
		return Identity{}, err
	}
	code, err := answer(said, f, cfg.Issuer, p.saysIss)
	if err != nil {
		return Identity{}, err
	}
	ctx = goidc.ClientContext(ctx, c.http)
	token, err := cfg.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		if re, ok := errors.AsType[*oauth2.RetrieveError](err); ok && re.Response != nil && re.Response.StatusCode < 500 {
			return Identity{}, denied("the code is not good", err)
		}
		return Identity{}, unavailable("redeem a code at "+cfg.Issuer, err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Identity{}, denied("there is no id_token", nil)
	}
	id, claims, err := c.verify(ctx, p, cfg, f, raw, token.AccessToken)
	if err != nil {
		return Identity{}, err
	}
	if _, has := claims["email"]; !has && p.UserInfoEndpoint() != "" {
		if err := p.more(ctx, token, id.Subject, claims); err != nil {
			return Identity{}, err
		}
	}
	return identity(id, claims), nil
}

// answer reads what the browser brought: RFC 6749 §4.1.2 and RFC 9207.
func answer(said url.Values, f Flow, issuer string, saysIss bool) (code string, err error) {
	for _, one := range []string{"state", "code", "iss", "error"} {
		if len(said[one]) > 1 {
			return "", denied(one+" is there twice", nil)
		}
	}
	if f.State == "" || subtle.ConstantTimeCompare([]byte(said.Get("state")), []byte(f.State)) != 1 {
		return "", denied("it is not for this browser", nil)
	}
	if said.Has("iss") && said.Get("iss") != issuer || saysIss && !said.Has("iss") {
		return "", denied("it is another provider's answer", nil)
	}
	if said.Has("error") {
		return "", denied("the provider refused: "+word(said.Get("error")), nil)
	}
	if code = said.Get("code"); code == "" || len(code) > 4096 {
		return "", denied("there is no code", nil)
	}
	return code, nil
}

// word is a provider's word for an error, if it is one: what else it says is not shown.
func word(s string) string {
	if s == "" || len(s) > 40 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "without a reason"
	}
	return s
}

func (c *Client) verify(ctx context.Context, p *provider, cfg Config, f Flow, raw, access string) (*goidc.IDToken, map[string]any, error) {
	id, err := p.VerifierContext(ctx, &goidc.Config{ClientID: cfg.ClientID, SupportedSigningAlgs: algorithms, Now: c.now}).Verify(ctx, raw)
	if err != nil {
		return nil, nil, denied("the id_token is not good", err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, nil, denied("the id_token is not good", err)
	}
	azp, hasAZP := claims["azp"]
	switch {
	case id.Issuer != cfg.Issuer: // the library lets one provider say less
		err = errors.New("issuer")
	case f.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		err = errors.New("nonce")
	case hasAZP && azp != cfg.ClientID, !hasAZP && len(id.Audience) > 1:
		err = errors.New("authorized party")
	case id.Subject == "" || len(id.Subject) > maxSubject:
		err = errors.New("subject")
	case id.IssuedAt.After(c.now().Add(5 * time.Minute)):
		err = errors.New("issued in the future")
	case id.AccessTokenHash != "":
		err = id.VerifyAccessToken(access)
	}
	if err != nil {
		return nil, nil, denied("the id_token is not good", err)
	}
	return id, claims, nil
}

// more adds what the provider's userinfo says of the same person.
func (p *provider) more(ctx context.Context, token *oauth2.Token, subject string, claims map[string]any) error {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return unavailable("userinfo", err)
	}
	if info.Subject != subject { // OpenID Connect Core §5.3.2
		return denied("userinfo is somebody else's", nil)
	}
	var said map[string]any
	if err := info.Claims(&said); err != nil {
		return unavailable("userinfo", err)
	}
	for k, v := range said {
		if _, signed := claims[k]; !signed {
			claims[k] = v
		}
	}
	return nil
}

func identity(id *goidc.IDToken, claims map[string]any) Identity {
	out := Identity{Issuer: id.Issuer, Subject: id.Subject, Claims: claims}
	out.Name, _ = claims["name"].(string)
	if verified := claims["email_verified"]; verified == true || verified == "true" {
		out.Email, _ = claims["email"].(string)
	}
	return out
}

func denied(why string, err error) error {
	return &fault.Error{Kind: fault.Denied, Msg: "this sign-in was not accepted: " + why, Err: err}
}
