// Package console is the pages with which operators run a cluster.
//
// A page is what a function returns for a request; the shell around it, permissions, live updates and answers to forms
// are here. What it shows comes from the model and presence, as in the API's state; what it changes goes through admin.
package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/recovery"
	"github.com/warrenedge/warren/controlplane/reference"
	"github.com/warrenedge/warren/controlplane/signin"
)

//go:generate templ generate

// Root is where the console is.
const Root = "/console"

// Gate is the way in, which these pages share with those of sign-in.
type Gate interface {
	// Guard does what every page begins with, and reports whether to go on.
	Guard(w http.ResponseWriter, r *http.Request) bool
	// User returns who is signed in, or sends the browser to where one signs in.
	User(w http.ResponseWriter, r *http.Request) (*signin.Who, bool)
}

// Options are what the console stands on.
type Options struct {
	Admin     *admin.Admin
	World     *model.Current
	Push      *push.Server
	Presence  *presence.Store
	Gate      Gate
	Preflight Preflight                         // nil: nobody can check domains
	Previewer Previewer                         // nil: nobody knows what writes would do to nodes
	Diagnose  func(ctx context.Context) []Check // looks at what this replica stands on; nil: nobody can
	Reference []reference.Operation             // of the API
	Cookie    string                            // that holds the token of a session
	Control   []string                          // host:port where nodes and connectors reach the control plane
	Database  func() time.Duration              // since the database last answered
	Log       *slog.Logger
	Reg       prometheus.Registerer
}

// Console is the HTTP handler. Safe for concurrent use.
type Console struct {
	Options
	mux     *http.ServeMux
	served  []string // the patterns of all pages and forms
	m       metrics
	streams places
	flows   flows
	checks  chan struct{} // one for each check of a domain at work
	over    chan struct{} // closed when streams have to end
}

// New makes the handler with all routes.
func New(o Options) *Console {
	c := &Console{Options: o, mux: http.NewServeMux(), m: newMetrics(o.Reg), checks: make(chan struct{}, maxChecks), over: make(chan struct{})}
	c.routes()
	return c
}

// String names the task.
func (c *Console) String() string { return "console" }

// Run ends streams of changes when ctx ends; their browsers come back to another replica. Call it once.
func (c *Console) Run(ctx context.Context) error {
	<-ctx.Done()
	close(c.over)
	return nil
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	_, route := c.mux.Handler(r)
	defer func() { c.m.calls.WithLabelValues(route, string('0'+rune(rec.status/100))+"xx").Inc() }()
	defer recovery.HTTP(c.Log, r, func() { rec.WriteHeader(http.StatusInternalServerError) })
	if c.Gate.Guard(rec, r) {
		c.mux.ServeHTTP(rec, r)
	}
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets streams flush, and set their deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// caller finds who is signed in; if it reports false, the browser has its answer. While the database is away whoever
// was known a moment ago still sees how things stand.
func (c *Console) caller(w http.ResponseWriter, r *http.Request) (access.Principal, bool) {
	p, err := c.principal(r)
	switch {
	case err == nil:
		return p, true
	case fault.Of(err) != fault.Denied:
		c.plain(w, r, err)
		return p, false
	}
	if _, ok := c.Gate.User(w, r); ok { // it thinks better of him: he comes in a moment too early
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	}
	return p, false
}

func (c *Console) principal(r *http.Request) (access.Principal, error) {
	cookie, err := r.Cookie(c.Cookie)
	if err != nil {
		return access.Principal{}, admin.ErrSession
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return access.Principal{}, admin.ErrSession
	}
	return c.Admin.AuthenticateSession(r.Context(), cookie.Value, from.Addr())
}

// Home is where somebody goes who has signed in: the console if there is anything in it for him, else "".
func (c *Console) Home(r *http.Request) string {
	p, err := c.principal(r)
	if err != nil || c.first(r, p) == nil && !p.Can(access.NodesRead, model.OrgID{}) {
		return ""
	}
	return Root + "/"
}

// first is the organization last looked at, or any that the caller sees.
func (c *Console) first(r *http.Request, p access.Principal) *model.Organization {
	m := c.World.Get()
	if id, err := (model.OrgID{}).Parse(cookieValue(r, orgCookie)); err == nil && p.CheckOrg(id) == nil {
		if o := m.Organization(id); o != nil {
			return o
		}
	}
	for _, o := range organizations(m, p, 1) {
		return o
	}
	return nil
}

// Cookies.
const (
	orgCookie  = "__Host-warren-org"  // the organization last looked at
	saidCookie = "__Host-warren-said" // what the next page says was done
	saidLife   = 30 * time.Second
	orgLife    = 365 * 24 * time.Hour
)

func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: url.QueryEscape(value), Path: "/", MaxAge: int(life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func cookieValue(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	v, err := url.QueryUnescape(c.Value)
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(v, "")
}

type metrics struct{ calls *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cp_console_requests_total", Help: "Pages of the console asked for, by route and status class.",
	}, []string{"route", "class"})}
	reg.MustRegister(m.calls)
	return m
}
