// Package acme speaks ACME (RFC 8555, renewal information of RFC 9773, profiles) to a certificate authority:
// each method is one request with its answer. Nothing is waited for and nothing is kept but nonces and the
// directory, so a workflow goes on from the URLs that it has stored, in any process.
//
// lego's acme/api signs and parses. What it lacks is put under it, in a RoundTripper for each call: the
// caller's context, a deadline, bounded bodies, Retry-After and whole problem documents (exchange.go).
package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Options is what a Client needs to know.
type Options struct {
	Directory  string         // URL of the CA's directory (RFC 8555 §7.1.1)
	Roots      *x509.CertPool // who may sign the CA's TLS certificate; nil: the system's
	Key        crypto.Signer  // the account's: ECDSA P-256 or P-384, or RSA of 2048 bits and more
	AccountURL string         // from Register; empty before it
	UserAgent  string         // name and version of the program (RFC 8555 §6.1)
	Timeout    time.Duration  // for each call with its nonces; 30 s if zero

	// Transport carries the requests; it is used as it is. Nil: one of the Client's own that trusts Roots.
	Transport http.RoundTripper
}

// maxBody bounds every reply. An order of 100 names has 30 kB, a chain of certificates less than 10 kB.
const maxBody = 1 << 20

// Client is an account at a CA. It may be used concurrently.
type Client struct {
	url       string
	userAgent string
	timeout   time.Duration
	transport http.RoundTripper
	own       *http.Transport // transport, if it was made here
	account   atomic.Pointer[account]
	rolling   chan struct{} // holds a token while no Rollover is under way
	nonces    nonces
	dir       directoryCache
}

// account is who signs: replaced whole by Register and Rollover.
type account struct {
	url string // empty: the request carries the public key instead (RFC 8555 §6.2)
	key crypto.Signer
}

// New returns a Client. It asks the CA nothing.
func New(o Options) (*Client, error) {
	if err := checkURL(o.Directory); err != nil {
		return nil, fmt.Errorf("acme directory: %w", err)
	}
	if err := checkKey(o.Key); err != nil {
		return nil, fmt.Errorf("acme account key: %w", err)
	}
	if o.AccountURL != "" {
		if err := checkURL(o.AccountURL); err != nil {
			return nil, fmt.Errorf("acme account URL: %w", err)
		}
	}
	c := &Client{url: o.Directory, userAgent: o.UserAgent, timeout: o.Timeout, transport: o.Transport, dir: newDirectoryCache(), rolling: make(chan struct{}, 1)}
	c.rolling <- struct{}{}
	if c.userAgent == "" {
		c.userAgent = "warren"
	}
	if c.timeout <= 0 {
		c.timeout = 30 * time.Second
	}
	if c.transport == nil {
		c.own = Transport(o.Roots)
		c.transport = c.own
	}
	c.account.Store(&account{url: o.AccountURL, key: o.Key})
	return c, nil
}

// Transport reaches an authority whose server is verified with roots, the system's if nil: what New uses unless it is
// given another, and what others are built upon.
func Transport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Close drops kept connections. A transport that was given to New is its owner's.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// AccountURL returns the URL of the account, empty before Register.
func (c *Client) AccountURL() string { return c.account.Load().url }

// checkURL refuses what no request may go to: RFC 8555 §6.1 wants HTTPS.
func checkURL(s string) error {
	if len(s) > 2048 {
		return errors.New("URL longer than 2048 octets")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "https":
		return fmt.Errorf("%.100q is not an https URL", s)
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%.100q has no host, or a user in it", s)
	}
	return nil
}

// checkKey refuses keys that CAs don't take for accounts.
func checkKey(key crypto.Signer) error {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return fmt.Errorf("ECDSA on %s: want P-256 or P-384", k.Curve.Params().Name)
		}
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return fmt.Errorf("RSA of %d bits: want 2048 or more", k.N.BitLen())
		}
	default:
		return fmt.Errorf("%T: want *ecdsa.PrivateKey or *rsa.PrivateKey", key)
	}
	return nil
}

// withDeadline bounds one call.
func (c *Client) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// What holds keys prints without them.

func (o Options) String() string {
	return fmt.Sprintf("acme.Options{Directory: %q, AccountURL: %q, Key: redacted}", o.Directory, o.AccountURL)
}

// Format implements fmt.Formatter, for every verb.
func (o Options) Format(f fmt.State, _ rune) { fmt.Fprint(f, o.String()) }

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText keeps keys out of JSON.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

func (c *Client) String() string {
	return fmt.Sprintf("acme.Client{Directory: %q, AccountURL: %q}", c.url, c.AccountURL())
}

// Format implements fmt.Formatter, for every verb.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue implements slog.LogValuer.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
