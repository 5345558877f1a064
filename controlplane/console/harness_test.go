package console

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/feed"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/reference"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/controlplane/web"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	home    = "https://example.com" // one that httptest has a certificate for
	session = "__Host-warren"
)

// rig is a control plane's console with all that it stands on; nodes and connectors are what report says.
type rig struct {
	t     testing.TB
	db    *store.Store
	admin *admin.Admin
	world *model.Current
	seen  *presence.Store

	made   map[string]string // by what path calls it: ids that furnish has made
	began  time.Time
	saying sync.Mutex
	said   map[presence.Key]presence.Entry // guarded by saying; the newest report of each
	push   *push.Server
	key    access.Principal // of the whole cluster
	con    *Console
	srv    *httptest.Server
}

func newRig(t testing.TB) *rig {
	t.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	r := &rig{t: t, made: map[string]string{}, began: time.Now(), said: map[presence.Key]presence.Entry{}, db: storetest.New(t), world: model.NewCurrent(), seen: presence.New("r1", presence.Memory{}, log, reg)}
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := admin.Bootstrap(t.Context(), r.db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	r.push = push.New(push.Options{Cluster: cluster.ID, Log: log, Reg: reg})
	compiler := snapshot.New(sealer.Open)
	var prev *model.Model
	changes := feed.New(r.db, func(b model.Batch) {
		next := r.world.Get().Apply(b)
		r.push.Publish(compiler.Build(prev, next, b), next)
		prev = next
		r.world.Set(next)
		r.seen.Follow(b, next)
	}, log, reg)
	r.admin = admin.New(r.db, certs.NewIssuer(cluster.Web, sealer), sealer, cluster.Identity.Fingerprint())
	if r.key, err = r.admin.Authenticate(t.Context(), cluster.FirstKey, netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if r.admin.Tails, err = tail.New("", log, reg); err != nil {
		t.Fatal(err)
	}
	r.admin.Hops = &hops.Source{World: r.world, Seen: r.seen, Required: rest.Required(r.push)}
	base, _ := url.Parse(home)
	limiter, err := limits.New("", log, reg)
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(mail.Options{Log: log, Reg: reg, Server: "mail.invalid:25", Security: mail.Plain, From: "Warren <warren@example.org>"})
	if err != nil {
		t.Fatal(err)
	}
	people := signin.New(signin.Options{
		Store: r.db, Admin: r.admin, Sealer: sealer, URL: base, Hasher: password.New(password.Options{Reg: reg}), Limiter: limiter, Mail: mailer, OIDC: oidc.New(http.DefaultClient), Log: log, Reg: reg,
	})
	r.admin.Inviter, r.admin.Post = people, mailer
	pages := web.New(web.Options{SignIn: people, URL: base, Cookie: session, Log: log, Reg: reg})
	api := rest.New(rest.Options{Log: log, Reg: prometheus.NewRegistry()})
	r.con = New(Options{
		Reference: reference.Of(api.Document()),
		Admin:     r.admin, World: r.world, Push: r.push, Presence: r.seen, Gate: pages, Preflight: registrar{}, Previewer: snapshot.New(sealer.Open), Cookie: session, Control: []string{"control.example.com:8443"},
		Database: func() time.Duration { return 0 }, Log: log, Reg: reg,
	})
	pages.Home = r.con.Home
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = changes.Run(ctx) })
	wg.Go(func() { _ = r.con.Run(ctx) })
	r.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, Root) {
			r.con.ServeHTTP(w, req)
			return
		}
		pages.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { cancel(); r.srv.Close(); wg.Wait() })
	if err := r.push.WaitPublished(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.goOn()
	return r
}

// registrar is a DNS that has not heard of anything.
type registrar struct{}

func (registrar) Check(_ context.Context, q preflight.Question) (preflight.Report, error) {
	return preflight.Judge(q, preflight.Facts{}), nil
}

// must waits until the world has a revision.
func (r *rig) must(rev model.Revision, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.push.WaitPublished(r.t.Context(), rev); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.world.Wait(r.t.Context(), rev); err != nil { // which is set a moment later
		r.t.Fatal(err)
	}
}

// catchUp waits until the world has all that is written.
func (r *rig) catchUp() {
	r.t.Helper()
	r.must(r.admin.Head(r.t.Context()))
}

func (r *rig) report(e presence.Entry) {
	e.Since, e.Seen, e.Version = r.began.Add(-time.Hour), time.Now(), "v1.2.3"
	r.saying.Lock()
	defer r.saying.Unlock()
	r.said[e.Key] = e
	r.seen.Report(r.t.Context(), e)
}

// goOn has whoever has reported say it again each second, as nodes and connectors do, until the test ends.
func (r *rig) goOn() {
	done := make(chan struct{})
	var wg sync.WaitGroup
	r.t.Cleanup(func() { close(done); wg.Wait() })
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			r.saying.Lock()
			for _, e := range r.said {
				e.Seen = time.Now()
				r.seen.Report(context.Background(), e)
			}
			r.saying.Unlock()
		}
	})
}

func (r *rig) nodeID(name string) string {
	for n := range r.world.Get().Nodes() {
		if n.Name == name {
			return n.ID.String()
		}
	}
	r.t.Fatalf("no node %s", name)
	return ""
}

func (r *rig) connectorID(name string) string {
	for c := range r.world.Get().Connectors() {
		if c.Name == name {
			return c.ID.String()
		}
	}
	r.t.Fatalf("no connector %s", name)
	return ""
}

func (r *rig) target(name string) string {
	for t := range r.world.Get().Targets() {
		if t.Name == name {
			return t.ID.String()
		}
	}
	r.t.Fatalf("no target %s", name)
	return ""
}

// join gives a node, or a connector of the default organization, the key that it would have made; "": none.
func (r *rig) join(node, connector string) {
	r.t.Helper()
	ctx := r.t.Context()
	rev, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
		if node != "" {
			n, err := tx.GetNodeByName(ctx, node)
			if err != nil {
				return err
			}
			if n.WireGuardKey, err = publicKey(); err != nil {
				return err
			}
			if _, err := tx.UpdateNode(ctx, n); err != nil {
				return err
			}
		}
		if connector == "" {
			return nil
		}
		o, err := tx.GetOrganizationByName(ctx, "default")
		if err != nil {
			return err
		}
		c, err := tx.GetConnectorByName(ctx, o.ID, connector)
		if err != nil {
			return err
		}
		if c.WireGuardKey, err = publicKey(); err != nil {
			return err
		}
		_, err = tx.UpdateConnector(ctx, c)
		return err
	})
	r.must(rev, err)
}

func publicKey() (wgkey.Public, error) {
	k, err := wgkey.New()
	return k.Public(), err
}

// user makes somebody with a role in the cluster, or, if that is "", one in an organization, and returns a session's token.
func (r *rig) user(email, cluster, org, role string) string {
	r.t.Helper()
	ctx := r.t.Context()
	u, _, err := r.admin.Users.Create(ctx, r.key, "", email, admin.UserSpec{DisplayName: email, ClusterRole: cluster})
	if err != nil {
		r.t.Fatal(err)
	}
	if org != "" {
		if _, _, err := r.admin.Members.Create(ctx, r.key, org, email, admin.MemberSpec{Roles: []string{role}}); err != nil {
			r.t.Fatal(err)
		}
	}
	id, err := model.UserID{}.Parse(u.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	token := ""
	if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) (err error) {
		token, _, err = r.admin.NewSession(ctx, tx, admin.SignIn{User: id, Address: netip.MustParseAddr("127.0.0.1"), AMR: []string{"pwd"}, SecondFactor: time.Now()})
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	return token
}

// browser sends what browsers send, with the cookie of a session.
type browser struct {
	*http.Client
	r     *rig
	token string
	extra http.Header
}

func (r *rig) browser(token string) *browser {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	tr := r.srv.Client().Transport.(*http.Transport).Clone()
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, r.srv.Listener.Addr().String())
	}
	tr.TLSClientConfig = &tls.Config{RootCAs: tr.TLSClientConfig.RootCAs, ServerName: "example.com"}
	r.t.Cleanup(tr.CloseIdleConnections)
	at, _ := url.Parse(home)
	jar.SetCookies(at, []*http.Cookie{{Name: session, Value: token, Path: "/", Secure: true}})
	return &browser{Client: &http.Client{Jar: jar, Transport: tr}, r: r, token: token, extra: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {home}}}
}

// reply is an answer that was read.
type reply struct {
	status int
	path   string
	header http.Header
	body   string
}

func (b *browser) do(method, path, kind, body string) reply {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), method, home+path, strings.NewReader(body))
	if err != nil {
		b.r.t.Fatal(err)
	}
	for k, v := range b.extra {
		req.Header[k] = v
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := b.Do(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Request.URL.Path, resp.Header, string(text)}
}

func (b *browser) get(path string) reply {
	b.r.t.Helper()
	return b.do(http.MethodGet, path, "", "")
}

func (b *browser) post(path string, pairs ...string) reply {
	b.r.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, "application/x-www-form-urlencoded", v.Encode())
}
