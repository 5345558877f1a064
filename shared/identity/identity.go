// Package identity is who a node or connector is in mutual TLS: the SPIFFE name in its
// certificate, and how either end verifies the other.
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
	if u.Scheme != "spiffe" || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" ||
		len(parts) != 3 || parts[0] != "" || parts[2] == "" {
		return Identity{}, fmt.Errorf("%w: %q", ErrIdentity, u)
	}
	switch k := Kind(parts[1]); k {
	case Node, Connector, Control:
		return Identity{Cluster: u.Host, Kind: k, ID: parts[2]}, nil
	}
	return Identity{}, fmt.Errorf("%w: %q", ErrIdentity, u)
}
