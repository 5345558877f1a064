package acme_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// node serves http-01 and tls-alpn-01 for what it was told (RFC 8555 §8.3, RFC 8737).
type node struct {
	http, tls net.Listener

	mu   sync.Mutex
	auth map[string]string // token → key authorization; guarded by mu
	name map[string]string // name → key authorization; guarded by mu
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{auth: map[string]string{}, name: map[string]string{}}
	var err error
	if n.http, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if n.tls, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: n.certificate}); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: n}
	done := make(chan struct{}, 2)
	go func() { server.Serve(n.http); done <- struct{}{} }()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			conn, err := n.tls.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	t.Cleanup(func() { server.Close(); n.tls.Close(); <-done; <-done })
	return n
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	io.WriteString(w, n.auth[strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/")])
}

func (n *node) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	n.mu.Lock()
	auth := n.name[hello.ServerName]
	n.mu.Unlock()
	if auth == "" {
		return nil, fmt.Errorf("no challenge for %q", hello.ServerName)
	}
	sum := sha256.Sum256([]byte(auth))
	value, err := asn1.Marshal(sum[:])
	if err != nil {
		return nil, err
	}
	key := newKey(tb{})
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "challenge"}, DNSNames: []string{hello.ServerName}, NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}, Critical: true, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// tb is for newKey outside of a test's goroutine.
type tb struct{ testing.TB }

func (tb) Helper()           {}
func (tb) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestHTTPAndALPN(t *testing.T) {
	n := startNode(t)
	s := start(t, acmetest.Config{HTTPPort: port(t, n.http), TLSPort: port(t, n.tls)})
	c := s.registered(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range []string{acme.HTTP01, acme.TLSALPN01} {
		for _, good := range []bool{true, false} {
			name := fmt.Sprintf("%s-%v.example", kind, good)
			o, err := c.NewOrder(ctx, []string{name}, "default", "")
			if err != nil {
				t.Fatal(err)
			}
			a, err := c.Authorization(ctx, o.Authorizations[0])
			if err != nil {
				t.Fatal(err)
			}
			ch := a.Challenge(kind)
			auth, err := acme.KeyAuthorization(ch.Token, s.key)
			if err != nil {
				t.Fatal(err)
			}
			if !good {
				auth, _ = acme.KeyAuthorization(ch.Token, newKey(t))
			}
			n.mu.Lock()
			n.auth[ch.Token], n.name[name] = auth, auth
			n.mu.Unlock()
			if err := c.Initiate(ctx, ch.URL); err != nil {
				t.Fatal(err)
			}
			a, err = poll(ctx, readAuthz(c, a.URL), func(a *acme.Authorization) bool { return a.Status != acme.StatusPending })
			if err != nil || (a.Status == acme.StatusValid) != good {
				t.Errorf("%s: %+v, error %v", name, a, err)
			}
			if !good && acme.Class(a.Err()) != acme.Refused {
				t.Errorf("%s: %v (%v)", name, a.Err(), acme.Class(a.Err()))
			}
		}
	}
}

func port(t *testing.T, l net.Listener) int {
	t.Helper()
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
