// Package netcheck finds out what of the nodes can be reached from this machine, in the way that clients and connectors
// reach them.
package netcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// AskTime bounds one question.
const AskTime = 3 * time.Second

// Probe asks. The zero value asks as this host does.
type Probe struct {
	// Dial opens connections; nil: as the host does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (p Probe) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.Dial != nil {
		return p.Dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// Connect measures how long a TCP connection takes, and says how large packets may be on the way, as far as the kernel
// knows; 0: it does not say.
func (p Probe) Connect(ctx context.Context, at netip.AddrPort) (took time.Duration, mtu int, err error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	begun := time.Now()
	c, err := p.dial(ctx, "tcp", at.String())
	if err != nil {
		return 0, 0, words(err)
	}
	defer c.Close()
	return time.Since(begun), pathMTU(c), nil
}

// Handshake is what came of TLS with a node.
type Handshake struct {
	Took     time.Duration
	NotAfter time.Time // of the certificate
	Issuer   string
}

// TLS ends a handshake for a hostname, and checks the certificate as a browser does; roots are trusted beside the
// system's.
func (p Probe) TLS(ctx context.Context, at netip.AddrPort, name string, roots *x509.CertPool) (h Handshake, err error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	raw, err := p.dial(ctx, "tcp", at.String())
	if err != nil {
		return h, words(err)
	}
	defer raw.Close()
	begun := time.Now()
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(ctx); err != nil {
		return h, fmt.Errorf("no handshake for %s: %w", name, words(err))
	}
	h.Took = time.Since(begun)
	certs := c.ConnectionState().PeerCertificates
	h.NotAfter, h.Issuer = certs[0].NotAfter, certs[0].Issuer.CommonName
	return h, verify(certs, name, roots)
}

// verify looks for a chain to the roots, or to the system's.
func verify(certs []*x509.Certificate, name string, roots *x509.CertPool) error {
	o := x509.VerifyOptions{DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(o)
	if err != nil && roots != nil {
		o.Roots = roots
		_, err = certs[0].Verify(o)
	}
	return err
}

// Resolve asks a server for the addresses of a name.
func (p Probe) Resolve(ctx context.Context, server netip.AddrPort, name string) (addrs []netip.Addr, took time.Duration, err error) {
	begun := time.Now()
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		in, err := p.question(ctx, server, name, typ)
		if err != nil {
			return nil, 0, err
		}
		for _, rr := range in.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				addrs = append(addrs, addr(rr.A)...)
			case *dns.AAAA:
				addrs = append(addrs, addr(rr.AAAA)...)
			}
		}
	}
	took = time.Since(begun)
	if len(addrs) == 0 {
		return nil, took, fmt.Errorf("no address for %s", name)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, took, nil
}

func addr(ip net.IP) []netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return nil
	}
	return []netip.Addr{a.Unmap()}
}

// question asks over UDP, twice if need be: a packet may be lost.
func (p Probe) question(ctx context.Context, server netip.AddrPort, name string, typ uint16) (in *dns.Msg, err error) {
	for range 2 {
		if in, err = p.once(ctx, server, name, typ); err == nil || !errors.Is(err, ErrSilent) {
			break
		}
	}
	switch {
	case err != nil:
		return nil, err
	case in.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("%s for %s", dns.RcodeToString[in.Rcode], name)
	}
	return in, nil
}

func (p Probe) once(ctx context.Context, server netip.AddrPort, name string, typ uint16) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime/2)
	defer cancel()
	c, err := p.dial(ctx, "udp", server.String())
	if err != nil {
		return nil, words(err)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	in, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: c})
	if err != nil {
		return nil, words(err)
	}
	return in, nil
}

// Get sends a request for a hostname to one address and says what was answered. Who signed the certificate is asked
// elsewhere; redirects are answers.
func (p Probe) Get(ctx context.Context, at netip.AddrPort, name string) (status int, took time.Duration, err error) {
	const getTime = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, getTime)
	defer cancel()
	tr := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, "tcp", at.String()) },
		TLSClientConfig:   &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+"/", nil)
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("User-Agent", "warren-ping")
	begun := time.Now()
	res, err := tr.RoundTrip(r)
	if err != nil {
		return 0, 0, words(err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 1<<10)
	return res.StatusCode, time.Since(begun), nil
}

// Refused reports whether a UDP port refuses packets. That it does not says little: WireGuard answers no stranger.
func (p Probe) Refused(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	c, err := p.dial(ctx, "udp", at.String())
	if err != nil {
		return words(err)
	}
	defer c.Close()
	const answer = 500 * time.Millisecond
	for range 2 { // what refuses the first is told to the second
		_ = c.SetDeadline(time.Now().Add(answer))
		if _, err = c.Write([]byte("warren netcheck")); err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return ErrRefused
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return words(err)
}

// What is wrong most often.
var (
	ErrSilent  = errors.New("no answer in time")
	ErrRefused = errors.New("connection refused")
	ErrNoWay   = errors.New("this machine has no way there")
)

// words makes an error short: addresses are said beside it.
func words(err error) error {
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ErrSilent
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EHOSTUNREACH):
		return ErrNoWay
	case strings.Contains(err.Error(), "EOF"), errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection was closed")
	}
	return err
}

// Answers measures how long a server takes to answer for a zone, whatever it says.
func (p Probe) Answers(ctx context.Context, server netip.AddrPort, zone string) (time.Duration, error) {
	begun := time.Now()
	for i := 0; ; i++ {
		_, err := p.once(ctx, server, zone, dns.TypeSOA)
		if err == nil || i == 1 || !errors.Is(err, ErrSilent) {
			return time.Since(begun), err
		}
	}
}
