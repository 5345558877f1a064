package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/warrenedge/warren/shared/identity"
)

// Protocol is what WireGuard in TLS is called on a node's TLS port (ALPN).
const Protocol = "warren-wireguard/1"

// Credentials say who we are and whom we trust. They are asked at every handshake: a certificate is
// renewed while the process lives.
type Credentials struct {
	Cluster     string
	Certificate func() *tls.Certificate
	Authorities func() *x509.CertPool
}

// verify judges the other end. Identity certificates are client certificates whichever end shows them: the
// kind in the name is what tells a node from a connector.
func (c Credentials) verify(cs tls.ConnectionState, kind identity.Kind) (string, error) {
	if cs.NegotiatedProtocol != Protocol {
		return "", errors.New("the other end does not speak " + Protocol)
	}
	id, err := identity.Verify(cs.PeerCertificates, c.Authorities(), x509.ExtKeyUsageClientAuth, c.Cluster, kind)
	return id.ID, err
}

// server is the TLS of a node.
func (c Credentials) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol}, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		ClientAuth:     tls.RequireAnyClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := c.verify(cs, identity.Connector)
			return err
		},
	}
}

// dial connects a connector to a node. There is no server name to send: the node is known by its identity.
func (c Credentials) dial(ctx context.Context, node string, addr netip.AddrPort) (net.Conn, error) {
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		InsecureSkipVerify:   true, // verified by name of the process, below
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := c.verify(cs, identity.Node)
			if err == nil && id != node {
				err = fmt.Errorf("%s answers in the place of node %s", id, node)
			}
			return err
		},
	}}
	return d.DialContext(ctx, "tcp", addr.String())
}
