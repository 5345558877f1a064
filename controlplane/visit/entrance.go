package visit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/policy"
)

const (
	// AuthorizePath is where nodes send browsers.
	AuthorizePath = "/access/authorize"
	// KeysPath is where targets find the keys that assertions are signed with (RFC 8615 has the folder).
	KeysPath = "/.well-known/jwks.json"

	callbackPath = "/.warren/callback"
	maxState     = 4 << 10
)

// Entrance is where browsers come that a node has sent: it finds out whether somebody may visit, and gives him the code
// that he takes back. Who may in the end is decided by the node.
type Entrance struct {
	*Server
	Limiter *limits.Limiter
	Mail    *mail.Mailer
}

// What somebody is told who comes from a node.
var (
	ErrNobody  = fault.New(fault.Denied, "nobody is signed in")
	ErrMayNot  = fault.New(fault.Denied, "you may not visit this service")
	ErrNoRoom  = fault.New(fault.NotFound, "this link leads to no service")
	errNoStart = fault.New(fault.Unavailable, "nobody can visit this service at this moment")
)

// Wanted is a visit that a node has sent a browser for.
type Wanted struct {
	Host      string // canonical
	Authority string // the same with the port, if there is one
	Binding   string // of the browser
	State     string // what the browser brings back to the node, which alone can read it
}

// Wanted reads the query of a URL. What leads to where no service is, is an error: nobody is sent there.
func (e *Entrance) Wanted(q url.Values) (Wanted, error) {
	w := Wanted{Authority: q.Get("host"), Binding: q.Get("challenge"), State: q.Get("state")}
	host, port, has := strings.Cut(w.Authority, ":")
	if has {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return w, ErrNoRoom
		}
	}
	c, err := hostname.Canonical(host)
	if err != nil || c != host || serviceAt(e.World.Get(), host) == nil || !accesstoken.ValidBinding(w.Binding) || len(w.State) > maxState {
		e.calls.WithLabelValues("authorize", "refused").Inc()
		return w, ErrNoRoom
	}
	w.Host = host
	return w, nil
}

// Query is what Wanted reads.
func (w Wanted) Query() string {
	return url.Values{"host": {w.Authority}, "challenge": {w.Binding}, "state": {w.State}}.Encode()
}

// back is where a browser takes a code.
func (w Wanted) back(code string) string {
	u := url.URL{Scheme: "https", Host: w.Authority, Path: callbackPath, RawQuery: url.Values{"code": {code}, "state": {w.State}}.Encode()}
	return u.String()
}

// Ways says which of the ways into a service that begin here are open: signing in, and codes by mail.
func (e *Entrance) Ways(w Wanted) (signIn, mailed bool, err error) {
	m := e.World.Get()
	svc := serviceAt(m, w.Host)
	if svc == nil {
		return false, false, ErrNoRoom
	}
	p, err := policyOf(m, svc)
	if err != nil || p == nil {
		return err == nil, false, err
	}
	return p.Ways().Has(policy.WaySignIn), p.Ways().Has(policy.WayMail) && e.Mail.Works(), nil
}

// Enter returns where to send the browser of who is signed in with a session's token. ErrNobody: he is not, or it would
// not help him. ErrMayNot, or another refusal: he is, and may not visit.
func (e *Entrance) Enter(ctx context.Context, w Wanted, token string) (to string, err error) {
	signIn, _, err := e.Ways(w)
	if err != nil {
		return "", e.entered(err)
	}
	if token == "" || !signIn {
		return "", e.entered(ErrNobody)
	}
	session, _, err := e.Sessions.FindSession(ctx, token)
	if k := fault.Of(err); err != nil && (k == fault.Denied || k == fault.NotFound) {
		return "", e.entered(ErrNobody)
	} else if err != nil {
		return "", e.entered(err)
	}
	m := e.World.Get()
	svc := serviceAt(m, w.Host)
	if svc == nil {
		return "", e.entered(ErrNoRoom)
	}
	code := rand.Text()
	_, err = e.Store.Tx(ctx, "visit:"+session.ID.String(), func(tx *store.Tx) error {
		c, err := e.userClaims(ctx, tx, session.ID, svc)
		if err != nil {
			return err
		}
		if err := mayVisit(m, svc, c); err != nil {
			return err
		}
		return tx.CreateAccessCode(ctx, code, store.AccessCode{Host: w.Host, Binding: w.Binding, Session: session.ID.UUID})
	})
	if err != nil {
		if fault.Of(err) == fault.NotFound { // the session has ended meanwhile
			err = ErrNobody
		}
		return "", e.entered(err)
	}
	return w.back(code), e.entered(nil)
}

// entered counts how an attempt to enter went.
func (e *Entrance) entered(err error) error {
	result := "ok"
	switch fault.Of(err) {
	case fault.Denied:
		result = "refused"
		if err == ErrNobody {
			result = "sign_in"
		}
	case fault.NotFound, fault.Invalid:
		result = "refused"
	default:
		if err != nil {
			result = "failed"
		}
	}
	e.calls.WithLabelValues("authorize", result).Inc()
	return err
}

// policyOf compiles the policy of a service; nil: it has none.
func policyOf(m *model.Model, svc *model.Service) (*policy.Compiled, error) {
	if svc.Policy.IsZero() {
		return nil, nil
	}
	p := m.Policy(svc.Policy)
	if p == nil {
		return nil, errNoStart
	}
	c, err := p.Compile()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "the policy of the service makes no sense", Err: err}
	}
	return c, nil
}

// mayVisit reports whether it is enough for a service's policy that somebody has signed in. A service without one is
// every member's.
func mayVisit(m *model.Model, svc *model.Service, c *accesstoken.Claims) error {
	p, err := policyOf(m, svc)
	if err != nil || p == nil {
		return err
	}
	if !p.Admits(&policy.User{ID: c.Subject, Org: c.Org, Email: c.Email, Roles: c.Roles, Groups: c.Groups}) {
		return ErrMayNot
	}
	return nil
}

// KeySet is what targets verify assertions with.
func (s *Server) KeySet() ([]byte, error) {
	keys := map[string]ed25519.PublicKey{}
	for k := range s.World.Get().AccessKeys() {
		keys[k.ID.String()] = k.Public
	}
	return accesstoken.KeySet(keys)
}
