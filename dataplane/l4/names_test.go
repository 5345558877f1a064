package l4

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/connector"
)

func certificate(t testing.TB, names ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// dialTLS shakes hands for a name. The error may be the server's alert.
func dialTLS(t testing.TB, l net.Listener, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	cfg.InsecureSkipVerify = true // which certificate it is stands in the state
	c := tls.Client(raw, cfg)
	return c, c.Handshake()
}

func newNamesServer(t testing.TB) (*Server, net.Listener) {
	t.Helper()
	s := newServer(site(t, map[string]connector.Target{"db": {Address: echo(t, "db")}, "mqtt": {Address: echo(t, "mqtt")}, "proxied": {Address: proxied(t)}}))
	if err := s.Apply(Config{Names: []Name{
		{Service: "db", Hostname: "db.example", Certificates: []*tls.Certificate{certificate(t, "db.example")}, Targets: targets("db")},
		{Service: "mqtt", Hostname: "*.example", Certificates: []*tls.Certificate{certificate(t, "*.example")}, Targets: targets("mqtt")},
		{Service: "v1", Hostname: "v1.example", Certificates: []*tls.Certificate{certificate(t, "v1.example")}, Targets: targets("proxied"), ProxyProtocol: 1},
		{Service: "v2", Hostname: "v2.example", Certificates: []*tls.Certificate{certificate(t, "v2.example")}, Targets: targets("proxied"), ProxyProtocol: 2},
		{Service: "bare", Hostname: "bare.example", Targets: targets("db")},
	}}); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	run(t, func(ctx context.Context) error { return s.ServeTLS(ctx, l) })
	return s, l
}

func TestTLSEndsHere(t *testing.T) {
	s, l := newNamesServer(t)
	for sni, want := range map[string]string{"db.example": "db", "DB.Example": "db", "x.example": "mqtt"} {
		c, err := dialTLS(t, l, &tls.Config{ServerName: sni})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != map[string]string{"db": "db.example", "mqtt": "*.example"}[want] {
			t.Errorf("%s: certificate of %s", sni, got)
		}
		msg := strings.Repeat("x", 300_000)
		go func() {
			_, _ = c.Write([]byte(msg))
			_ = c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || string(got) != want+msg+"bye" {
			t.Errorf("%s: %d bytes, %v", sni, len(got), err)
		}
	}
	for _, sni := range []string{"other.test", "a.b.example", "bare.example", ""} {
		if _, err := dialTLS(t, l, &tls.Config{ServerName: sni}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v, want an alert", sni, err)
		}
	}
	waitFor(t, "four handshakes count as without a route", func() bool {
		return value(t, s.m.closed.WithLabelValues(string(reasonNoRoute))) == 4
	})
	if _, err := dialTLS(t, l, &tls.Config{ServerName: "db.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestTLSProxyProtocol(t *testing.T) {
	_, l := newNamesServer(t)
	for version := 1; version <= 2; version++ {
		c, err := dialTLS(t, l, &tls.Config{ServerName: fmt.Sprintf("v%d.example", version)})
		if err != nil {
			t.Fatal(err)
		}
		say(t, c, "hello\n", fmt.Sprintf("v%d %s %s hello\n", version, c.LocalAddr(), c.RemoteAddr()))
	}
}

func TestTLSProtocols(t *testing.T) {
	_, l := newNamesServer(t)
	for _, tt := range []struct {
		offered []string
		want    string
	}{
		{nil, ""},
		{[]string{"postgresql"}, "postgresql"},
		{[]string{"h2", "http/1.1"}, ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			tickets := tls.NewLRUClientSessionCache(1)
			for i := range 2 { // the second time with the ticket of the first
				c, err := dialTLS(t, l, &tls.Config{ServerName: "db.example", NextProtos: tt.offered, ClientSessionCache: tickets, MaxVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				expect(t, c, "db")
				if s := c.ConnectionState(); s.NegotiatedProtocol != tt.want || s.DidResume != (i == 1) {
					t.Errorf("offered %q: got %q, resumed %v", tt.offered, s.NegotiatedProtocol, s.DidResume)
				}
			}
		}
	}
}

// A client that was accepted just before the end still gets its handshake, and its time.
func TestEndServesWhomItHasAccepted(t *testing.T) {
	s, _ := newNamesServer(t)
	l := listen(t)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.ServeTLS(ctx, l) }()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	for value(t, s.m.accepted.WithLabelValues(kindName)) == 0 {
		time.Sleep(time.Millisecond)
	}
	end()
	for {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break // it takes no more
		}
		_ = c.Close()
	}
	c := tls.Client(raw, &tls.Config{ServerName: "db.example", InsecureSkipVerify: true})
	if _, err := io.WriteString(c, "late"); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "dblatebye" {
		t.Errorf("%q, %v", got, err)
	}
	_ = c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
