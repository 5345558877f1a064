package acme_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
)

// selfSigned is a certificate of 90 days, a third of them gone.
func selfSigned(t testing.TB, name string, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, now := newKey(t), time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(0x8765432100), DNSNames: []string{name}, NotBefore: now.Add(-30 * 24 * time.Hour), NotAfter: now.Add(60 * 24 * time.Hour),
		AuthorityKeyId: []byte("issuer"), Subject: pkix.Name{CommonName: name},
	}
	parent := *c
	parent.SubjectKeyId, parent.Subject = []byte("issuer"), pkix.Name{CommonName: "CA"}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, &parent, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestT43NewRefuses(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	good := acme.Options{Directory: "https://ca.test/dir", Key: newKey(t)}
	for want, change := range map[string]func(*acme.Options){
		"not an https URL":        func(o *acme.Options) { o.Directory = "http://ca.test/dir" },
		"has no host":             func(o *acme.Options) { o.Directory = "https:///dir" },
		"a user in it":            func(o *acme.Options) { o.Directory = "https://a:b@ca.test/dir" },
		"longer than":             func(o *acme.Options) { o.Directory = "https://ca.test/" + strings.Repeat("x", 3000) },
		"account URL":             func(o *acme.Options) { o.AccountURL = "ftp://ca.test/1" },
		"RSA of 1024 bits":        func(o *acme.Options) { o.Key = short },
		"ECDSA on P-521":          func(o *acme.Options) { o.Key = p521 },
		"ed25519.PrivateKey: wan": func(o *acme.Options) { o.Key = ed },
		"<nil>: want":             func(o *acme.Options) { o.Key = nil },
	} {
		o := good
		change(&o)
		if _, err := acme.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := acme.New(good); err != nil {
		t.Error(err)
	}
}

// What a CA must not say is an error with a place, never a panic and never believed.
func TestT43UnusableReplies(t *testing.T) {
	order := func(c *acme.Client) error { _, err := c.Order(t.Context(), base+"/o"); return err }
	authz := func(c *acme.Client) error { _, err := c.Authorization(t.Context(), base+"/a"); return err }
	cert := func(c *acme.Client) error { _, _, err := c.Certificate(t.Context(), base+"/c"); return err }
	create := func(c *acme.Client) error {
		_, err := c.NewOrder(t.Context(), []string{"a.example"}, "", "")
		return err
	}
	register := func(c *acme.Client) error { _, err := c.Register(t.Context(), nil, nil, true); return err }
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	good := block("CERTIFICATE", selfSigned(t, "a.example", nil).Raw)
	challenge := func(token string) string {
		return `{"status":"pending","identifier":{"type":"dns","value":"a.example"},"challenges":[{"type":"http-01","status":"pending","url":"https://ca.test/ch","token":` + token + `}]}`
	}
	for name, c := range map[string]struct {
		call func(*acme.Client) error
		body string
		want string
	}{
		"HTML":              {order, "<!doctype html><p>hello", "can't be used"},
		"array":             {order, "[]", "can't be used"},
		"empty":             {order, "", "can't be used"},
		"null":              {order, "null", "unknown status"},
		"number for names":  {order, `{"status":"pending","identifiers":5}`, "can't be used"},
		"no status":         {order, `{}`, "unknown status"},
		"status in capital": {order, orderJSON("PENDING"), "unknown status"},
		"finalize":          {order, strings.Replace(orderJSON("ready"), base+"/final", "http://169.254.169.254/", 1), "finalize: "},
		"authorization":     {order, strings.Replace(orderJSON("ready"), base+"/authz", "file:///etc/passwd", 1), "authorization: "},
		"valid without URL": {order, orderJSON("valid"), "certificate: "},
		"other names":       {create, strings.Replace(orderJSON("pending"), "a.example", "b.example", 1), "modified"},
		"no Location":       {create, orderJSON("pending"), "no usable URL"},
		"account status":    {register, `{"status":"deactivated"}`, "the account is deactivated"},
		"account URL":       {register, `{"status":"valid"}`, "account URL"},
		"path in token":     {authz, challenge(`"../../etc/passwd"`), "base64url"},
		"no token":          {authz, challenge(`""`), "base64url"},
		"newline in token":  {authz, challenge(`"abc\ndef"`), "base64url"},
		"long token":        {authz, challenge(`"` + strings.Repeat("a", 300) + `"`), "base64url"},
		"challenge URL":     {authz, strings.Replace(challenge(`"abc"`), "https://ca.test/ch", "gopher://x", 1), "not an https URL"},
		"no chain":          {cert, "hello", "no certificate in it"},
		"key in chain":      {cert, good + block("PRIVATE KEY", []byte("x")), `block 2 is a "PRIVATE KEY"`},
		"broken chain":      {cert, good + block("CERTIFICATE", []byte("x")), "block 2: "},
		"long chain":        {cert, strings.Repeat(good, 11), "more than 10"},
	} {
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, c.body) })
		err := c.call(f.client(t))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		} else if k := acme.Class(err); k != acme.Retry && k != acme.AccountUnusable {
			t.Errorf("%s: class %v", name, k)
		}
	}
}

// A text of the CA may go to a log, to the database or to a terminal.
func TestProblemsAreClean(t *testing.T) {
	many := strings.Repeat(`{"type":"urn:ietf:params:acme:error:dns","detail":"x","identifier":{"type":"dns","value":"a.example"}},`, 500)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		io.WriteString(w, `{"type":"urn:ietf:params:acme:error:compound","detail":"a\u0000b\u001b[31m\r\nc`+strings.Repeat("x", 5000)+`\ufffe","subproblems":[`+many[:len(many)-1]+`]}`)
	})
	_, err := f.client(t).NewOrder(t.Context(), []string{"a.example"}, "", "")
	text := err.Error()
	if strings.ContainsAny(text, "\x00\x1b\r\n") || len(text) > 3000 {
		t.Errorf("%d bytes: %.300q", len(text), text)
	}
	if !strings.Contains(text, "; and 95 more") || !strings.Contains(text, "(a.example)") {
		t.Errorf("subproblems: %.3000q", text)
	}
	if k := acme.Class(err); k != acme.Refused {
		t.Errorf("class %v", k)
	}
}

// A challenge that was initiated before is no error, whatever the CA says about the second time.
func TestInitiateAgain(t *testing.T) {
	status := ""
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(b), `"payload":""`) {
			problem(w, 400, "malformed", "cannot update challenge")
			return
		}
		io.WriteString(w, `{"type":"dns-01","url":"https://ca.test/c","token":"abc","status":"`+status+`"}`)
	})
	c := f.client(t)
	for s, fine := range map[string]bool{"processing": true, "valid": true, "invalid": true, "pending": false, "": false} {
		status = s
		if err := c.Initiate(t.Context(), base+"/c"); (err == nil) != fine {
			t.Errorf("%q: %v", s, err)
		}
	}
}
