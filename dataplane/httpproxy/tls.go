package httpproxy

import (
	"bytes"
	"crypto/tls"
	"errors"

	"github.com/warrenedge/warren/shared/hostname"
)

// errNoCertificate ends a handshake for a name without a certificate, with a fatal alert.
var errNoCertificate = errors.New("no certificate for this name")

// missingKey leads to a *bool that says whether a handshake failed for want of a certificate.
type missingKey struct{}

// ticketMark precedes the server name in the extra data of a session ticket.
var ticketMark = []byte("warren sni ")

// tlsConfig is the one configuration of every handshake. What differs by name is looked up in the
// table of the moment.
func tlsConfig(current func() *table) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// TLS 1.2 with forward secrecy and AEAD only; the suites of TLS 1.3 are all like that and can't be chosen.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Neither a certificate nor an error: crypto/tls then sends unrecognized_name (RFC 6066
			// §3), where an error of ours would be an internal_error.
			cert, err := current().certificate(hello.ServerName)
			if missing, ok := hello.Context().Value(missingKey{}).(*bool); ok && err != nil {
				*missing = true
			}
			return cert, nil
		},
	}
	// A ticket is bound to the name that it was issued for (research T3): resuming skips the choice
	// of a certificate, and with it the check that the name still has one.
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, append(bytes.Clone(ticketMark), canonicalOrEmpty(cs.ServerName)...))
		return cfg.EncryptTicket(cs, ss)
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := cfg.DecryptTicket(ticket, cs)
		if err != nil || ss == nil {
			return nil, nil // not ours, or of an old key: a full handshake
		}
		if _, err := current().certificate(cs.ServerName); err != nil {
			return nil, nil
		}
		want := append(bytes.Clone(ticketMark), canonicalOrEmpty(cs.ServerName)...)
		for _, extra := range ss.Extra {
			if bytes.Equal(extra, want) {
				return ss, nil
			}
		}
		return nil, nil
	}
	return cfg
}

// certificate is the one of the route that serverName belongs to.
func (t *table) certificate(serverName string) (*tls.Certificate, error) {
	name, err := hostname.Canonical(serverName)
	if err != nil {
		return nil, errNoCertificate
	}
	r := t.match(name)
	if r == nil || r.cert == nil {
		return nil, errNoCertificate
	}
	return r.cert, nil
}

func canonicalOrEmpty(name string) string {
	c, err := hostname.Canonical(name)
	if err != nil {
		return ""
	}
	return c
}
