package httpproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
)

// Schemes of targets.
const (
	SchemeHTTP  = "http"  // HTTP/1.1, and HTTP/2 without TLS for gRPC
	SchemeHTTPS = "https" // the same over TLS
	SchemeH2C   = "h2c"   // HTTP/2 without TLS for all but upgrades
)

// Upstream is how a target is spoken to. The zero Upstream is HTTP.
type Upstream struct {
	Scheme      string // "": SchemeHTTP
	ServerName  string // of https: that the handshake asks for, and the certificate has to be for if it is verified
	Authorities string // of https: certificates in PEM; "": the target's certificate is not verified
	StripPrefix bool   // the prefix of the rule is cut off the path
}

// secure reports whether the target speaks TLS.
func (u Upstream) secure() bool { return u.Scheme == SchemeHTTPS }

// tls is the client's side of a handshake, for one of the protocols. Without authorities the certificate is not verified: what
// stands in a private network mostly has one that nobody signed, and the way there is sealed as far as the site.
func (u Upstream) tls(protocol string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.ServerName, NextProtos: []string{protocol}, InsecureSkipVerify: u.Authorities == ""} //nolint:gosec // see above
	if u.Authorities != "" {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM([]byte(u.Authorities)) // what apply has read before
	}
	return cfg
}

// dialTLS is dialContext for TLS. The handshake is a part of dialling: a request whose target refuses it was not sent.
func (p *pool) dialTLS(ctx context.Context, shared bool, cfg *tls.Config) (net.Conn, error) {
	raw, err := p.dialContext(ctx, shared)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, dialError{fmt.Errorf("dial target %s: TLS: %w", p.key.target, err)}
	}
	return c, nil
}

// under is the connection that another one lies over.
func under(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
