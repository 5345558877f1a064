// Package web is the pages that people see of the control plane.
//
// They are forms and links: nothing but passkeys needs a script. A page is shown at the one address of the settings;
// what changes anything comes from a page of ours or is refused.
package web

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/recovery"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/visit"
)

//go:generate templ generate

//go:embed assets
var assets embed.FS

// contentPolicy lets a page have our own style, script and pictures, and nothing else; it is in nobody's frame.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Bytes of a form: of who may be anybody, and in the console, where policies and pictures are sent.
const (
	maxForm        = 64 << 10
	maxConsoleForm = 1 << 20
)

// Cookies. Their names let browsers take them from this host alone, over TLS, for all paths.
const (
	codeCookie    = "__Host-warren-code"
	passkeyCookie = "__Host-warren-passkey"
	oidcCookie    = "__Host-warren-oidc"
	flowLife      = 10 * time.Minute
)

// Options are what the pages stand on.
type Options struct {
	SignIn *signin.Service
	Visits *visit.Entrance // nil: no node sends anybody here
	URL    *url.URL        // where they are
	Cookie string          // that the token of a session is kept in; the API takes the same
	// Home is where the browser of who is signed in begins; "", or without it: the account page. Set before the first call.
	Home func(r *http.Request) string
	Log  *slog.Logger
	Reg  prometheus.Registerer
}

// Pages is the HTTP handler. Safe for concurrent use.
type Pages struct {
	Options
	mux      *http.ServeMux
	sameSite *http.CrossOriginProtection
	calls    *prometheus.CounterVec
}

// New makes the handler with all routes.
func New(o Options) *Pages {
	p := &Pages{Options: o, mux: http.NewServeMux(), sameSite: http.NewCrossOriginProtection(), calls: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_web_requests_total", Help: "Pages asked for, by route and status class."}, []string{"route", "class"})}
	if err := p.sameSite.AddTrustedOrigin(o.URL.Scheme + "://" + o.URL.Host); err != nil {
		o.Log.Warn("pages", "err", err) // Validate of the settings has said so
	}
	if o.Reg != nil {
		o.Reg.MustRegister(p.calls)
	}
	p.routes()
	return p
}

// routes is all pages.
func (p *Pages) routes() {
	get := func(path string, h http.HandlerFunc) { p.mux.HandleFunc("GET "+path, h) }
	post := func(path string, h http.HandlerFunc) { p.mux.HandleFunc("POST "+path, h) }
	get("/{$}", p.home)
	p.mux.Handle("GET /assets/", http.FileServerFS(assets))
	get("/sign-in", p.signInPage)
	post("/sign-in", p.signInPost)
	get("/sign-in/code", p.codePage)
	post("/sign-in/code", p.codeForm)
	post("/sign-in/passkey/options", p.passkeyOptions)
	post("/sign-in/passkey", p.passkeyAnswer)
	post("/sign-out", p.signOut)
	get(signin.PathSetup, p.setupPage)
	post(signin.PathSetup, p.setupForm)
	get("/reset", p.forgotPage)
	post("/reset", p.forgotForm)
	get(signin.PathReset, p.resetPage)
	post(signin.PathReset, p.resetForm)
	get(signin.PathDevice, p.devicePage)
	post(signin.PathDevice, p.deviceForm)
	get(signin.PathInvitation, p.invitationPage)
	post(signin.PathInvitation, p.invitationForm)
	get("/sign-in/oidc/{provider}", p.oidcBegin)
	get(signin.PathOIDC, p.oidcBack)
	p.accountRoutes(get, post)
	p.visitRoutes(get, post)
	get(pathLauncher, p.mine(p.launcher))
	get(pathLogo, p.logo)
	get(pathStyle, p.brandStyle)
	get("/", func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, http.StatusNotFound, message("Not found", "There is no such page.", "/account"))
	})
}

// home leads whoever is signed in to where he begins.
func (p *Pages) home(w http.ResponseWriter, r *http.Request) {
	to := ""
	if _, ok := p.User(w, r); !ok {
		return
	}
	if p.Home != nil {
		to = p.Home(r)
	}
	if to == "" {
		to = "/account"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	_, route := p.mux.Handler(r)
	defer func() { p.calls.WithLabelValues(route, string('0'+rune(rec.status/100))+"xx").Inc() }()
	defer recovery.HTTP(p.Log, r, func() { rec.WriteHeader(http.StatusInternalServerError) })
	if p.Guard(rec, r) {
		p.mux.ServeHTTP(rec, r)
	}
}

// Guard does what has to be done before any page is shown or any form is taken, whoever shows it, and reports whether
// that may go on; else it has answered.
func (p *Pages) Guard(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // addresses have tokens in them
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if p.URL.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !strings.EqualFold(r.Host, p.URL.Host) { // cookies and passkeys are of one name; what the request calls us leads nowhere
		if safe {
			http.Redirect(w, r, p.URL.Scheme+"://"+p.URL.Host+"/", http.StatusFound)
			return false
		}
		http.Error(w, "this is not the address of these pages", http.StatusMisdirectedRequest)
		return false
	}
	if !safe {
		// Every browser that can show these pages says where a form comes from. Who says nothing is none.
		if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" || p.sameSite.Check(r) != nil {
			http.Error(w, "a page of another site may not do this in your name", http.StatusForbidden)
			return false
		}
		most := int64(maxForm)
		if strings.HasPrefix(r.URL.Path, "/console/") {
			most = maxConsoleForm
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
	}
	return true
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// User returns who is signed in. If nobody is, it sends the browser to the sign-in page, from where it comes back to
// this address of ours, and reports false: there is nothing more to do then.
func (p *Pages) User(w http.ResponseWriter, r *http.Request) (*signin.Who, bool) {
	who, err := p.who(r)
	switch {
	case err == nil:
		return who, true
	case fault.Of(err) == fault.Denied || fault.Of(err) == fault.NotFound:
		next := "/account"
		if r.Method == http.MethodGet {
			next = r.URL.RequestURI()
		}
		http.Redirect(w, r, "/sign-in?next="+url.QueryEscape(next), http.StatusSeeOther)
	default:
		p.failed(w, r, err)
	}
	return nil, false
}

func (p *Pages) who(r *http.Request) (*signin.Who, error) {
	c, err := r.Cookie(p.Cookie)
	if err != nil {
		return nil, fault.New(fault.Denied, "not signed in")
	}
	return p.SignIn.Who(r.Context(), c.Value)
}

// Local is where a browser is sent that wanted to go somewhere: an address of ours, or the account page.
func Local(next string) string {
	const home = "/account"
	if !strings.HasPrefix(next, "/") || len(next) > 4096 || strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }) {
		return home
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || strings.HasPrefix(next, "//") || strings.Contains(u.Path, "\\") {
		return home
	}
	return next
}

// signedIn gives the browser its session and sends it on. What leads to a service leaves this site: by a page of its
// own, as forms may not be sent on to others.
func (p *Pages) signedIn(w http.ResponseWriter, r *http.Request, out signin.Outcome, next string) {
	p.setSession(w, out.Token, out.Expires)
	if next == "" {
		next = "/"
	}
	next = Local(next)
	if next == "/account" || next == "/" {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	p.show(w, r, http.StatusOK, onward(next))
}

func (p *Pages) setSession(w http.ResponseWriter, token string, expires time.Time) {
	c := cookie(p.Cookie, token, 0)
	if !expires.IsZero() {
		c.Expires = expires
	}
	http.SetCookie(w, c)
}

// cookie makes a cookie of the life given; 0: until the browser ends.
func cookie(name, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// drop ends a cookie.
func drop(w http.ResponseWriter, name string) {
	c := cookie(name, "", 0)
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func value(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// client is the other end of a request: of its connection, whatever a header says.
func client(r *http.Request) signin.Client {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a, _ := netip.ParseAddr(host)
	return signin.Client{Address: a.Unmap().WithZone(""), UserAgent: r.UserAgent()}
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	ctx := r.Context()
	if g := p.guest(r); g != nil {
		ctx = context.WithValue(ctx, guestKey{}, g)
	}
	if err := c.Render(ctx, w); err != nil {
		p.Log.Debug("page not sent", "err", err)
	}
}

// statusOf maps what went wrong to HTTP.
func statusOf(err error) int {
	if _, ok := errors.AsType[*signin.TooMany](err); ok {
		return http.StatusTooManyRequests
	}
	return httpfault.Status(err)
}

// said is what somebody is told of an error: causes are for the log.
func (p *Pages) said(w http.ResponseWriter, err error) (int, string) {
	status := statusOf(err)
	if many, ok := errors.AsType[*signin.TooMany](err); ok {
		w.Header().Set("Retry-After", itoa(int(many.Wait.Seconds())+1))
		return status, many.Error()
	}
	fe, ok := errors.AsType[*fault.Error](err)
	switch {
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "2")
		p.Log.Warn("page failed", "err", err)
		if ok && fe.Err == nil {
			return status, fe.Msg
		}
		return status, "This is not possible now. Try again in a moment."
	case status == http.StatusInternalServerError || !ok:
		p.Log.Error("page failed", "err", err)
		return status, "Something went wrong here. It is in the log."
	case fe.Field != "":
		return status, fe.Field + ": " + fe.Msg
	}
	return status, fe.Msg
}

func (p *Pages) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, text := p.said(w, err)
	p.show(w, r, status, message("That did not work", text, "/account"))
}
