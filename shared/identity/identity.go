// Package identity is who a process is in mutual TLS: the SPIFFE name in its certificate.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Kind says what a process is.
type Kind string

// Kinds of process that hold an identity certificate.
const (
	Node      Kind = "node"
	Connector Kind = "connector"
	Control   Kind = "control" // a control-plane replica, as servers
)

// Identity is what a certificate of the cluster's identity authority says.
type Identity struct {
	Cluster string // cluster id, the SPIFFE trust domain
	Kind    Kind
	ID      string // "node_…", "connector_…"; "control" for every replica
}

// ErrIdentity is wrapped by every refusal of a certificate's name.
var ErrIdentity = errors.New("no Warren identity")

// URI is the SPIFFE ID, spiffe://<cluster>/<kind>/<id> (SPIFFE-ID §2).
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: i.Cluster, Path: "/" + string(i.Kind) + "/" + i.ID}
}

func (i Identity) String() string { return i.URI().String() }

// FromCertificate reads the identity of a verified certificate: exactly one URI SAN (X.509-SVID §2).
// The caller must have verified the chain.
func FromCertificate(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 {
		return Identity{}, fmt.Errorf("%w: %d URI names in the certificate, want 1", ErrIdentity, len(c.URIs))
	}
	u := c.URIs[0]
	parts := strings.Split(u.Path, "/")
	if len(parts) != 3 {
		return Identity{}, fmt.Errorf("%w: %q", ErrIdentity, u)
	}
	id := Identity{Cluster: u.Host, Kind: Kind(parts[1]), ID: parts[2]}
	// Written again it must be the same URI: an identity has one spelling, without user, port, query,
	// fragment and escapes.
	if !id.valid() || id.String() != u.String() {
		return Identity{}, fmt.Errorf("%w: %q", ErrIdentity, u)
	}
	return id, nil
}

// valid holds the parts to the characters of SPIFFE-ID §2.1 and §2.2.
func (i Identity) valid() bool {
	switch i.Kind {
	case Node, Connector, Control:
	default:
		return false
	}
	lower := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
	}
	return i.Cluster != "" && i.ID != "" && i.ID != "." && i.ID != ".." &&
		strings.IndexFunc(i.Cluster, func(c rune) bool { return !lower(c) }) < 0 &&
		strings.IndexFunc(i.ID, func(c rune) bool { return !lower(c) && (c < 'A' || c > 'Z') }) < 0
}

// Verify judges the chain that the other end of a TLS connection shows: signed by roots, valid now for the
// usage, of this cluster ("": of any) and this kind. Certificates name processes, not hosts, so no hostname
// is asked for.
func Verify(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, cluster string, kind Kind) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, fmt.Errorf("%w: no certificate", ErrIdentity)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return Identity{}, fmt.Errorf("verify certificate: %w", err)
	}
	id, err := FromCertificate(chain[0])
	if err != nil {
		return Identity{}, err
	}
	if id.Kind != kind || cluster != "" && id.Cluster != cluster {
		return Identity{}, fmt.Errorf("%w: %s is no %s of this cluster", ErrIdentity, id, kind)
	}
	return id, nil
}
