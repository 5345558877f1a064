package terminate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

func keyOf(t testing.TB, isRSA bool) crypto.Signer {
	t.Helper()
	if isRSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func selfSigned(t testing.TB, key crypto.Signer, until time.Time) *tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
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

// Who can check ECDSA is shown that, who can't is shown RSA, and who has one certificate shows it to everybody.
func TestClientsAreShownWhatTheyCanCheck(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	ec, old := selfSigned(t, keyOf(t, false), tomorrow), selfSigned(t, keyOf(t, false), time.Now().Add(-time.Hour))
	rs := selfSigned(t, keyOf(t, true), tomorrow)
	onlyRSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	onlyECDSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	both := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	today := &tls.Config{}
	for what, c := range map[string]struct {
		have   Choice
		client *tls.Config
		want   *tls.Certificate // nil: the handshake fails
	}{
		"today's client":                        {NewChoice(rs, ec), today, ec},
		"TLS 1.2, both":                         {NewChoice(ec, rs), both, ec},
		"TLS 1.2, RSA only":                     {NewChoice(ec, rs), onlyRSA, rs},
		"TLS 1.2, ECDSA only":                   {NewChoice(rs, ec), onlyECDSA, ec},
		"there is no RSA":                       {NewChoice(ec), onlyRSA, nil},
		"there is no RSA, for others":           {NewChoice(ec), both, ec},
		"there is no ECDSA":                     {NewChoice(rs), today, rs},
		"ECDSA has expired":                     {NewChoice(old, rs), today, rs},
		"ECDSA has expired, for who has no RSA": {NewChoice(old, rs), onlyECDSA, old},
	} {
		t.Run(what, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = tls.Server(far, Config(func(string) (Choice, *Clients) { return c.have, nil }, new(Tickets))).Handshake()
				_ = far.Close()
			}()
			cfg := c.client.Clone()
			cfg.ServerName, cfg.InsecureSkipVerify = "a.example", true
			conn := tls.Client(near, cfg)
			err := conn.Handshake()
			_ = near.Close()
			<-done
			switch {
			case c.want == nil && err == nil:
				t.Error("the handshake is over well")
			case c.want != nil && err != nil:
				t.Error(err)
			case c.want != nil && !conn.ConnectionState().PeerCertificates[0].Equal(c.want.Leaf):
				t.Errorf("shown: %v", conn.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm)
			}
		})
	}
}

// In TLS 1.3 suites say nothing of keys: what counts is which signatures a client can check.
func TestChoiceBySignatures(t *testing.T) {
	ec, rs := selfSigned(t, keyOf(t, false), time.Now().Add(time.Hour)), selfSigned(t, keyOf(t, true), time.Now().Add(time.Hour))
	hello := func(s ...tls.SignatureScheme) *tls.ClientHelloInfo {
		return &tls.ClientHelloInfo{
			ServerName: "a.example", SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: s, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
			SupportedCurves: []tls.CurveID{tls.X25519}, SupportedPoints: []uint8{0},
		}
	}
	all := NewChoice(rs, ec)
	for _, c := range []struct {
		hello *tls.ClientHelloInfo
		want  *tls.Certificate
	}{
		{hello(tls.PSSWithSHA256), rs}, {hello(tls.ECDSAWithP256AndSHA256), ec}, {hello(tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256), ec},
		{hello(tls.Ed25519), ec}, // neither: the first, and the alert that follows
	} {
		if got := all.pick(c.hello, time.Now()); got != c.want {
			t.Errorf("%v: %v", c.hello.SignatureSchemes, got.Leaf.PublicKeyAlgorithm)
		}
	}
	if Choice(nil).pick(hello(), time.Now()) != nil {
		t.Error("a certificate of nothing")
	}
}
