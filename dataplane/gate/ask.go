package gate

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

const (
	typed    = policy.WayPIN | policy.WayPassword // into a form of ours
	atSignIn = policy.WaySignIn | policy.WayMail  // at the control plane

	reachTime = 2 * time.Second // longer than a node takes to go on to another replica
)

// Ask implements access.Browser.
func (g *Gate) Ask(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, id *policy.Identity, d policy.Decision) {
	h, _ := v.Held.(*held)
	known := h != nil && h.visitor != nil
	ways := v.Policy.Ways()
	if g.config.Load().SignIn == nil {
		ways &^= atSignIn
	}
	switch {
	case d.Action == policy.Deny:
		g.deny(w, r, v, h, "")
	case !navigation(r):
		g.challenge(w, r, v, ways)
	case !known && ways.Has(policy.WayBasic) && ways&(typed|atSignIn) == 0:
		g.challenge(w, r, v, ways)
	case h != nil && h.stale && ways.Has(policy.WaySignIn): // he is signed in, and comes back without having to do anything
		g.toSignIn(w, r, v, asked(r, v))
	case ways&typed != 0:
		g.form(w, r, v, ways, h, http.StatusUnauthorized, "")
	case !known && ways&atSignIn != 0:
		g.toSignIn(w, r, v, asked(r, v))
	case ways.Has(policy.WayMail): // he is known as somebody who may not: the choice is his, or he would go in a circle
		g.deny(w, r, v, h, signInPath+"?to="+g.keys.Load().seal(asked(r, v), v.Host, g.browser(w, r), time.Now()))
	default:
		g.deny(w, r, v, h, "")
	}
}

// deny answers who may not, and says so to a person who has signed in as somebody else than he wanted. Other is where
// there is another way in.
func (g *Gate) deny(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, h *held, other string) {
	p := view{Title: "Not permitted", Text: []string{"You may not visit this page."}, SignIn: other}
	if h != nil && h.visitor != nil {
		p.As, p.SignOut = who(h.visitor.Claims), signOutPath
	}
	g.answer(w, r, v, http.StatusForbidden, p)
}

// challenge answers programs: pages that a browser loads within another, gRPC, WebSockets, command lines. gRPC takes the
// status for UNAUTHENTICATED.
func (g *Gate) challenge(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, ways policy.Way) {
	realm := ` realm="` + v.Host + `"`
	if ways.Has(policy.WaySignIn) {
		w.Header().Add("WWW-Authenticate", "Warren"+realm)
	}
	if ways.Has(policy.WayBasic) {
		w.Header().Add("WWW-Authenticate", "Basic"+realm+`, charset="UTF-8"`)
	}
	if w.Header()["Www-Authenticate"] == nil {
		w.Header().Set("WWW-Authenticate", "Warren"+realm)
	}
	g.answer(w, r, v, http.StatusUnauthorized, view{Title: "Who are you?", Text: []string{"This page is not open to everybody."}})
}

// form asks a person for a PIN or a password, and shows the way to sign in beside it.
func (g *Gate) form(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, ways policy.Way, h *held, status int, wrong string) {
	to := asked(r, v)
	binding := g.browser(w, r)
	p := view{
		Title: "Who are you?", Wrong: wrong, Action: enterPath, To: g.keys.Load().seal(to, v.Host, binding, time.Now()),
		PIN: ways.Has(policy.WayPIN), Password: ways.Has(policy.WayPassword),
	}
	if ways&atSignIn != 0 && (h == nil || h.visitor == nil) {
		p.SignIn = signInPath + "?to=" + p.To
	}
	if h != nil && h.visitor != nil {
		p.As, p.SignOut = who(h.visitor.Claims), signOutPath
	}
	g.answer(w, r, v, status, p)
}

// toSignIn sends a browser to the control plane. What it has to bring back, and where it wanted to go, is sealed. While this
// node has no way there it could not take him back in, and he would most likely meet no page at all: he is told so here.
func (g *Gate) toSignIn(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, to string) {
	ctx, cancel := context.WithTimeout(r.Context(), reachTime)
	defer cancel()
	if err := g.Plane.Reachable(ctx); err != nil {
		g.count("sign_in", "away")
		w.Header().Set("Retry-After", "10")
		g.answer(w, r, v, http.StatusServiceUnavailable, view{Title: "Nobody can sign in at this moment", Again: to,
			Text: []string{"Whoever has signed in before goes on as before. Try again in a minute."}})
		return
	}
	binding := g.browser(w, r)
	q := url.Values{"host": {v.Authority}, "challenge": {binding}, "state": {g.keys.Load().seal(to, v.Host, binding, time.Now())}}
	at := *g.config.Load().SignIn
	at.Path, at.RawQuery = "/access/authorize", q.Encode()
	g.count("sign_in", "sent")
	redirect(w, at.String())
}

// browser returns what tokens of this browser are bound to, and gives it a secret if it has none.
func (g *Gate) browser(w http.ResponseWriter, r *http.Request) (binding string) {
	secret := readCookies(r.Header).browser
	if len(secret) != 43 {
		k := randomKey()
		secret = b64.EncodeToString(k[:])
		setCookie(w, browserCookie, secret, 0)
	}
	return accesstoken.Binding(secret)
}

// asked is the path and query that a request was for, without a share link's secret.
func asked(r *http.Request, v *httpproxy.Visit) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(v.Path, ownPrefix) {
		return "/"
	}
	if _, query, ok := strings.Cut(r.RequestURI, "?"); ok && query != "" {
		return v.Path + "?" + query
	}
	return v.Path
}

// navigation reports whether a person waits for the answer as a page.
func navigation(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func who(c *accesstoken.Claims) string {
	if c.Email != "" {
		return c.Email
	}
	return c.Subject
}

func redirect(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusFound)
}
