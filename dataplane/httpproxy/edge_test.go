package httpproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge is a Proxy on a loopback port; its targets are reached by id.
type edge struct {
	*Proxy
	addr string
	root *x509.CertPool
	logs *accessLog
	stop func() error // ends Serve and returns its error

	mu       sync.Mutex
	backends map[string]string // guarded by mu; target id → address
	dialled  []fabric.Request  // guarded by mu
	way      fabric.Way        // guarded by mu; of what is dialled from now on
}

// accessLog keeps what is logged, as JSON lines.
type accessLog struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (a *accessLog) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.buf.Write(p)
}

func (a *accessLog) lines(t testing.TB) (all []map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for d := json.NewDecoder(bytes.NewReader(a.buf.Bytes())); d.More(); {
		line := map[string]any{}
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

func newHealth() *balance.Health {
	return balance.NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func newEdge(t testing.TB, backends map[string]string) *edge {
	t.Helper()
	e := &edge{backends: backends, root: x509.NewCertPool(), logs: new(accessLog)}
	e.Proxy = New(func(ctx context.Context, r fabric.Request) (net.Conn, fabric.Way, error) {
		e.mu.Lock()
		e.dialled = append(e.dialled, r)
		addr, ok := e.backends[r.Target]
		way := e.way
		e.mu.Unlock()
		if !ok {
			return nil, fabric.Way{}, &fabric.DialError{Status: fabric.StatusNoTunnel, Target: r.Target, Site: r.Site, Err: errors.New("secret inside")}
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		return c, way, err
	}, newHealth(), slog.New(slog.DiscardHandler), prometheus.NewRegistry(), slog.New(slog.NewJSONHandler(e.logs, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, l) }()
	e.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = e.stop() })
	return e
}

// certificate makes one for names that clients of e trust.
func (e *edge) certificate(t testing.TB, names ...string) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return e.signed(t, key, names...)
}

// signed makes one of a key.
func (e *edge) signed(t testing.TB, key crypto.Signer, names ...string) Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	e.root.AddCert(leaf)
	return Certificate{Name: "certificate/" + names[0], Names: names, TLS: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}
}

// serve applies one route per host, each with all of its traffic to the target named.
func (e *edge) serve(t testing.TB, hosts map[string]string) {
	t.Helper()
	var cfg Config
	for host, target := range hosts {
		c := e.certificate(t, host)
		cfg.Certificates = append(cfg.Certificates, c)
		cfg.Routes = append(cfg.Routes, Route{Service: "service-" + target, Hostname: host, Certificate: c.Name,
			Rules: []Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: target, Site: "site", Weight: 1}}}}})
	}
	e.Apply(cfg)
}

// dial makes a TLS connection for name, with these protocols on offer.
func (e *edge) dial(t testing.TB, name string, protos ...string) *tls.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, &tls.Config{ServerName: name, RootCAs: e.root, NextProtos: protos})
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake for %s: %v", name, err)
	}
	return c
}

// client speaks HTTP/2 or HTTP/1.1 to e, whatever host a URL names; sni overrides its server name.
func (e *edge) client(t testing.TB, h2 bool, sni string) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: e.root, ServerName: sni},
		ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", e.addr)
		},
	}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get does a request and returns status and body.
func get(t testing.TB, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// backend is an HTTP server on a loopback port.
func backend(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return l.Addr().String()
}

// named answers with its name.
func named(t testing.TB, name string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name+" "+r.URL.Path) })
}

// rawBackend keeps the head of every request as it came, and answers with it. It parses nothing but
// Content-Length and chunks that are well formed, which is all that an edge may send.
type rawBackend struct {
	addr string
	mu   sync.Mutex
	seen []string // guarded by mu
}

func newRawBackend(t testing.TB) *rawBackend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &rawBackend{addr: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c)
		}
	}()
	return b
}

func (b *rawBackend) serve(c net.Conn) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head.String()), r)))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		b.mu.Lock() // only whole requests count
		b.seen = append(b.seen, head.String())
		b.mu.Unlock()
		answer := &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(head.String())), ContentLength: int64(head.Len())}
		if answer.Write(c) != nil || req.ContentLength < 0 {
			return // the reader above took bytes ahead of a chunked body
		}
	}
}

func (b *rawBackend) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.seen
	b.seen = nil
	return s
}

// waitFor polls until ok, for at most ten seconds.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("did not happen in time")
		}
	}
}

// value is what a counter or gauge stands at.
func value(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	if out.Gauge != nil {
		return out.Gauge.GetValue()
	}
	return out.Counter.GetValue()
}
