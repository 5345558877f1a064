package gate_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gate"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host, cluster, org = "wiki.example", "cluster-1", "org_1"

// plane is a control plane: it signs in whoever comes as alice, and gives each code once.
type plane struct {
	key   ed25519.PrivateKey
	calls atomic.Int64
	away  atomic.Bool
	group atomic.Pointer[string] // of who comes, beside the two that he always has; nil: none
	renew atomic.Bool            // tokens are renewed

	mu    sync.Mutex
	codes map[string]string // guarded by mu: code → host and binding
	ended map[string]bool   // guarded by mu: sessions
}

func (p *plane) Reachable(context.Context) error {
	if p.away.Load() {
		return fmt.Errorf("away")
	}
	return nil
}

func (p *plane) Redeem(_ context.Context, code, host, binding string) (string, error) {
	p.calls.Add(1)
	if p.away.Load() {
		return "", fmt.Errorf("away")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	want, ok := p.codes[code]
	delete(p.codes, code)
	if !ok || want != host+" "+binding {
		return "", fmt.Errorf("redeem: %w", gate.ErrCode)
	}
	return p.sign(host, binding)
}

func (p *plane) sign(host, binding string) (string, error) {
	c := &accesstoken.Claims{Issuer: cluster, Audience: host, Subject: "user_1", Session: "session_1", Org: org, Email: "alice@example.org",
		Name: "Alice Ä\r\nX-Evil: 1", Groups: []string{"staff", "ops"}, Binding: binding}
	if more := p.group.Load(); more != nil {
		c.Groups = append(c.Groups, *more)
	}
	c.Issue(time.Now())
	return accesstoken.Sign(p.key, "k", c)
}

func (p *plane) SignOut(_ context.Context, token string) error {
	p.calls.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended[token] = true
	return nil
}

func (p *plane) Renew(_ context.Context, token string) (string, error) {
	p.calls.Add(1)
	if !p.renew.Load() {
		return "", fmt.Errorf("away")
	}
	c, err := accesstoken.Verify(token, map[string]ed25519.PublicKey{"k": p.key.Public().(ed25519.PublicKey)})
	if err != nil {
		return "", err
	}
	return p.sign(c.Audience, c.Binding)
}

// authorize is the control plane's page, at which a browser is signed in already.
func (p *plane) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q.Get("host") + " " + q.Get("challenge")
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	http.Redirect(w, r, "https://"+q.Get("host")+"/.warren/callback?"+back.Encode(), http.StatusFound)
}

// node is a node with one service, and a browser's way to it.
type node struct {
	t        testing.TB
	plane    *plane
	gate     *gate.Gate
	sessions *session.Sessions
	access   *access.Access
	proxy    *httpproxy.Proxy
	cert     httpproxy.Certificate
	signIn   *url.URL
	told     gate.Config
	addr     string
	to       string // the target's address
	look     *page.Look
	log      lockedLog
	level    slog.LevelVar // from which it is kept

	mu   sync.Mutex
	seen []*http.Request // guarded by mu; that the target got
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newNode(t testing.TB, pol *policy.Policy, target http.HandlerFunc) *node {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, plane: &plane{key: private, codes: map[string]string{}, ended: map[string]bool{}}}
	log, reg := slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: &n.level})), prometheus.NewRegistry()
	authorize := httptest.NewTLSServer(http.HandlerFunc(n.plane.authorize))
	t.Cleanup(authorize.Close)
	n.signIn, _ = url.Parse(authorize.URL)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.seen = append(n.seen, r.Clone(context.Background()))
		n.mu.Unlock()
		target(w, r)
	}))
	t.Cleanup(behind.Close)

	n.to = behind.Listener.Addr().String()

	open := session.NewOpen()
	n.sessions = session.New(cluster, n.plane, log, reg)
	n.sessions.Apply(session.Config{Keys: map[string]ed25519.PublicKey{"k": public}})
	n.access = access.New(access.Options{Log: log, Registerer: reg})
	n.gate = gate.New(gate.Options{Sessions: n.sessions, Open: open, Check: n.access, Plane: n.plane, Log: log, Registerer: reg})
	n.access.SetBrowser(n.gate)
	n.proxy = httpproxy.New(func(ctx context.Context, _ fabric.Request) (net.Conn, fabric.Way, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", n.to)
		return c, fabric.Way{}, err
	}, balance.NewHealth(log, reg), log, reg, log)
	n.proxy.SetGuard(n.access)
	n.cert = certificate(t, host)
	n.apply(pol)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.proxy.Serve(ctx, l) })
	wg.Go(func() { _ = open.Run(ctx) })
	wg.Go(func() { _ = n.sessions.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return n
}

// apply makes the policy be this one.
func (n *node) apply(pol *policy.Policy) {
	n.t.Helper()
	pol.ID, pol.Org, pol.Name = cmp.Or(pol.ID, "policy_1"), cmp.Or(pol.Org, org), "p"
	c, err := policy.Compile(pol)
	if err != nil {
		n.t.Fatal(err)
	}
	n.proxy.Apply(httpproxy.Config{Certificates: []httpproxy.Certificate{n.cert}, Routes: []httpproxy.Route{{
		Service: "service_1", Hostname: host, Certificate: n.cert.Name, Policy: "policy/1", Decides: c, Look: n.look,
		Rules: []httpproxy.Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: "t", Site: "s", Weight: 1}}}},
	}}})
	n.told = gate.Config{SignIn: n.signIn, Policies: map[string]*policy.Compiled{"service_1": c}}
	n.gate.Apply(n.told)
}

// config is what the gate was last told.
func (n *node) config() *gate.Config { return &n.told }

// with is a browser with the cookies of another, that follows no redirect.
func (n *node) with(c *http.Client) *http.Client {
	still := n.browser(true)
	still.Jar = c.Jar
	return still
}

// got returns what the target got since the last call.
func (n *node) got() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.seen
	n.seen = nil
	return s
}

// browser has cookies of its own. It follows redirects unless still is set.
func (n *node) browser(still bool) *http.Client {
	jar, _ := cookiejar.New(nil)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, host) {
				addr = n.addr
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	n.t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr, Jar: jar, Timeout: 30 * time.Second}
	if still {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c
}

// visit opens a page as a person does; fields are names and values of more of the request's.
func (n *node) visit(c *http.Client, method, target string, body string, fields ...string) (*http.Response, string) {
	n.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "https://" + host + target
	}
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,*/*")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		n.t.Fatal(err)
	}
	return resp, string(b)
}

func certificate(t testing.TB, name string) httpproxy.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return httpproxy.Certificate{Name: "certificate/" + name, Names: []string{name}, TLS: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}
}

func members() *policy.Policy {
	return &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{SignIn: policy.SignIn{Members: true}}}
}

func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "hello "+r.URL.RequestURI())
}

var b64 = base64.RawURLEncoding
