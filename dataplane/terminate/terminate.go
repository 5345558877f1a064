// Package terminate ends TLS with the certificate of the name that a client asks for.
package terminate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// HandshakeTime bounds a handshake.
const HandshakeTime = 10 * time.Second

// Certificate is one that routes may name.
type Certificate struct {
	Name  string   // what a route says
	Names []string // canonical hostnames or patterns that it is for
	TLS   tls.Certificate
}

// Covers reports whether the certificate is for all that a canonical pattern stands for.
func (c *Certificate) Covers(pattern string) bool {
	if slices.Contains(c.Names, pattern) {
		return true
	}
	w, ok := hostname.Wildcard(pattern)
	return ok && !hostname.IsWildcard(pattern) && slices.Contains(c.Names, w)
}

// Lookup gives the certificates of the route that a canonical name belongs to, of which one at most is shown, none if there
// is no such route, and whose certificates clients are asked for there, nil if they are asked for none. It is asked at each
// handshake, also when a session is resumed.
type Lookup func(name string) (Choice, *Clients)

// Clients is whose certificates clients are asked for. They need not show one, and what they show is judged by whoever
// asked, not by the handshake.
type Clients struct {
	Authorities *x509.CertPool
	ID          string // another one for others
}

// ErrNoCertificate is the error of a handshake for a name without a certificate. The client has been sent
// unrecognized_name.
var ErrNoCertificate = errors.New("no certificate for this name")

// missingKey leads to a *bool that says whether a handshake failed for want of a certificate.
type missingKey struct{}

// Handshake ends TLS on raw, within ten seconds. It closes raw if that fails.
func Handshake(ctx context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTime)
	defer cancel()
	missing := false
	c := tls.Server(raw, cfg)
	if err := c.HandshakeContext(context.WithValue(ctx, missingKey{}, &missing)); err != nil {
		_ = raw.Close() // the alert is out already; c.Close would wait to send another
		if missing {
			return nil, ErrNoCertificate
		}
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return c, nil
}

// ticketMark precedes the server name in the extra data of a session ticket.
var ticketMark = []byte("warren sni ")

// Config is the configuration of handshakes with whatever certificate lookup gives, for the application
// protocols named. Changes of what lookup gives, or of the keys of tickets, need no other Config.
func Config(lookup Lookup, tickets *Tickets, protocols ...string) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// TLS 1.2 with forward secrecy and AEAD only; the suites of TLS 1.3 are all like that and can't be chosen.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: protocols,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Neither a certificate nor an error: crypto/tls then sends unrecognized_name (RFC 6066
			// §3), where an error of ours would be an internal_error.
			all, _ := lookup.of(hello.ServerName)
			cert := all.pick(hello, time.Now())
			if missing, ok := hello.Context().Value(missingKey{}).(*bool); ok && cert == nil {
				*missing = true
			}
			return cert, nil
		},
	}
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		_, clients := lookup.of(hello.ServerName)
		if clients == nil {
			return nil, nil // this one
		}
		asking := cfg.Clone()
		asking.ClientAuth, asking.ClientCAs = tls.RequestClientCert, clients.Authorities
		return asking, nil
	}
	tickets.attach(cfg, useOf(protocols))
	// A ticket is bound to the name that it was issued for, and to whose certificates clients were asked for (research T3):
	// resuming skips the choice of a certificate, with it the check that the name still has one, and the question.
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, lookup.mark(cs.ServerName))
		return cfg.EncryptTicket(cs, ss)
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := cfg.DecryptTicket(ticket, cs)
		if err != nil || ss == nil {
			return nil, nil // not ours, or of an old key: a full handshake
		}
		if all, _ := lookup.of(cs.ServerName); len(all) == 0 {
			return nil, nil
		}
		want := lookup.mark(cs.ServerName)
		for _, extra := range ss.Extra {
			if bytes.Equal(extra, want) {
				return ss, nil
			}
		}
		return nil, nil
	}
	return cfg
}

// of finds the certificates for a name as a client has sent it.
func (l Lookup) of(serverName string) (Choice, *Clients) {
	name, err := hostname.Canonical(serverName)
	if err != nil {
		return nil, nil
	}
	return l(name)
}

// mark is what a ticket for a name carries.
func (l Lookup) mark(serverName string) []byte {
	name, _ := hostname.Canonical(serverName) // "": none
	mark := append(bytes.Clone(ticketMark), name...)
	if _, clients := l.of(serverName); clients != nil {
		mark = append(append(mark, ' '), clients.ID...)
	}
	return mark
}
