package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
)

// Protocol is what WireGuard in TLS is called on a node's TLS port (ALPN).
const Protocol = "warren-wireguard/1"

// verify judges the other end.
func verify(c identity.Credentials, cs tls.ConnectionState, kind identity.Kind) (string, error) {
	if cs.NegotiatedProtocol != Protocol {
		return "", errors.New("the other end does not speak " + Protocol)
	}
	return c.Verify(cs, kind)
}

// serverTLS is that of a node.
func serverTLS(c identity.Credentials) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol}, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		ClientAuth:     tls.RequireAnyClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := verify(c, cs, identity.Connector)
			return err
		},
	}
}

// dialTLS connects a connector to a node. There is no server name to send: the node is known by its identity.
func dialTLS(ctx context.Context, c identity.Credentials, node string, at endpoint.Endpoint, by dial.Dialer) (net.Conn, error) {
	raw, err := by.Dial(ctx, at)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		InsecureSkipVerify:   true, // verified by name of the process, below
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := verify(c, cs, identity.Node)
			if err == nil && id != node {
				err = fmt.Errorf("%s answers in the place of node %s", id, node)
			}
			return err
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}
