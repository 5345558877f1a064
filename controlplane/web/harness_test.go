package web

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/signin/oidc/oidctest"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/controlplane/visit"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// The address of the pages: one that httptest has a certificate for.
const (
	home     = "https://example.com"
	secret   = "correct horse battery staple"
	another  = "incorrect horse battery staple"
	alice    = "alice@example.org"
	sessions = "__Host-warren"
)

// rig is a control plane's pages with all that they stand on.
type rig struct {
	db     *store.Store
	signIn *signin.Service
	pages  *Pages
	visits *visit.Server
	srv    *httptest.Server
	mail   *mailtest.Server
	idp    *oidctest.Provider
	reg    *prometheus.Registry

	mu        sync.Mutex
	events    []signin.Event
	later     time.Duration // that the clock of the sign-in is ahead
	strangers int
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigAt(t, "")
}

// newRigAt counts attempts in a Valkey.
func newRigAt(t testing.TB, valkey string) *rig {
	t.Helper()
	r := &rig{db: storetest.New(t), mail: mailtest.Start(t), reg: prometheus.NewRegistry(), idp: oidctest.Start(t, home+signin.PathOIDC)}
	log := slog.New(slog.DiscardHandler)
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Bootstrap(t.Context(), r.db, sealer); err != nil {
		t.Fatal(err)
	}
	limiter, err := limits.New(valkey, log, r.reg)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	limiter.Clock(func() time.Time { return begun }) // a slow machine gets no attempts back
	mailer, err := mail.New(mail.Options{Server: r.mail.Addr, Security: mail.Plain, From: "Warren <warren@example.org>", Log: log, Reg: r.reg})
	if err != nil {
		t.Fatal(err)
	}
	base, _ := url.Parse(home)
	r.signIn = signin.New(signin.Options{
		Store: r.db, Admin: admin.New(r.db, nil, sealer, ""), Sealer: sealer, URL: base, Hasher: password.New(password.Options{Reg: r.reg}), Limiter: limiter,
		Mail: mailer, OIDC: oidc.New(r.idp.HTTP()), Log: log, Reg: r.reg, Now: func() time.Time {
			r.mu.Lock()
			defer r.mu.Unlock()
			return time.Now().Add(r.later)
		}, Audit: func(_ context.Context, e signin.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.signIn.Run(ctx) })
	wg.Go(func() { _ = mailer.Run(ctx) })
	wg.Go(func() { _ = limiter.Run(ctx) })
	r.visits = visit.New(visit.Options{Cluster: "cluster-1", Store: r.db, Sessions: r.signIn.Admin, World: model.NewCurrent(), Open: sealer.Open, Log: log, Registerer: r.reg})
	r.pages = New(Options{SignIn: r.signIn, Visits: &visit.Entrance{Server: r.visits, Limiter: limiter, Mail: mailer}, URL: base, Cookie: sessions, Log: log, Reg: r.reg})
	r.srv = httptest.NewTLSServer(r.pages)
	t.Cleanup(func() { r.srv.Close(); cancel(); wg.Wait() })
	return r
}

func (r *rig) told(action string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Action == action {
			n++
		}
	}
	return n
}

// hashes is how many passwords were hashed.
func (r *rig) hashes(t testing.TB) (n float64) {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cp_signin_argon2_total" {
			for _, m := range f.Metric {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// browser keeps cookies, follows redirects and sends what browsers send.
type browser struct {
	t testing.TB
	*http.Client
	header    http.Header
	confirmed string // the code with which an app was added last
}

func (r *rig) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := r.srv.Client().Transport.(*http.Transport).Clone()
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, r.srv.Listener.Addr().String())
	}
	tr.TLSClientConfig = &tls.Config{RootCAs: tr.TLSClientConfig.RootCAs, ServerName: "example.com"}
	t.Cleanup(tr.CloseIdleConnections)
	b := &browser{t: t, Client: &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != "example.com" || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}, header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {home}}}
	return b
}

// reply is an answer that was read.
type reply struct {
	status int
	at     *url.URL
	header http.Header
	body   string
}

func (b *browser) do(req *http.Request) reply {
	b.t.Helper()
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Request.URL, resp.Header, string(body)}
}

func (b *browser) get(path string) reply {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = home + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) post(path string, pairs ...string) reply {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return b.send(path, "application/x-www-form-urlencoded", v.Encode())
}

func (b *browser) send(path, kind, body string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, home+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range b.header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", kind)
	return b.do(req)
}

// cookie is what the browser keeps under a name.
func (b *browser) cookie(name string) string {
	at, _ := url.Parse(home)
	for _, c := range b.Jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) signedIn() bool { return b.get("/account").at.Path == "/account" }

// set makes the cluster's first administrator, alice, and returns the browser in which she is signed in.
func (r *rig) set(t testing.TB) *browser {
	t.Helper()
	token, err := signin.NewSetupToken(t.Context(), r.db)
	if err != nil {
		t.Fatal(err)
	}
	b := r.browser(t)
	if p := b.post("/setup", "token", token, "email", alice, "name", "Alice", "password", secret); p.status != 200 || p.at.Path != "/account" {
		t.Fatalf("%d %s: %s", p.status, p.at, p.body)
	}
	return b
}

var secretText = regexp.MustCompile(`<code class="secret">([A-Z2-7]+)</code>`)

// addApp gives the user of a browser an authenticator app and returns its secret and the backup codes.
func (b *browser) addApp() (key string, codes []string) {
	b.t.Helper()
	p := b.post("/account/app", "current", secret)
	m := secretText.FindStringSubmatch(p.body)
	if m == nil {
		b.t.Fatalf("%d: %s", p.status, p.body)
	}
	b.confirmed = code(b.t, m[1], 0)
	p = b.post("/account/app/confirm", "code", b.confirmed)
	for _, c := range regexp.MustCompile(`<li><code>([a-z0-9-]+)</code>`).FindAllStringSubmatch(p.body, -1) {
		codes = append(codes, c[1])
	}
	if p.status != 200 || len(codes) != 10 {
		b.t.Fatalf("%d, %d codes: %s", p.status, len(codes), p.body)
	}
	return m[1], codes
}

func code(t testing.TB, key string, later time.Duration) string {
	t.Helper()
	c, err := totp.GenerateCode(key, time.Now().Add(later))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// linkIn is the link of a mail.
func linkIn(t testing.TB, text string) *url.URL {
	t.Helper()
	m := regexp.MustCompile(`https?://\S+`).FindString(text)
	u, err := url.Parse(m)
	if err != nil || m == "" {
		t.Fatalf("no link in %q", text)
	}
	return u
}
