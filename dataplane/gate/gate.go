// Package gate leads people to where they show who they are, takes them back in, then keeps the way open until somebody
// closes it.
//
// It is the Browser of dataplane/access: what a policy decides is decided there. The control plane is asked when somebody
// comes from signing in and when he leaves, never for a request of who is in.
package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

// Plane is what is asked of the control plane.
type Plane interface {
	// Reachable returns nil as soon as calls have a way to the control plane, else why they have none when ctx ends.
	Reachable(ctx context.Context) error
	// Redeem trades a code for a token. Its error wraps ErrCode or ErrNotPermitted, or is about the way there.
	Redeem(ctx context.Context, code, host, binding string) (token string, err error)
	// SignOut ends the session that a token rests on, everywhere.
	SignOut(ctx context.Context, token string) error
}

// Errors of Redeem.
var (
	ErrCode         = errors.New("the code is not good, or not any more")
	ErrNotPermitted = errors.New("who has signed in may not come here")
)

// Checker judges what people type in, and links that they follow.
type Checker interface {
	Facts(r *http.Request, v *httpproxy.Visit) policy.Facts
	Try(ctx context.Context, p *policy.Compiled, way policy.Way, user, secret string, client netip.Addr) (policy.Proof, error)
	Open(ctx context.Context, p *policy.Compiled, secret string, client netip.Addr) (*policy.Credential, error)
}

// Config is what a Gate has to know, whole.
type Config struct {
	SignIn   *url.URL                    // of the control plane; nil: nobody can sign in
	Policies map[string]*policy.Compiled // by service; nil of one that is not known
}

// Options is what a Gate is made of.
type Options struct {
	Sessions   *session.Sessions
	Open       *session.Open
	Check      Checker
	Plane      Plane
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Gate implements access.Browser. Safe for concurrent use.
type Gate struct {
	Options
	metrics *prometheus.CounterVec
	config  atomic.Pointer[Config]
	keys    atomic.Pointer[keys]
	origin  http.CrossOriginProtection
}

// New makes a Gate at which nobody can sign in.
func New(o Options) *Gate {
	g := &Gate{Options: o, metrics: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_gate_steps_total", Help: "Steps of people at the gate, by what they did and what came of it."}, []string{"step", "result"})}
	o.Registerer.MustRegister(g.metrics)
	g.config.Store(&Config{})
	g.keys.Store(newKeys([][32]byte{randomKey()})) // good on this node alone, until there are some that others know
	return g
}

// Apply replaces what is known, and has all that is open looked at again.
func (g *Gate) Apply(cfg Config) {
	g.config.Store(&cfg)
	g.Open.Review()
}

// SetKeys replaces the keys that the nodes of the pool share, the one that seals first; none keeps those that are there.
func (g *Gate) SetKeys(shared [][32]byte) {
	if len(shared) > 0 {
		g.keys.Store(newKeys(shared))
	}
}

// held is what is known of a request between the calls of an access.Browser.
type held struct {
	visitor *session.Visitor // nil: nobody, or nobody who has signed in
	shown   string           // the token that the request had in a cookie
	stale   bool             // whoever it is can't be believed before the control plane has said again who he is
	grant   grant            // zero: none
}

// Identify implements access.Browser.
func (g *Gate) Identify(r *http.Request, v *httpproxy.Visit, id *policy.Identity) {
	h := new(held)
	v.Held = h
	c := readCookies(r.Header)
	token, secret, program := shown(r)
	if !program {
		token, secret = c.access, c.browser
		h.shown = token
	}
	now := time.Now()
	if token != "" && secret != "" {
		visitor, err := g.Sessions.Find(v.Host, token, secret, now)
		if errors.Is(err, session.ErrStale) {
			visitor, err = g.Sessions.Await(r.Context(), v.Host, token, secret)
			h.stale = errors.Is(err, session.ErrStale)
		}
		if err == nil && (program || visitor.Claims.Use == "") {
			h.visitor = visitor
			identify(visitor.Claims, id)
		}
	}
	if c.grant != "" {
		if gr, ok := g.keys.Load().open(c.grant, v.Host, now); ok && gr.policy == v.Policy.ID() {
			h.grant = gr
			id.Proofs = append(id.Proofs, gr.proof)
		}
	}
}

// identify says of a policy's question what a token proves.
func identify(c *accesstoken.Claims, id *policy.Identity) {
	if mail, ok := mailed(c); ok {
		id.Mail = mail
		return
	}
	id.User = policy.User{ID: c.Subject, Org: c.Org, Email: c.Email, Roles: c.Roles, Groups: c.Groups}
}

// Pass implements access.Browser.
func (g *Gate) Pass(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, id *policy.Identity, d policy.Decision) *httpproxy.Pass {
	h, _ := v.Held.(*held)
	if h == nil {
		h = new(held)
	}
	p := new(httpproxy.Pass)
	if h.visitor != nil {
		p.User, p.Login = h.visitor.Claims.Subject, h.visitor.Claims.Email
		p.Fields = fields(h.visitor)
		if h.shown != "" && h.shown != h.visitor.Token {
			setCookie(w, accessCookie, h.visitor.Token, time.Until(h.visitor.Claims.Expires.Time()))
		}
	}
	p.Leave = g.Open.Add(g.judge(r, v, h, id), func() { v.Cut(session.ErrRevoked) })
	return p
}

// judge says later whether what was let in may stay: as the policy is then, for who he is then.
func (g *Gate) judge(r *http.Request, v *httpproxy.Visit, h *held, id *policy.Identity) func(time.Time) bool {
	facts := g.Check.Facts(r, v)
	proofs := append([]policy.Proof(nil), id.Proofs...)
	return func(now time.Time) bool {
		p, guarded := g.config.Load().Policies[v.Service]
		if !guarded {
			return true
		}
		if p == nil {
			return false
		}
		at := facts
		at.Time = now
		is := policy.Identity{Proofs: proofs}
		if h.visitor != nil {
			if visitor, err := g.Sessions.Still(h.visitor, now); err == nil {
				identify(visitor.Claims, &is)
			}
		}
		if h.grant.proof != (policy.Proof{}) && !now.Before(h.grant.until) {
			is.Proofs = without(proofs, h.grant.proof)
		}
		return policy.Decide(p, &at, &is).Action == policy.Allow
	}
}

func without(all []policy.Proof, one policy.Proof) (left []policy.Proof) {
	for _, p := range all {
		if p != one {
			left = append(left, p)
		}
	}
	return left
}

func (g *Gate) count(step, result string) { g.metrics.WithLabelValues(step, result).Inc() }
