package challenge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newAnswerer(t testing.TB, limit *inbound.Limiter, cfg Config) *Answerer {
	t.Helper()
	a, err := New(Options{HTTPS: 443, Limit: limit, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	a.Apply(cfg)
	return a
}

// serve runs one of an Answerer's servers until the test ends.
func serve(t testing.TB, run func(context.Context, net.Listener) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// raw sends bytes and reads what comes back until the end.
func raw(t testing.TB, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return string(b)
}

// rawUnread is raw for requests that the server does not read to their end: what comes back may be cut off.
func rawUnread(t testing.TB, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, request)
	b, _ := io.ReadAll(c)
	return string(b)
}

func get(target, host string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

func sample(expires time.Time) Config {
	return Config{
		Challenges: []Challenge{
			{Name: "www.example.org", Token: "tok-EN_1", KeyAuthorization: "tok-EN_1.thumb", Expires: expires},
			{Name: "www.example.org", Token: "other", KeyAuthorization: "other.thumb", Expires: expires},
			{Name: "new.example.org", Token: "tok", KeyAuthorization: "tok.thumb", Expires: expires},
			{Name: "tls.example.org", Digest: sha256.Sum256([]byte("a")), Expires: expires},
			{Name: "tls.example.org", Digest: sha256.Sum256([]byte("b")), Expires: expires.Add(time.Minute)},
		},
		Hostnames: map[string]bool{"www.example.org": true, "*.wild.example.org": true, "pass.wild.example.org": false},
	}
}

func TestPlain(t *testing.T) {
	a := newAnswerer(t, inbound.NewLimiter(inbound.PerIP, 1000), sample(time.Now().Add(time.Hour)))
	addr := serve(t, a.Plain)
	const file = "/.well-known/acme-challenge/"
	const to = "Location: https://"
	for _, tt := range []struct{ name, request, status, has string }{
		{"a challenge", get(file+"tok-EN_1", "www.example.org"), "200", "\r\n\r\ntok-EN_1.thumb"},
		{"another of the same name", get(file+"other", "www.example.org"), "200", "\r\n\r\nother.thumb"},
		{"with a port, in capitals", get(file+"tok-EN_1", "WWW.example.org:80"), "200", "tok-EN_1.thumb"},
		{"in absolute form", get("http://www.example.org"+file+"tok-EN_1", "elsewhere.example"), "200", "tok-EN_1.thumb"},
		{"HEAD", "HEAD " + file + "tok-EN_1 HTTP/1.1\r\nHost: www.example.org\r\n\r\n", "200", "Content-Length: 14"},
		{"of a name that is not published", get(file+"tok", "new.example.org"), "200", "tok.thumb"},
		{"HTTP/1.0", "GET " + file + "tok HTTP/1.0\r\nHost: new.example.org\r\n\r\n", "200", "tok.thumb"},
		// The token of one name is none of another, and is taken as it is spelled.
		{"another's token", get(file+"tok", "www.example.org"), "308", to + "www.example.org" + file + "tok\r\n"},
		{"encoded", get(file+"%74ok", "new.example.org"), "404", ""},
		{"climbing", get(file+"../../etc/passwd", "new.example.org"), "404", ""},
		{"climbing back", get(file+"x/../tok", "new.example.org"), "404", ""},
		{"encoded slash", get(file+"x%2f..%2ftok", "new.example.org"), "404", ""},
		{"doubled slash", get("/"+file+"tok", "new.example.org"), "404", ""},
		{"below it", get(file+"tok/", "new.example.org"), "404", ""},
		{"of another case", get(file+"TOK", "new.example.org"), "404", ""},
		{"with a byte of zero", get(file+"tok%00", "new.example.org"), "404", ""},
		{"the folder", get(file, "new.example.org"), "404", ""},
		{"posted", "POST " + file + "tok HTTP/1.1\r\nHost: new.example.org\r\nContent-Length: 0\r\n\r\n", "404", ""},
		// Clients of HTTP services are sent on, with path and query.
		{"a request", get("/a/b?c=d&e=%2F", "www.example.org"), "308", to + "www.example.org/a/b?c=d&e=%2F\r\n"},
		{"to another host by its path", get("//evil.example/", "www.example.org"), "308", to + "www.example.org//evil.example/\r\n"},
		{"below a wildcard", get("/", "a.wild.example.org"), "308", to + "a.wild.example.org/\r\n"},
		{"an upload", "PUT /x HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 1000000\r\n\r\n", "308", to + "www.example.org/x\r\n"},
		{"not HTTP, though a wildcard is", get("/", "pass.wild.example.org"), "404", ""},
		{"two labels below a wildcard", get("/", "a.b.wild.example.org"), "404", ""},
		{"a stranger's name", get("/", "evil.example"), "404", ""},
		{"an address", get("/", "192.0.2.1"), "404", ""},
		{"no name", "GET / HTTP/1.0\r\n\r\n", "404", ""},
		{"a bad port", get("/", "www.example.org:http"), "404", ""},
		{"a name with a line's end in it", get("/", "www.example.org%0d%0aSet-Cookie:x"), "404", ""},
		{"the server", "OPTIONS * HTTP/1.1\r\nHost: www.example.org\r\n\r\n", "404", ""},
		{"a tunnel", "CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n", "404", ""},
		{"a long path", get("/"+strings.Repeat("a", maxLocation), "www.example.org"), "404", ""},
		{"two hosts", "GET / HTTP/1.1\r\nHost: www.example.org\r\nHost: evil.example\r\n\r\n", "400", ""},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400", ""},
	} {
		got := raw(t, addr, tt.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+tt.status) && !strings.HasPrefix(got, "HTTP/1.0 "+tt.status) || !strings.Contains(got, tt.has) {
			t.Errorf("%s: %q, want %s with %q", tt.name, got, tt.status, tt.has)
		}
		if strings.Contains(got, "Set-Cookie") || tt.status != "200" && strings.Contains(got, "thumb") {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if got := rawUnread(t, addr, "GET / HTTP/1.1\r\nHost: www.example.org\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n"); strings.Contains(got, " 308 ") {
		t.Errorf("a large head: %.40q", got)
	}
	// One request a connection.
	if got := raw(t, addr, get("/", "www.example.org")+get("/", "www.example.org")); strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close") {
		t.Errorf("two requests: %q", got)
	}
}

// Where HTTPS has another port, clients are told.
func TestPlainPort(t *testing.T) {
	a := newAnswerer(t, inbound.NewLimiter(inbound.PerIP, 1000), sample(time.Now().Add(time.Hour)))
	a.with.HTTPS = 8443
	if got := raw(t, serve(t, a.Plain), get("/x", "www.example.org:8080")); !strings.Contains(got, "Location: https://www.example.org:8443/x\r\n") {
		t.Error(got)
	}
}

// Connections are counted with all others of their client, and given back.
func TestPlainIsBounded(t *testing.T) {
	limit := inbound.NewLimiter(2, 1000)
	a := newAnswerer(t, limit, sample(time.Now().Add(time.Hour)))
	addr := serve(t, a.Plain)
	self := netip.MustParseAddr("127.0.0.1")
	for range 2 {
		if err := limit.Enter(self); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := net.Dial("tcp", addr); err == nil { // else the reset was faster
		if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 || errors.Is(err, io.EOF) {
			t.Errorf("one more than allowed: %d bytes, %v; want a reset", n, err)
		}
		_ = c.Close()
	}
	limit.Leave(self, false)
	for range 5 {
		if got := raw(t, addr, get("/", "www.example.org")); !strings.Contains(got, " 308 ") {
			t.Error(got)
		}
		for { // the server closes its end a moment after the client has read all
			if _, n := limit.Open(); n == 1 {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	limit.Leave(self, false)
}

func TestChallengesExpire(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		a := newAnswerer(t, inbound.NewLimiter(1, 1), sample(time.Now().Add(10*time.Minute)))
		known := func() (file, tls bool) {
			_, file = a.known.Load().file("new.example.org", "tok", time.Now())
			return file, a.Asked("tls.example.org")
		}
		time.Sleep(10*time.Minute - 1)
		if file, tls := known(); !file || !tls {
			t.Errorf("before: %v, %v", file, tls)
		}
		time.Sleep(time.Nanosecond)
		if file, tls := known(); file || !tls {
			t.Errorf("at its end: %v, %v", file, tls)
		}
		time.Sleep(time.Minute)
		if _, tls := known(); tls {
			t.Error("the digest outlives its end")
		}
		if _, err := a.certificate("tls.example.org"); err == nil {
			t.Error("a certificate for what has expired")
		}
	})
}

// dialALPN is a certificate authority.
func dialALPN(addr, name string, protocols ...string) (*tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s := c.ConnectionState()
	return &s, nil
}

func TestTLS(t *testing.T) {
	a := newAnswerer(t, inbound.NewLimiter(1, 1), sample(time.Now().Add(time.Hour)))
	addr := serve(t, a.TLS)
	s, err := dialALPN(addr, "TLS.example.org", Protocol)
	if err != nil || s.NegotiatedProtocol != Protocol || len(s.PeerCertificates) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	cert := s.PeerCertificates[0]
	if len(cert.DNSNames) != 1 || cert.DNSNames[0] != "tls.example.org" || len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) != 0 {
		t.Errorf("names %v", cert.DNSNames)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Errorf("not signed by itself: %v", err)
	}
	if ok, value := extension(cert); !ok || string(value) != string(digestOf("b")) {
		t.Errorf("acmeIdentifier %v %x, want that of the challenge that lasts longest", ok, value)
	}
	for name, protocols := range map[string][]string{
		"www.example.org": {Protocol}, "other.example": {Protocol}, "": {Protocol}, "tls.example.org": {"h2"},
	} {
		if s, err := dialALPN(addr, name, protocols...); err == nil {
			t.Errorf("%q with %v: %+v", name, protocols, s)
		}
	}
}

func digestOf(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }

// extension is the critical acmeIdentifier as RFC 8737 §3 wants it.
func extension(cert *x509.Certificate) (critical bool, value []byte) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(acmeIdentifier) {
			if rest, err := asn1.Unmarshal(e.Value, &value); err != nil || len(rest) > 0 {
				return false, nil
			}
			return e.Critical, value
		}
	}
	return false, nil
}

func TestManyChallenges(t *testing.T) {
	cfg := Config{}
	for i := range 20000 {
		cfg.Challenges = append(cfg.Challenges, Challenge{Name: fmt.Sprintf("n%d.example.org", i/2), Token: fmt.Sprint("t", i), KeyAuthorization: "x", Expires: time.Now().Add(time.Hour)})
	}
	a := newAnswerer(t, inbound.NewLimiter(10, 10), cfg)
	if got := raw(t, serve(t, a.Plain), get(wellKnown+"t19999", "n9999.example.org")); !strings.HasSuffix(got, "\r\n\r\nx") {
		t.Error(got)
	}
}

func FuzzPlain(f *testing.F) {
	a := newAnswerer(f, inbound.NewLimiter(10, 10), sample(time.Now().Add(time.Hour)))
	f.Add("GET", "/.well-known/acme-challenge/tok", "new.example.org")
	f.Add("PUT", "//x\\y", "WWW.EXAMPLE.org:80")
	f.Fuzz(func(t *testing.T, method, target, host string) {
		r, err := http.NewRequest(method, "http://x", nil)
		if err != nil {
			return
		}
		u, err := r.URL.Parse(target)
		if err != nil {
			return
		}
		r.URL, r.Host = u, host
		w := &recorder{h: http.Header{}}
		a.plain(w, r)
		switch loc := w.h.Get("Location"); {
		case w.status == 0 && (!strings.Contains(w.body, ".thumb") && method != "HEAD"):
			t.Errorf("status 200 with %q", w.body)
		case w.status == http.StatusPermanentRedirect && (!strings.HasPrefix(loc, "https://www.example.org/") && !strings.Contains(loc, ".wild.example.org/")):
			t.Errorf("sent on to %q", loc)
		}
	})
}

type recorder struct {
	h      http.Header
	status int
	body   string
}

func (r *recorder) Header() http.Header         { return r.h }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { r.body += string(b); return len(b), nil }
