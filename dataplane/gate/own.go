package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

// What a node itself has at the hostname of a service with a policy.
const (
	ownPrefix    = "/.warren/"
	signInPath   = ownPrefix + "sign-in"
	callbackPath = ownPrefix + "callback"
	enterPath    = ownPrefix + "enter"
	signOutPath  = ownPrefix + "sign-out"
	keysPath     = ownPrefix + "jwks.json"

	redeemTime = 10 * time.Second
	maxForm    = 8 << 10
)

// Answer implements access.Browser.
func (g *Gate) Answer(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) bool {
	if !strings.HasPrefix(v.Path, ownPrefix) {
		return strings.Contains(r.URL.RawQuery, policy.ShareParam) && g.share(w, r, v)
	}
	get, post := r.Method == http.MethodGet || r.Method == http.MethodHead, r.Method == http.MethodPost
	switch {
	case post && g.origin.Check(r) != nil:
		g.fail(w, r, v, http.StatusForbidden, "A page of another site may not do this.")
	case v.Path == keysPath && get:
		g.publish(w, r, v)
	case v.Path == callbackPath && r.Method == http.MethodGet:
		g.callback(w, r, v)
	case v.Path == signInPath && r.Method == http.MethodGet && g.config.Load().SignIn != nil:
		to, ok := g.keys.Load().unseal(r.URL.Query().Get("to"), v.Host, accesstoken.Binding(readCookies(r.Header).browser), time.Now())
		if !ok {
			to = "/"
		}
		g.toSignIn(w, r, v, to)
	case v.Path == enterPath && post:
		g.enter(w, r, v)
	case v.Path == signOutPath && get:
		g.answer(w, r, v, http.StatusOK, view{Title: "Sign out", Action: signOutPath, SignOutForm: true})
	case v.Path == signOutPath && post:
		g.signOut(w, r, v)
	default:
		g.fail(w, r, v, http.StatusNotFound, "There is no such page.")
	}
	return true
}

// callback takes back in whoever comes from signing in.
func (g *Gate) callback(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) {
	q, c, now := r.URL.Query(), readCookies(r.Header), time.Now()
	binding := accesstoken.Binding(c.browser)
	to, ok := g.keys.Load().unseal(q.Get("state"), v.Host, binding, now)
	if c.browser == "" || !ok {
		g.count("callback", "strange")
		g.again(w, r, v, http.StatusBadRequest, "This link is of another browser, or too old.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), redeemTime)
	defer cancel()
	token, err := g.Plane.Redeem(ctx, q.Get("code"), v.Host, binding)
	switch {
	case errors.Is(err, ErrCode):
		g.count("callback", "bad_code")
		g.again(w, r, v, http.StatusBadRequest, "This link was used already, or is too old.")
		return
	case errors.Is(err, ErrNotPermitted):
		g.count("callback", "not_permitted")
		g.fail(w, r, v, http.StatusForbidden, "You may not visit this page.")
		return
	case err != nil:
		g.count("callback", "failed")
		g.Log.Warn("code not redeemed", "service", v.Service, "err", err)
		g.again(w, r, v, http.StatusServiceUnavailable, "Nobody can sign in at this moment.")
		return
	}
	visitor, err := g.Sessions.Find(v.Host, token, c.browser, now)
	if err != nil { // sending him on would bring him back here
		g.count("callback", "bad_token")
		g.Log.Error("the control plane has signed a token that is not good here", "service", v.Service, "err", err)
		g.again(w, r, v, http.StatusServiceUnavailable, "Nobody can sign in at this moment.")
		return
	}
	g.count("callback", "ok")
	setCookie(w, accessCookie, token, visitor.Claims.Expires.Time().Sub(now))
	redirect(w, to)
}

// enter judges what was typed into a form.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	form, err2 := url.ParseQuery(string(body))
	if err != nil || err2 != nil {
		g.fail(w, r, v, http.StatusBadRequest, "This is no form of ours.")
		return
	}
	way := policy.WayPIN
	if form.Get("way") == "password" {
		way = policy.WayPassword
	}
	now := time.Now()
	to, ok := g.keys.Load().unseal(form.Get("to"), v.Host, accesstoken.Binding(readCookies(r.Header).browser), now)
	if !ok || !v.Policy.Ways().Has(way) {
		g.again(w, r, v, http.StatusBadRequest, "This form is of another browser, or too old.")
		return
	}
	proof, err := g.Check.Try(r.Context(), v.Policy, way, "", form.Get("secret"), v.Client)
	if err != nil {
		g.count("enter", "refused")
		g.refused(w, r, v, to, err)
		return
	}
	g.count("enter", "ok")
	g.give(w, v, proof, time.Time{}, now)
	redirect(w, to)
}

// give lets a browser in with a proof until it expires, or as long as a grant is good.
func (g *Gate) give(w http.ResponseWriter, v *httpproxy.Visit, proof policy.Proof, expires, now time.Time) {
	until := now.Add(grantLife)
	if !expires.IsZero() && expires.Before(until) {
		until = expires
	}
	setCookie(w, grantCookie, g.keys.Load().sign(grant{v.Policy.ID(), proof, until}, v.Host), until.Sub(now))
}

// share takes a share link out of a URL: from there on it is a cookie, in no history, no log and no Referer.
func (g *Gate) share(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) bool {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !q.Has(policy.ShareParam) || !v.Policy.Ways().Has(policy.WayShareLink) {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.fail(w, r, v, http.StatusBadRequest, "Links are to be followed.")
		return true
	}
	credential, err := g.Check.Open(r.Context(), v.Policy, q.Get(policy.ShareParam), v.Client)
	if err != nil {
		g.count("share", "refused")
		g.refused(w, r, v, "", err)
		return true
	}
	g.count("share", "ok")
	g.give(w, v, credential.Proof(), credential.Expires, time.Now())
	q.Del(policy.ShareParam)
	to := v.Path
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	redirect(w, to)
	return true
}

// signOut forgets a browser here, or ends the session that it rests on, wherever that is.
func (g *Gate) signOut(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	form, _ := url.ParseQuery(string(body))
	c := readCookies(r.Header)
	dropCookies(w, accessCookie, browserCookie, grantCookie)
	p := view{Title: "Signed out", Text: []string{"You are signed out here."}}
	if form.Get("everywhere") != "" && c.access != "" {
		ctx, cancel := context.WithTimeout(r.Context(), redeemTime)
		defer cancel()
		p.Text = []string{"You are signed out everywhere."}
		if err := g.Plane.SignOut(ctx, c.access); err != nil {
			g.count("sign_out", "failed")
			g.Log.Warn("session not ended", "service", v.Service, "err", err)
			p.Text = []string{"You are signed out here.", "The other services could not be told: sign out again there."}
			g.answer(w, r, v, http.StatusServiceUnavailable, p)
			return
		}
	}
	g.count("sign_out", "ok")
	g.answer(w, r, v, http.StatusOK, p)
}

// publish gives the public keys of assertions.
func (g *Gate) publish(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) {
	set, err := accesstoken.KeySet(g.Sessions.Keys())
	if err != nil {
		g.Log.Error("public keys not shown", "err", err)
		g.fail(w, r, v, http.StatusInternalServerError, "The keys can't be shown.")
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(set)
	}
}
