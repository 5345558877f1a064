package pemcheck

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// made is a certificate with its key, made for a test.
type made struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (m *made) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert.Raw})
}

func (m *made) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(m.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var serial int64

// issue makes a certificate below parent, or one that is self-signed.
func issue(t testing.TB, parent *made, key crypto.Signer, change func(*x509.Certificate)) *made {
	t.Helper()
	serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	change(c)
	if parent == nil {
		parent = &made{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &made{parsed, key}
}

func ca(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.KeyUsage, c.ExtKeyUsage = pkix.Name{CommonName: name}, true, x509.KeyUsageCertSign, nil
		c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(5, 0, 0)
	}
}

func server(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// family is root, two intermediates, leaf.
type family struct{ root, upper, lower, leaf *made }

func newFamily(t testing.TB) *family {
	t.Helper()
	f := &family{}
	f.root = issue(t, nil, newKey(t), ca("Root"))
	f.upper = issue(t, f.root, newKey(t), ca("Upper"))
	f.lower = issue(t, f.upper, newKey(t), ca("Lower"))
	f.leaf = issue(t, f.lower, newKey(t), server("B.example", "a.example", "*.A.example", "a.example"))
	return f
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestTaken(t *testing.T) {
	f := newFamily(t)
	want := join(f.leaf.pem(), f.lower.pem(), f.upper.pem())
	roots := x509.NewCertPool()
	roots.AddCert(f.root.cert)
	direct := issue(t, f.root, newKey(t), server("direct.example"))
	alone := issue(t, nil, newKey(t), func(c *x509.Certificate) { server("alone.example")(c); c.Subject.CommonName = "alone.example" })
	cross := issue(t, issue(t, nil, newKey(t), ca("Old root")), f.root.key, ca("Root"))
	old := issue(t, f.root, f.upper.key, func(c *x509.Certificate) { ca("Upper")(c); c.NotAfter = now.Add(-time.Hour) })
	twin := issue(t, nil, newKey(t), func(c *x509.Certificate) { ca("Lower")(c); c.SubjectKeyId = nil })
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := issue(t, f.lower, edKey, server("ed.example"))
	for name, c := range map[string]struct {
		chain, key []byte
		o          Options
		want       []byte
	}{
		"in order":            {want, f.leaf.keyPEM(t), Options{}, want},
		"with the root":       {join(want, f.root.pem()), f.leaf.keyPEM(t), Options{}, want},
		"upside down":         {join(f.root.pem(), f.upper.pem(), f.lower.pem(), f.leaf.pem()), f.leaf.keyPEM(t), Options{}, want},
		"twice":               {join(want, want), f.leaf.keyPEM(t), Options{}, want},
		"with texts, CRLF":    {bytes.ReplaceAll(join([]byte("subject=CN = x\n\n"), f.leaf.pem(), []byte("issuer=\n"), f.lower.pem(), f.upper.pem()), []byte("\n"), []byte("\r\n")), f.leaf.keyPEM(t), Options{}, want},
		"without the upper":   {join(f.leaf.pem(), f.lower.pem()), f.leaf.keyPEM(t), Options{}, join(f.leaf.pem(), f.lower.pem())},
		"completed":           {f.leaf.pem(), f.leaf.keyPEM(t), Options{Intermediates: []*x509.Certificate{f.upper.cert, f.lower.cert, f.root.cert}}, want},
		"below a known root":  {direct.pem(), direct.keyPEM(t), Options{Roots: roots}, direct.pem()},
		"its root beside it":  {join(direct.pem(), f.root.pem()), direct.keyPEM(t), Options{}, direct.pem()},
		"self-signed":         {alone.pem(), alone.keyPEM(t), Options{}, alone.pem()},
		"cross-signed":        {join(want, f.root.pem(), cross.pem()), f.leaf.keyPEM(t), Options{}, join(want, cross.pem())},
		"an old one as well":  {join(f.leaf.pem(), f.lower.pem(), old.pem(), f.upper.pem(), old.pem()), f.leaf.keyPEM(t), Options{}, want},
		"a CA of the name":    {join(twin.pem(), want), f.leaf.keyPEM(t), Options{}, want},
		"Ed25519":             {join(ed.pem(), f.lower.pem()), ed.keyPEM(t), Options{}, join(ed.pem(), f.lower.pem())},
		"key with parameters": {want, join([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), sec1(t, f.leaf)), Options{}, want},
	} {
		c.o.Now = now
		u, err := Check(c.chain, c.key, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(u.ChainPEM, c.want) {
			t.Errorf("%s: chain\n%s\nwant\n%s", name, u.ChainPEM, c.want)
		}
		pair, err := tls.X509KeyPair(u.ChainPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: u.KeyDER}))
		if err != nil || !bytes.Equal(pair.Certificate[0], u.Leaf.Raw) {
			t.Errorf("%s: TLS does not take it: %v", name, err)
		}
	}
	u, err := Check(want, f.leaf.keyPEM(t), Options{Now: now})
	if err != nil || !slices.Equal(u.Names, []string{"*.a.example", "a.example", "b.example"}) {
		t.Errorf("names %v, error %v", u.Names, err)
	}
}

func sec1(t testing.TB, m *made) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(m.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func TestRefused(t *testing.T) {
	f := newFamily(t)
	good, key := join(f.leaf.pem(), f.lower.pem(), f.upper.pem()), f.leaf.keyPEM(t)
	lines := bytes.Count(f.leaf.pem(), []byte("\n"))
	rsaKey := func(bits int) crypto.Signer {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	weak := rsaKey(1024)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := func(parent *made, k crypto.Signer, change ...func(*x509.Certificate)) *made {
		return issue(t, parent, k, func(c *x509.Certificate) {
			server("a.example")(c)
			for _, f := range change {
				f(c)
			}
		})
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("n%d.example", i)
	}
	staple, err := asn1.Marshal([]int{5})
	if err != nil {
		t.Fatal(err)
	}
	weakCA := issue(t, f.root, weak, ca("Weak"))
	oldCA := issue(t, f.root, newKey(t), func(c *x509.Certificate) { ca("Old")(c); c.NotAfter = now.Add(-time.Minute) })
	noCA := issue(t, f.root, newKey(t), func(c *x509.Certificate) { ca("No")(c); c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	narrow := issue(t, f.root, newKey(t), func(c *x509.Certificate) {
		ca("Narrow")(c)
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"b.example"}
	})
	liar := issue(t, nil, newKey(t), func(c *x509.Certificate) { ca("Lower")(c); c.SubjectKeyId = f.lower.cert.SubjectKeyId })
	self := issue(t, nil, newKey(t), func(c *x509.Certificate) { server("self.example")(c); c.Subject.CommonName = "self.example" })
	forged := bytes.Clone(self.cert.Raw)
	forged[len(forged)-1] ^= 1
	forgedCert, err := x509.ParseCertificate(forged)
	if err != nil {
		t.Fatal(err)
	}
	with := func(m *made, rest ...*made) (chain, k []byte) {
		chain = m.pem()
		for _, r := range rest {
			chain = append(chain, r.pem()...)
		}
		return chain, m.keyPEM(t)
	}
	type refusal struct {
		field, want string
		chain, key  []byte
	}
	table := []refusal{
		{"chain", "no PEM block", nil, key},
		{"chain", "no PEM block", []byte("hello\n"), key},
		{"key", "no PEM block", good, nil},
		{"chain", "bytes; 262144 are the most", bytes.Repeat([]byte("x"), 300<<10), key},
		{"key", "bytes; 16384 are the most", good, bytes.Repeat([]byte("x"), 20<<10)},
		{"chain", fmt.Sprintf("block 2 (line %d) is broken", lines+1), join(f.leaf.pem(), []byte("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"), f.lower.pem()), key},
		{"chain", "block 1 (line 2) is broken", join([]byte("\n"), f.leaf.pem()[:100]), key},
		{"chain", "block 1 (line 1) is broken", bytes.Replace(f.leaf.pem(), []byte("END CERTIFICATE"), []byte("END CERTIFICAT"), 1), key},
		{"chain", fmt.Sprintf("block 2 (line %d) is a private key: it belongs in the field key", lines+1), join(f.leaf.pem(), key), key},
		{"chain", `block 1 (line 1) is a "CERTIFICATE REQUEST"`, bytes.ReplaceAll(f.leaf.pem(), []byte("CERTIFICATE"), []byte("CERTIFICATE REQUEST")), key},
		{"chain", "block 1 (line 1): x509", []byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), key},
		{"chain", "more than 10 certificates", bytes.Repeat(f.leaf.pem(), 11), key},
		{"key", "block 1 (line 1) is encrypted", good, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n")},
		{"key", "block 1 (line 1) is encrypted", good, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n")},
		{"key", `block 1 (line 1) is a "CERTIFICATE", not a private key`, good, f.leaf.pem()},
		{"key", "is a second private key", good, join(key, key)},
		{"key", "holds no private key", good, []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")},
		{"key", "block 1 (line 1): ", good, []byte("-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n")},
		{"key", `"DSA PRIVATE KEY": want`, good, []byte("-----BEGIN DSA PRIVATE KEY-----\naGVsbG8=\n-----END DSA PRIVATE KEY-----\n")},
		{"key", "RSA of 8192 bits is the most", good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, 6000)})},
		{"key", "it is the key of none of the certificates; block 1 (line 1) has another one", good, f.root.keyPEM(t)},
	}
	add := func(want string, chain, k []byte) { table = append(table, refusal{"chain", want, chain, k}) }
	add2 := func(want string, m *made, rest ...*made) { chain, k := with(m, rest...); add(want, chain, k) }
	child := func(change func(*x509.Certificate)) *made { return x(f.lower, newKey(t), change) }
	add2("block 1 (line 1) is a CA's certificate", f.lower, f.upper)
	add2("has expired at 2026-11-26T11:59:59Z", child(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), f.lower)
	add2("is not valid before 2026-11-26T12:00:01Z", child(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), f.lower)
	add2("which is never", child(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(time.Hour), now.Add(-time.Hour) }), f.lower)
	add2("has no DNS names", child(func(c *x509.Certificate) { c.DNSNames = nil }), f.lower)
	add2(`has the common name "a.example" and no DNS names`, child(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "a.example" }), f.lower)
	add2("has the IP address 192.0.2.1", child(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }), f.lower)
	add2("has 101 names; 100 are the most", child(func(c *x509.Certificate) { c.DNSNames = many }), f.lower)
	add2(`has the name "a_b.example" (number 2)`, child(func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "a_b.example"} }), f.lower)
	add2(`has the name "*.*.example" (number 1)`, child(func(c *x509.Certificate) { c.DNSNames = []string{"*.*.example"} }), f.lower)
	add2("may not sign", child(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), f.lower)
	add2("is not for servers", child(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), f.lower)
	add2("must-staple", child(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: staple}}
	}), f.lower)
	add2("critical extension 1.2.3.4", child(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}), f.lower)
	add2("block 1 (line 1) has an RSA key of 1024 bits", x(f.lower, weak), f.lower)
	add2("ECDSA key on P-224", x(f.lower, p224), f.lower)
	add2(fmt.Sprintf("block 2 (line %d) has an RSA key of 1024 bits", 1+bytes.Count(x(weakCA, newKey(t)).pem(), []byte("\n"))), x(weakCA, newKey(t)), weakCA)
	add2("has expired at", x(oldCA, newKey(t)), oldCA)
	add2("which has not signed it", x(noCA, newKey(t)), noCA)
	add2("which has not signed it", f.leaf, liar)
	add2("it is incomplete: block 1 (line 1) was issued by \"CN=Lower\"", f.leaf)
	add2("it is incomplete", f.leaf, f.root)
	add2("(\"CN=Upper\") has issued none of the others", f.leaf, f.upper)
	add2("are both of the key", f.leaf, x(f.lower, f.leaf.key), f.lower)
	add2("clients refuse block 1", x(narrow, newKey(t)), narrow)
	add2("is not signed by its key", &made{forgedCert, self.key})
	for _, r := range table {
		u, err := Check(r.chain, r.key, Options{Now: now})
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Field != r.field || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%v %v, want %s: %s", u, err, r.field, r.want)
		}
	}
	sha1 := &cert{&x509.Certificate{SignatureAlgorithm: x509.SHA1WithRSA}, block{number: 3, line: 50}}
	if err := judgeSignature(sha1); err == nil || !strings.Contains(err.Error(), "block 3 (line 50) is signed with SHA1-RSA") {
		t.Errorf("SHA-1: %v", err)
	}
}

func TestPrintsNoKey(t *testing.T) {
	f := newFamily(t)
	u, err := Check(join(f.leaf.pem(), f.lower.pem()), f.leaf.keyPEM(t), Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%v %+v %#v %s %x", u, u, u, u, u)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "u", u)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "u", u)
	for _, canary := range []string{string(u.KeyDER), fmt.Sprintf("%x", u.KeyDER), fmt.Sprint(u.KeyDER)} {
		if strings.Contains(out.String(), canary) {
			t.Error("the key is printed")
		}
	}
}

func FuzzCheck(f *testing.F) {
	fam := newFamily(f)
	f.Add(join(fam.leaf.pem(), fam.lower.pem(), fam.upper.pem()), fam.leaf.keyPEM(f))
	f.Add(join(fam.root.pem(), fam.leaf.pem()), sec1(f, fam.leaf))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"), []byte("-----BEGIN"))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		u, err := Check(chain, key, Options{Now: now, Intermediates: []*x509.Certificate{fam.lower.cert, fam.upper.cert}})
		if err != nil {
			if fault.Of(err) != fault.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := tls.X509KeyPair(u.ChainPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: u.KeyDER})); err != nil || len(u.Names) == 0 {
			t.Errorf("TLS does not take it: %v, names %v", err, u.Names)
		}
	})
}
