package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"
)

type ca struct {
	pem  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(t *testing.T) *ca {
	t.Helper()
	c := &ca{key: newKey(t)}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c.cert = sign(t, tmpl, tmpl, c.key, c.key)
	c.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
	return c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, tmpl, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (c *ca) issue(t *testing.T, change func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	uri, err := url.Parse("spiffe://example.org/web/1")
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"laptop.example.org"}, EmailAddresses: []string{"Alice@Example.org"}, URIs: []*url.URL{uri},
	}
	change(tmpl)
	return []*x509.Certificate{sign(t, tmpl, c.cert, newKey(t), c.key)}
}

func TestClientCertificates(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	good := ours.issue(t, func(*x509.Certificate) {})
	for name, c := range map[string]struct {
		names []string
		chain []*x509.Certificate
		at    time.Time
		want  bool
	}{
		"any":             {nil, good, noon, true},
		"none shown":      {nil, nil, noon, false},
		"DNS name":        {[]string{"x.example.org", "laptop.example.org"}, good, noon, true},
		"wildcard":        {[]string{"*.example.org"}, good, noon, true},
		"another name":    {[]string{"example.org"}, good, noon, false},
		"mail":            {[]string{"alice@example.org"}, good, noon, true},
		"mail of domain":  {[]string{"*@example.org"}, good, noon, true},
		"mail elsewhere":  {[]string{"*@ample.org"}, good, noon, false},
		"URI":             {[]string{"spiffe://example.org/web/1"}, good, noon, true},
		"URI below":       {[]string{"spiffe://example.org/web/*"}, good, noon, true},
		"another URI":     {[]string{"spiffe://example.org/web"}, good, noon, false},
		"too late":        {nil, good, noon.Add(2 * time.Hour), false},
		"too early":       {nil, good, noon.Add(-2 * time.Hour), false},
		"other authority": {nil, theirs.issue(t, func(*x509.Certificate) {}), noon, false},
		"for servers":     {nil, ours.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), noon, false},
	} {
		p := must(t, &Policy{Otherwise: Authenticate, Auth: Auth{ClientCertificate: ClientCertificate{AuthoritiesPEM: ours.pem, Names: c.names}}})
		proof, err := p.Certificate(c.chain, c.at)
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		f := request("192.0.2.1", "GET", "/")
		if got := Decide(p, &f, &Identity{Proofs: []Proof{proof}}); (got.Action == Allow) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// What one set of authorities has proven is nothing to another.
	a := must(t, &Policy{Otherwise: Authenticate, Auth: Auth{ClientCertificate: ClientCertificate{AuthoritiesPEM: ours.pem}}})
	b := must(t, &Policy{Otherwise: Authenticate, Auth: Auth{ClientCertificate: ClientCertificate{AuthoritiesPEM: theirs.pem}}})
	proof, err := a.Certificate(good, noon)
	if err != nil {
		t.Fatal(err)
	}
	f := request("192.0.2.1", "GET", "/")
	if got := Decide(b, &f, &Identity{Proofs: []Proof{proof}}); got.Action == Allow {
		t.Errorf("after the authorities have changed: %v", got)
	}
}
