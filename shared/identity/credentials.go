package identity

import (
	"crypto/tls"
	"crypto/x509"
)

// Credentials say who a process is and whom it trusts. They are asked at every handshake: a certificate is
// renewed while the process lives.
type Credentials struct {
	Cluster     string
	Certificate func() *tls.Certificate
	Authorities func() *x509.CertPool
}

// Verify judges the other end of a connection and returns its id. Identity certificates are client
// certificates whichever end shows them: the kind in the name is what tells a node from a connector.
func (c Credentials) Verify(cs tls.ConnectionState, kind Kind) (string, error) {
	id, err := Verify(cs.PeerCertificates, c.Authorities(), x509.ExtKeyUsageClientAuth, c.Cluster, kind)
	return id.ID, err
}
