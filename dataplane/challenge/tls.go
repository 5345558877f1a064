package challenge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/hostname"
)

// Protocol is the ALPN protocol of TLS-ALPN challenges (RFC 8737 §6.2).
const Protocol = "acme-tls/1"

// acmeIdentifier is the extension that carries the digest (RFC 8737 §6.1).
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// New makes an Answerer that knows nothing yet.
func New(o Options) (*Answerer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of tls challenges: %w", err)
	}
	a := &Answerer{with: o, key: key, metrics: newMetrics(o.Registerer)}
	a.known.Store(&known{})
	return a, nil
}

// TLS answers what l accepts, connections with the protocol acme-tls/1 for names that are Asked, until l is
// closed, and ctx ends. A connection is over with its handshake (RFC 8737 §3).
func (a *Answerer) TLS(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{Protocol}, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate(hello.ServerName) },
	}
	var open sync.WaitGroup
	defer open.Wait()
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("accept %s: %w", l.Addr(), err)
		}
		open.Go(func() {
			result := "failed"
			if c, err := terminate.Handshake(ctx, raw, cfg); err != nil {
				a.with.Log.Debug("tls challenge", "err", err)
			} else {
				if c.ConnectionState().NegotiatedProtocol == Protocol {
					result = "answered"
				}
				_ = c.Close()
			}
			a.metrics.proofs.WithLabelValues(result).Inc()
		})
	}
}

var errNotAsked = errors.New("no challenge for this name")

// certificate is one for a name alone, with the digest in it. It is made for each handshake: few come, and
// nothing has to be kept.
func (a *Answerer) certificate(serverName string) (*tls.Certificate, error) {
	name, err := hostname.Canonical(serverName)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	sum, ok := a.known.Load().digest(name, now)
	if !ok {
		return nil, errNotAsked
	}
	der, err := a.sign(name, sum, now)
	if err != nil {
		return nil, fmt.Errorf("certificate of a tls challenge: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}, nil
}

func (a *Answerer) sign(name string, sum [sha256.Size]byte, now time.Time) ([]byte, error) {
	value, err := asn1.Marshal(sum[:])
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: "ACME challenge"}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{{Id: acmeIdentifier, Critical: true, Value: value}},
	}
	return x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
}
