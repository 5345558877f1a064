package rest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/signin/limits"
)

// SessionCookie holds the token of a user's session. Its name lets browsers take it from this host alone, over
// TLS, for all paths.
const SessionCookie = "__Host-warren"

type (
	requestKey   struct{}
	principalKey struct{}
)

// caller is who makes a call.
func caller(ctx context.Context) access.Principal {
	p, _ := ctx.Value(principalKey{}).(access.Principal)
	return p
}

// open marks operations that need no key.
const open = "open"

// authenticate finds the caller, or refuses without saying why. A key counts before a cookie: browsers send
// cookies unasked.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	if ctx.Operation().Metadata[open] == true {
		next(ctx)
		return
	}
	r, _ := humago.Unwrap(ctx)
	p, err := a.identify(r)
	switch {
	case err == nil:
	case errors.Is(err, errElsewhere):
		a.refuse(ctx, http.StatusForbidden, err.Error())
		return
	case fault.Of(err) == fault.Denied:
		a.wrong.Do(func() { a.Log.Warn("call refused", "peer", r.RemoteAddr, "err", err) })
		a.refuse(ctx, http.StatusUnauthorized, err.Error())
		return
	default:
		a.refuse(ctx, httpfault.Status(err), "the credential can't be checked now, try again")
		return
	}
	if wait := a.Limits.Take(r.Context(), callKeys(p)...); wait > 0 {
		ctx.SetHeader("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		a.refuse(ctx, http.StatusTooManyRequests, tooMany)
		return
	}
	next(huma.WithValue(ctx, principalKey{}, p))
}

var errNobody = fault.New(fault.Denied, "this needs an API key, Authorization: Bearer wrn_key_…, or to be signed in")

// errElsewhere is for browsers that were made to send their cookie here. Neighbours below the same domain are other
// sites as well: they may be anybody's.
var errElsewhere = fault.New(fault.Denied, "a page of another site may not do this in your name")

func (a *API) identify(r *http.Request) (access.Principal, error) {
	from := peer(r)
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return a.Admin.Authenticate(r.Context(), strings.TrimSpace(text), from)
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil || r.Header.Get("Authorization") != "" {
		return access.Principal{}, errNobody
	}
	if err := a.sameSite.Check(r); err != nil {
		return access.Principal{}, errElsewhere
	}
	return a.Admin.AuthenticateSession(r.Context(), c.Value, from)
}

// peer is where a call comes from: the other end of its connection, whatever a header says.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

func (a *API) refuse(ctx huma.Context, status int, detail string) {
	if status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
	}
	_ = huma.WriteErr(a.huma, ctx, status, detail)
}

// Rates of calls. An organization's is of its own keys, however many it makes: what one tenant may ask of all replicas.
var (
	callerRate       = limits.Rate{Every: 10 * time.Millisecond, Burst: 100}
	organizationRate = limits.Rate{Every: time.Second / 300, Burst: 300}
)

const tooMany = "more than 100 calls a second by one caller, or 300 with the keys of one organization"

// callKeys are what a call is counted under: who makes it, with whichever key or session, and whose key it is.
func callKeys(p access.Principal) []limits.Key {
	who := p.Key.String()
	switch {
	case !p.User.IsZero():
		who = p.User.String()
	case !p.Account.IsZero():
		who = p.Account.String()
	}
	keys := []limits.Key{limits.NewKey(callerRate, "calls", who)}
	if p.User.IsZero() && len(p.Grants.Cluster) == 0 {
		for org := range p.Grants.Orgs { // a key has one
			keys = append(keys, limits.NewKey(organizationRate, "organization-calls", org.String()))
		}
	}
	return keys
}
