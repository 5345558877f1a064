// Package streams carries TCP from a node to a connector, or to another node, in TLS connections that the other
// end dials ahead of need, so that the kernel's TCP does the long haul and nobody waits for a handshake.
//
// A connector keeps one control connection to each of its nodes, with heartbeats, and as many stream
// connections as the node asks for. A node does the same towards every other node, for what those want relayed. A stream connection carries one stream at a time; when both ends have
// said that they are done it is idle again, its congestion window warm. The node decides: it takes idle
// connections, closes surplus ones, and tells the connector how many there should be, so no connection is
// ever taken by one end and closed by the other.
package streams

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/identity"
)

// Protocols (ALPN) on a node's TLS port. What a connection is for is known before its handshake, so no
// byte inside needs to say it, and an idle stream connection has nothing to read until it is used. Connectors
// speak the first two, nodes among each other the last two.
const (
	ProtocolControl      = "warren-control/1"
	ProtocolStream       = "warren-stream/1"
	ProtocolRelayControl = "warren-relay-control/1"
	ProtocolRelay        = "warren-relay/1"
)

// dialect is what depends on who dials: connectors have their protocols, nodes theirs, so that none can be taken
// for the other.
type dialect struct {
	kind            identity.Kind // of who dials; who accepts is a node
	control, stream string
	port            uint16 // that fabric asks for
}

func dialectOf(kind identity.Kind) dialect {
	if kind == identity.Node {
		return dialect{kind, ProtocolRelayControl, ProtocolRelay, fabric.RelayPort}
	}
	return dialect{identity.Connector, ProtocolControl, ProtocolStream, fabric.ConnectorPort}
}

// Bounds of a connection.
const (
	handshakeTime = 5 * time.Second
	unackedTime   = 30 * time.Second // that sent bytes may stay without an acknowledgement (TCP_USER_TIMEOUT)
	keepalive     = 15 * time.Second // below the patience of address translators
)

// serverTLS is that of a node which is dialled. admit has the last word on who dials. Tickets make a second
// handshake cheap; the chain is verified then as well.
func serverTLS(c identity.Credentials, d dialect, admit func(peer string) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{d.control, d.stream}, DynamicRecordSizingDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		ClientAuth:     tls.RequireAnyClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol == "" {
				return errors.New("no protocol of ours")
			}
			id, err := c.Verify(cs, d.kind)
			if err != nil {
				return err
			}
			return admit(id)
		},
	}
}

// clientTLS is that of who dials, towards one node. There is no server name to send: the node is known by
// its identity.
func clientTLS(c identity.Credentials, node, protocol string, sessions tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, DynamicRecordSizingDisabled: true, ClientSessionCache: sessions,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate(), nil },
		InsecureSkipVerify:   true, // verified by name of the process, below
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := c.Verify(cs, identity.Node)
			if err == nil && id != node {
				err = fmt.Errorf("%s answers in the place of node %s", id, node)
			}
			if err == nil && cs.NegotiatedProtocol != protocol {
				err = fmt.Errorf("node %s does not speak %s", node, protocol)
			}
			return err
		},
	}
}
