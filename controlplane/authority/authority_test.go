package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/identity"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newAuthority(t *testing.T, kind Kind) *Authority {
	t.Helper()
	c, k, err := Create(kind, "cluster-1", now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(kind, c, k)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, chain []byte) *x509.Certificate {
	t.Helper()
	b, _ := pem.Decode(chain)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignIdentity(t *testing.T) {
	a := newAuthority(t, Identity)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	want := identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: "node_1"}
	chain, err := a.SignIdentity(key.Public(), want, now)
	if err != nil {
		t.Fatal(err)
	}
	c := leaf(t, chain)
	opts := x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := c.Verify(opts); err != nil {
		t.Error(err)
	}
	opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if _, err := c.Verify(opts); err == nil {
		t.Error("a node's certificate passes for a server's")
	}
	got, err := identity.FromCertificate(c)
	if err != nil || got != want {
		t.Errorf("identity %v, %v", got, err)
	}
	if life := c.NotAfter.Sub(now); life != IdentityLifetime {
		t.Errorf("lifetime %v", life)
	}
}

// T41: the authority of hostnames never makes an identity, and the other way round.
func TestT41_AuthoritiesDoNotCross(t *testing.T) {
	web, id := newAuthority(t, Web), newAuthority(t, Identity)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if _, err := web.SignIdentity(key.Public(), identity.Identity{Cluster: "c", Kind: identity.Node, ID: "x"}, now); !errors.Is(err, errKind) {
		t.Errorf("web authority signed an identity: %v", err)
	}
	if _, err := id.IssueWeb([]string{"a.example"}, now); !errors.Is(err, errKind) {
		t.Errorf("identity authority issued a hostname: %v", err)
	}
	w, err := web.IssueWeb([]string{"a.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf(t, w.ChainPEM).Verify(x509.VerifyOptions{Roots: id.Pool(), CurrentTime: now}); err == nil {
		t.Error("a hostname's certificate verifies under the identity authority")
	}
}

func TestIssueWeb(t *testing.T) {
	a := newAuthority(t, Web)
	w, err := a.IssueWeb([]string{"a.example", "*.b.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(w.ChainPEM, w.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.example", "x.b.example"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	if !pair.Leaf.NotAfter.Equal(w.NotAfter) || !pair.Leaf.NotBefore.Equal(w.NotBefore) {
		t.Errorf("validity %v..%v, certificate says %v..%v", w.NotBefore, w.NotAfter, pair.Leaf.NotBefore, pair.Leaf.NotAfter)
	}
}

func TestParseRequest(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	weak, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	rk, _ := rsa.GenerateKey(rand.Reader, 2048)
	good, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, ec)
	p224, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	rsaReq, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, rk)
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	for name, tc := range map[string]struct {
		der []byte
		bad string
	}{
		"good": {good, ""}, "P-224": {p224, "certificate request"}, "RSA": {rsaReq, "key type"},
		"signature": {forged, "certificate request"}, "garbage": {[]byte("x"), "certificate request"}, "empty": {nil, "certificate request"},
	} {
		_, err := ParseRequest(tc.der)
		if (tc.bad == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// T24: what is sealed for one row does not open as another's.
func TestT24_SealIsBoundToItsRow(t *testing.T) {
	kek, err := NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("secret"), "cert_1")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("sealed text shows the plain one")
	}
	if got, err := s.Open(sealed, "cert_1"); err != nil || string(got) != "secret" {
		t.Errorf("open: %q, %v", got, err)
	}
	if _, err := s.Open(sealed, "cert_2"); err == nil {
		t.Error("opened as another row's")
	}
	other, _ := NewKEK()
	o, _ := NewSealer(other)
	if _, err := o.Open(sealed, "cert_1"); err == nil {
		t.Error("opened with another key")
	}
	if _, err := NewSealer([]byte("{}")); err == nil {
		t.Error("an empty keyset was taken")
	}
}
