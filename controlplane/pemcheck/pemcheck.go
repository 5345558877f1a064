// Package pemcheck judges certificates that users upload: whether key and chain fit, whether nodes can serve
// them, whether clients will take them. It is pure; each refusal names the block and the line that it is about.
package pemcheck

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Options is what a certificate is judged by.
type Options struct {
	Now time.Time
	// Roots need no certificate of theirs in a chain. Nil: none are known, and a chain has at least one
	// certificate besides the leaf.
	Roots *x509.CertPool
	// Intermediates are known from elsewhere and complete a chain that lacks them.
	Intermediates []*x509.Certificate
}

// Uploaded is a certificate that can be served. It prints without its key.
type Uploaded struct {
	Leaf     *x509.Certificate
	ChainPEM []byte   // leaf first, each signed by the next, without a root
	KeyDER   []byte   // PKCS #8
	Names    []string // canonical, sorted
}

func (u *Uploaded) String() string {
	return fmt.Sprintf("pemcheck.Uploaded{Names: %v, NotAfter: %s}", u.Names, u.Leaf.NotAfter.UTC().Format(time.RFC3339))
}

// Format implements fmt.Formatter, for every verb.
func (u *Uploaded) Format(f fmt.State, _ rune) { fmt.Fprint(f, u.String()) }

// LogValue implements slog.LogValuer.
func (u *Uploaded) LogValue() slog.Value { return slog.StringValue(u.String()) }

// Bounds on what is read. The largest chain that is of use has 30 kB; RSA of 8192 bits has a key of 4.7 kB.
const (
	maxChainPEM = 256 << 10
	maxKeyPEM   = 16 << 10
	maxKeyDER   = 5 << 10
	maxCerts    = 10
	maxNames    = 100
	maxRSA      = 8192
)

// Check parses a chain and its key, both PEM, in any order of certificates. Every error is a fault of kind
// Invalid in the field "chain" or "key".
func Check(chainPEM, keyPEM []byte, o Options) (*Uploaded, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	certs, err := parseChain(chainPEM)
	if err != nil {
		return nil, err
	}
	leaf, err := findLeaf(certs, key)
	if err != nil {
		return nil, err
	}
	names, err := judgeLeaf(leaf, o.Now)
	if err != nil {
		return nil, err
	}
	chain, err := order(leaf, certs, o)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fault.Field("key", "%v", err)
	}
	u := &Uploaded{Leaf: leaf.Certificate, KeyDER: keyDER, Names: names}
	for _, c := range chain {
		u.ChainPEM = append(u.ChainPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return u, nil
}

// findLeaf returns the certificate of the key, wherever it stands.
func findLeaf(certs []*cert, key crypto.Signer) (*cert, error) {
	public := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	var found *cert
	for _, c := range certs {
		if !public.Equal(c.PublicKey) {
			continue
		}
		if found != nil && !found.Equal(c.Certificate) {
			return nil, fault.Field("chain", "%s and %s are both of the key: upload one of them", found, c)
		}
		found = c
	}
	if found == nil {
		return nil, fault.Field("key", "it is the key of none of the certificates; %s has another one", certs[0])
	}
	return found, nil
}

// judgeLeaf refuses what clients would, and what nodes do not serve.
func judgeLeaf(c *cert, now time.Time) ([]string, error) {
	bad := func(format string, args ...any) ([]string, error) {
		return nil, fault.Field("chain", "%s %s", c, fmt.Sprintf(format, args...))
	}
	switch {
	case c.IsCA:
		return bad("is a CA's certificate, not a server's")
	case len(c.UnhandledCriticalExtensions) > 0:
		return bad("has the critical extension %v, which clients do not know", c.UnhandledCriticalExtensions[0])
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return bad("may not sign: its key usage lacks digitalSignature")
	case !forServers(c.Certificate):
		return bad("is not for servers: its extended key usage lacks serverAuth")
	case mustStaple(c.Certificate):
		return bad("wants OCSP responses with each handshake (must-staple), which nodes do not send")
	}
	if err := judgeTime(c, now); err != nil {
		return nil, err
	}
	if err := judgeStrength(c); err != nil {
		return nil, err
	}
	return judgeNames(c)
}

func judgeNames(c *cert) ([]string, error) {
	bad := func(format string, args ...any) ([]string, error) {
		return nil, fault.Field("chain", "%s %s", c, fmt.Sprintf(format, args...))
	}
	switch {
	case len(c.IPAddresses) > 0:
		return bad("has the IP address %s: certificates are served by name", c.IPAddresses[0])
	case len(c.DNSNames) == 0 && c.Subject.CommonName != "":
		return bad("has the common name %.100q and no DNS names, which is all that clients look at", c.Subject.CommonName)
	case len(c.DNSNames) == 0:
		return bad("has no DNS names")
	case len(c.DNSNames) > maxNames:
		return bad("has %d names; %d are the most", len(c.DNSNames), maxNames)
	}
	var names []string
	for i, n := range c.DNSNames {
		canonical, err := hostname.CanonicalPattern(n)
		if err != nil {
			return bad("has the name %.100q (number %d): %v", n, i+1, err)
		}
		names = append(names, canonical)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
