package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap hashes without making anybody wait.
func cheap(t testing.TB, secret string) string {
	t.Helper()
	h, err := argon2id.CreateHash(secret, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func compiled(t testing.TB, p *policy.Policy) *policy.Compiled {
	t.Helper()
	if p.ID == "" {
		p.ID = "policy_1"
	}
	c, err := policy.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// places knows where some addresses are.
type places map[netip.Addr]string

func (p places) Locate(a netip.Addr) (string, uint32) { return p[a], 0 }

func newAccess(o access.Options) *access.Access {
	o.Log, o.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	return access.New(o)
}

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	a := &authority{key: newKey(t)}
	a.cert = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true}, nil, a.key)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) sign(t testing.TB, tmpl, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) issue(t testing.TB, dns string) tls.Certificate {
	key := newKey(t)
	c := a.sign(t, &x509.Certificate{DNSNames: []string{dns}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, a.cert, key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// edge is a proxy with a guard, before one target.
type edge struct {
	*httpproxy.Proxy
	addr string
	web  *authority

	mu   sync.Mutex
	seen []*http.Request // guarded by mu; what the target got
}

func newEdge(t testing.TB, g httpproxy.Guard) *edge {
	t.Helper()
	e := &edge{web: newAuthority(t)}
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.seen = append(e.seen, r)
		e.mu.Unlock()
		_, _ = io.WriteString(w, "target")
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(target) }()
	log := slog.New(slog.DiscardHandler)
	e.Proxy = httpproxy.New(func(ctx context.Context, _ fabric.Request) (net.Conn, fabric.Way, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", target.Addr().String())
		return c, fabric.Way{}, err
	}, balance.NewHealth(log, prometheus.NewRegistry()), log, prometheus.NewRegistry(), nil)
	e.SetGuard(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done; _ = srv.Close(); <-served })
	return e
}

var toTarget = []httpproxy.Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: "t", Site: "s", Weight: 1}}}}

// apply makes a route of each hostname, with its policy; nil is one that is not known.
func (e *edge) apply(t testing.TB, routes map[string]*policy.Compiled) {
	var cfg httpproxy.Config
	for host, p := range routes {
		cfg.Certificates = append(cfg.Certificates, httpproxy.Certificate{Name: host, Names: []string{host}, TLS: e.web.issue(t, host)})
		cfg.Routes = append(cfg.Routes, httpproxy.Route{
			Service: "service", Hostname: host, Certificate: host, Policy: "policy/" + host, Decides: p,
			Rules: toTarget,
		})
	}
	e.Apply(cfg)
}

// client speaks HTTP/2 or HTTP/1.1 for the server name sni, which may show a certificate.
func (e *edge) client(t testing.TB, h2 bool, sni string, shown ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(e.web.cert)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: sni, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(shown) > 0 {
				return &shown[0], nil
			}
			return &tls.Certificate{}, nil
		}},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", e.addr)
		},
		Protocols: new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func ask(t testing.TB, c *http.Client, url string, change func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	change(r)
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp
}

func TestGuard(t *testing.T) {
	a := newAccess(access.Options{})
	e := newEdge(t, a)
	clients := newAuthority(t)
	e.apply(t, map[string]*policy.Compiled{
		"open.example":   compiled(t, &policy.Policy{Otherwise: policy.Allow}),
		"closed.example": compiled(t, &policy.Policy{}),
		"lost.example":   nil, // T4
		"here.example":   compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Networks: []string{"127.0.0.0/8", "::1/128"}, Paths: []string{"/in/**"}}}}}),
		"place.example":  compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Countries: []string{"CH"}}}}}),
		"basic.example":  compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{Basic: []policy.Basic{{User: "ada", PasswordHash: cheap(t, "lovelace")}}}}),
		"token.example":  compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ServiceTokens: []policy.Secret{{ID: "token_1", SHA256: policy.HashSecret("s3cret")}}}}),
		"mtls.example":   compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ClientCertificate: policy.ClientCertificate{AuthoritiesPEM: clients.pem(), Names: []string{"*.laptops.example"}}}}),
	})
	none := func(*http.Request) {}
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("ada", password) }
	}
	token := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(access.TokenID, id); r.Header.Set(access.TokenSecret, secret) }
	}
	good, other, stranger := clients.issue(t, "a.laptops.example"), clients.issue(t, "a.phones.example"), newAuthority(t).issue(t, "a.laptops.example")
	for _, tt := range []struct {
		name, url string
		change    func(*http.Request)
		shown     []tls.Certificate
		status    int
	}{
		{"open", "https://open.example/", none, nil, 200},
		{"closed", "https://closed.example/", none, nil, 403},
		{"policy not known", "https://lost.example/", none, nil, 503},
		{"from here", "https://here.example/in/x", none, nil, 200},
		{"another path", "https://here.example/out", none, nil, 403},
		{"a path of two readings", "https://here.example/in;/../x", none, nil, 400},
		{"country not known", "https://place.example/", none, nil, 403},
		{"T7: a field that says where", "https://here.example/out", func(r *http.Request) {
			for _, f := range []string{"X-Forwarded-For", "X-Forwarded-Uri", "X-Original-Url", "X-Forwarded-Prefix", "X-Http-Method-Override", "Forwarded"} {
				r.Header.Set(f, "/in/x")
			}
		}, nil, 403},
		{"basic", "https://basic.example/", basic("lovelace"), nil, 200},
		{"basic, wrong", "https://basic.example/", basic("byron"), nil, 401},
		{"basic, none", "https://basic.example/", none, nil, 401},
		{"token", "https://token.example/", token("token_1", "s3cret"), nil, 200},
		{"token, wrong", "https://token.example/", token("token_1", "s3cre"), nil, 403},
		{"token, of another id", "https://token.example/", token("token_2", "s3cret"), nil, 403},
		{"token elsewhere", "https://closed.example/", token("token_1", "s3cret"), nil, 403},
		{"certificate", "https://mtls.example/", none, []tls.Certificate{good}, 200},
		{"certificate, another name", "https://mtls.example/", none, []tls.Certificate{other}, 403},
		{"certificate, of a stranger", "https://mtls.example/", none, []tls.Certificate{stranger}, 403},
		{"certificate, none", "https://mtls.example/", none, nil, 403},
	} {
		for _, h2 := range []bool{false, true} {
			c := e.client(t, h2, "", tt.shown...)
			for range 2 { // the second one on a connection is as good as the first
				if resp := ask(t, c, tt.url, tt.change); resp.StatusCode != tt.status {
					t.Errorf("%s, h2 %t: %d, want %d", tt.name, h2, resp.StatusCode, tt.status)
				}
			}
		}
	}
	// Credentials that were meant for the edge went no further.
	for _, r := range e.seen {
		for _, f := range []string{"Authorization", access.TokenID, access.TokenSecret} {
			if v := r.Header.Get(f); v != "" {
				t.Errorf("%s: the target sees %s: %s", r.Host, f, v)
			}
		}
	}
	if want := 2 * 2 * 5; len(e.seen) != want {
		t.Errorf("the target has seen %d requests, want %d", len(e.seen), want)
	}
}

// T2: what a connection was let in with by one policy is nothing to another.
func TestT2HostsOfDifferentPolicies(t *testing.T) {
	e := newEdge(t, newAccess(access.Options{}))
	e.apply(t, map[string]*policy.Compiled{
		"open.example": compiled(t, &policy.Policy{Otherwise: policy.Allow}), "closed.example": compiled(t, &policy.Policy{ID: "policy_2"}),
	})
	for _, h2 := range []bool{false, true} {
		for _, host := range []string{"closed.example", "CLOSED.example.", "closed.example:8443"} {
			if resp := ask(t, e.client(t, h2, "open.example"), "https://open.example/", func(r *http.Request) { r.Host = host }); resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s on a connection for open.example, h2 %t: %d", host, h2, resp.StatusCode)
			}
		}
	}
	if len(e.seen) > 0 {
		t.Error("a target was asked")
	}
}

// A policy that changes counts from the next request on, on connections that are open as well.
func TestPolicyChangesUnderAConnection(t *testing.T) {
	e := newEdge(t, newAccess(access.Options{}))
	clients, others := newAuthority(t), newAuthority(t)
	by := func(a *authority) *policy.Compiled {
		return compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ClientCertificate: policy.ClientCertificate{AuthoritiesPEM: a.pem()}}})
	}
	e.apply(t, map[string]*policy.Compiled{"mtls.example": by(clients)})
	c := e.client(t, true, "", clients.issue(t, "a.example"))
	none := func(*http.Request) {}
	for i, tt := range []struct {
		authority *authority
		want      int
	}{{clients, 200}, {others, 403}, {clients, 200}} {
		e.apply(t, map[string]*policy.Compiled{"mtls.example": by(tt.authority)})
		if resp := ask(t, c, "https://mtls.example/", none); resp.StatusCode != tt.want {
			t.Errorf("%d: %d, want %d", i, resp.StatusCode, tt.want)
		}
	}
}

func TestConnections(t *testing.T) {
	home, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	a := newAccess(access.Options{Places: places{home: "CH", away: "DE"}})
	clients := newAuthority(t)
	p := compiled(t, &policy.Policy{
		Rules: []policy.Rule{{Action: policy.Deny, Unless: policy.Conditions{Countries: []string{"CH"}}}}, Otherwise: policy.Authenticate,
		Auth: policy.Auth{ClientCertificate: policy.ClientCertificate{AuthoritiesPEM: clients.pem()}},
	})
	shown := []*x509.Certificate{clients.issue(t, "a.example").Leaf}
	if admit := a.Named(p); !admit(home, shown) || admit(home, nil) || admit(away, shown) || admit(netip.MustParseAddr("203.0.113.1"), shown) {
		t.Error("a TLS connection is judged wrongly")
	}
	open := compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Networks: []string{"192.0.2.0/24"}}}}})
	if admit := a.Connection(open); !admit(home) || !admit(netip.MustParseAddr("::ffff:192.0.2.1")) || admit(away) {
		t.Error("a connection is judged wrongly")
	}
	if a.Connection(nil)(home) || a.Named(nil)(home, shown) {
		t.Error("a policy that is not known admits somebody")
	}
}

// uses counts, or is away.
type uses struct {
	left int
	err  error
}

func (u *uses) Use(context.Context, string) (bool, error) {
	u.left--
	return u.left >= 0, u.err
}

func TestShareLinks(t *testing.T) {
	u := &uses{left: 2}
	a := newAccess(access.Options{Uses: u})
	p := compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ShareLinks: []policy.Secret{
		{ID: "link_1", SHA256: policy.HashSecret("free")}, {ID: "link_2", SHA256: policy.HashSecret("twice"), MaxUses: 2},
		{ID: "link_3", SHA256: policy.HashSecret("over"), Expires: time.Now().Add(-time.Second)},
	}}})
	client := netip.MustParseAddr("192.0.2.1")
	open := func(secret string) error { _, err := a.Open(t.Context(), p, secret, client); return err }
	for i, tt := range []struct {
		secret string
		want   error
	}{{"free", nil}, {"free", nil}, {"twice", nil}, {"twice", nil}, {"twice", access.ErrWrong}, {"over", access.ErrWrong}, {"", access.ErrWrong}} {
		if err := open(tt.secret); !errors.Is(err, tt.want) {
			t.Errorf("%d: %v, want %v", i, err, tt.want)
		}
	}
	u.left, u.err = 9, errors.New("away")
	if err := open("twice"); !errors.Is(err, access.ErrNobody) {
		t.Errorf("while nobody counts: %v", err)
	}
	if err := open("free"); err != nil {
		t.Errorf("a link without a limit, while nobody counts: %v", err)
	}
}
