// Package authority is the cluster's own certificate authorities: one signs the identities of nodes,
// connectors and control replicas, the other the certificates of published hostnames.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/warrenedge/warren/shared/identity"
)

// Kind says what an authority signs. The two never share a key, so that a certificate of a published
// hostname is never an identity.
type Kind string

// Kinds of authority.
const (
	Identity Kind = "identity"
	Web      Kind = "web"
)

// Lifetimes of what is signed here.
const (
	CALifetime       = 10 * 365 * 24 * time.Hour
	IdentityLifetime = 30 * 24 * time.Hour
	WebLifetime      = 90 * 24 * time.Hour

	// skew is how far a certificate reaches into the past, for verifiers whose clocks are behind.
	skew = 5 * time.Minute
)

// Authority signs certificates. It is immutable, so safe for concurrent use.
type Authority struct {
	Kind Kind
	cert *x509.Certificate
	key  crypto.Signer
}

// Create makes a new authority for a cluster and returns what is to be stored: the certificate as PEM
// and the private key as PKCS #8 PEM, which the caller seals.
func Create(kind Kind, cluster string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("create %s authority: %w", kind, err)
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Warren " + string(kind) + " authority", Organization: []string{cluster}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(CALifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // signs leaves only
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if kind == Identity {
		t.URIs = []*url.URL{{Scheme: "spiffe", Host: cluster}} // SPIFFE X509-SVID §2: a signing certificate names the trust domain
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("create %s authority: %w", kind, err)
	}
	keyPEM, err = encodeKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("create %s authority: %w", kind, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM, nil
}

// Parse reads a stored authority and checks that key and certificate belong together.
func Parse(kind Kind, certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s authority: %w", kind, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s authority: not a signing certificate", kind)
	}
	return &Authority{Kind: kind, cert: pair.Leaf, key: signer}, nil
}

// CertificatePEM is the authority's own certificate.
func (a *Authority) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Fingerprint is the hex SHA-256 of the authority's certificate: what a join token pins.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Pool is the authority as the only root, to verify with.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Derive makes a secret of 32 bytes for a purpose that all replicas share and that needs no row of its own. It
// stays the same as long as the authority does.
func (a *Authority) Derive(purpose string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("derive %s: %w", purpose, err)
	}
	return hkdf.Key(sha256.New, der, nil, "warren "+purpose, sha256.Size)
}

var errKind = errors.New("wrong kind of authority")

// SignIdentity signs the identity certificate of a node, connector or control replica for a public
// key, and returns leaf and authority as PEM. Names in a certificate request never matter: the
// identity is the caller's to decide.
func (a *Authority) SignIdentity(pub crypto.PublicKey, id identity.Identity, now time.Time) ([]byte, error) {
	if a.Kind != Identity {
		return nil, fmt.Errorf("sign %s: %w", id, errKind)
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: id.ID},
		URIs:         []*url.URL{id.URI()},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(IdentityLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if id.Kind == identity.Control {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	chain, err := a.sign(t, pub)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", id, err)
	}
	return chain, nil
}

// ServerCertificate makes a fresh key and the identity certificate a control replica serves with. The
// key is not kept anywhere: every start makes a new one.
func (a *Authority) ServerCertificate(cluster string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("control certificate: %w", err)
	}
	chain, err := a.SignIdentity(key.Public(), identity.Identity{Cluster: cluster, Kind: identity.Control, ID: "control"}, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("control certificate: %w", err)
	}
	return tls.X509KeyPair(chain, keyPEM)
}

// WebCertificate is a certificate of published hostnames with its private key, not yet sealed.
type WebCertificate struct {
	ChainPEM            []byte // leaf first, authority last
	KeyPEM              []byte // PKCS #8
	NotBefore, NotAfter time.Time
}

// IssueWeb makes a new P-256 key and its certificate for canonical hostnames or patterns.
func (a *Authority) IssueWeb(names []string, now time.Time) (*WebCertificate, error) {
	if a.Kind != Web {
		return nil, fmt.Errorf("issue %v: %w", names, errKind)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue %v: %w", names, err)
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		DNSNames:     names,
		NotBefore:    now.Add(-skew).UTC().Truncate(time.Second),
		NotAfter:     now.Add(WebLifetime).UTC().Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	chain, err := a.sign(t, key.Public())
	if err != nil {
		return nil, fmt.Errorf("issue %v: %w", names, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("issue %v: %w", names, err)
	}
	return &WebCertificate{ChainPEM: chain, KeyPEM: keyPEM, NotBefore: t.NotBefore, NotAfter: t.NotAfter}, nil
}

func (a *Authority) sign(t *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, err
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(leaf, a.CertificatePEM()...), nil
}

// ParseRequest reads a DER certificate request, checks its self-signature and that its key is one we
// sign for: ECDSA P-256, P-384 or Ed25519.
func ParseRequest(der []byte) (crypto.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	switch r.PublicKeyAlgorithm {
	case x509.ECDSA:
		if c := r.PublicKey.(*ecdsa.PublicKey).Curve; c != elliptic.P256() && c != elliptic.P384() {
			return nil, fmt.Errorf("certificate request: curve %s", c.Params().Name)
		}
	case x509.Ed25519:
	default:
		return nil, fmt.Errorf("certificate request: key type %s", r.PublicKeyAlgorithm)
	}
	return r.PublicKey, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// serial is 127 random bits, positive (RFC 5280 §4.1.2.2 allows 20 octets).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails since Go 1.24
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
