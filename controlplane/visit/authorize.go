package visit

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/hostname"
)

const (
	// AuthorizePath is where nodes send browsers.
	AuthorizePath = "/access/authorize"

	signInPath    = "/sign-in"
	sessionCookie = "__Host-warren"
	callbackPath  = "/.warren/callback"
	maxState      = 4 << 10
)

// ServeHTTP serves AuthorizePath: it sends a browser in which somebody is signed in back to the node that it comes from, with
// a code, and another one to sign in first. It sends nobody to where no service is.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet {
		h.Set("Allow", "GET")
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	host, authority, ok := splitAuthority(q.Get("host"))
	challenge, state := q.Get("challenge"), q.Get("state")
	if !ok || serviceAt(s.World.Get(), host) == nil || !accesstoken.ValidBinding(challenge) || len(state) > maxState {
		s.calls.WithLabelValues("authorize", "refused").Inc()
		http.Error(w, "This link leads to no service", http.StatusBadRequest)
		return
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		s.toSignIn(w, r)
		return
	}
	session, _, err := s.Sessions.FindSession(r.Context(), cookie.Value)
	if k := fault.Of(err); err != nil && (k == fault.Denied || k == fault.NotFound) {
		s.toSignIn(w, r)
		return
	}
	code := rand.Text()
	if err == nil {
		_, err = s.Store.Tx(r.Context(), "visit:"+session.ID.String(), func(tx *store.Tx) error {
			return tx.CreateAccessCode(r.Context(), code, store.AccessCode{Host: host, Binding: challenge, Session: session.ID.UUID})
		})
	}
	if s.answer("authorize", err) != nil {
		http.Error(w, "Nobody can sign in at this moment", http.StatusServiceUnavailable)
		return
	}
	back := url.URL{Scheme: "https", Host: authority, Path: callbackPath, RawQuery: url.Values{"code": {code}, "state": {state}}.Encode()}
	h.Set("Location", back.String())
	w.WriteHeader(http.StatusFound)
}

func (s *Server) toSignIn(w http.ResponseWriter, r *http.Request) {
	s.calls.WithLabelValues("authorize", "sign_in").Inc()
	w.Header().Set("Location", signInPath+"?"+url.Values{"next": {r.URL.RequestURI()}}.Encode())
	w.WriteHeader(http.StatusFound)
}

// splitAuthority reads a hostname in its canonical form, with a port or without.
func splitAuthority(s string) (host, authority string, ok bool) {
	host, port, has := strings.Cut(s, ":")
	if has {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", "", false
		}
	}
	c, err := hostname.Canonical(host)
	return host, s, err == nil && c == host
}
