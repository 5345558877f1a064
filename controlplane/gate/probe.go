package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/model"
)

// prober asks as an authority does.
type prober struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (p prober) ask(ctx context.Context, address string, w want) error {
	switch w.kind {
	case model.DNS01:
		for _, network := range []string{"udp", "tcp"} {
			if err := p.txt(ctx, network, address, w); err != nil {
				return fmt.Errorf("DNS over %s: %w", strings.ToUpper(network), err)
			}
		}
		return nil
	case model.HTTP01:
		return p.within(ctx, func(ctx context.Context) error { return p.file(ctx, address, w) })
	case model.TLSALPN01:
		return p.within(ctx, func(ctx context.Context) error { return p.handshake(ctx, address, w) })
	}
	return fmt.Errorf("challenge of type %q is not known", w.kind)
}

func (p prober) within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return ask(ctx)
}

// connect opens a connection; its error tells a node that is silent from a host that has no way.
func (p prober) connect(ctx context.Context, network, address, port string) (net.Conn, error) {
	c, err := p.dial(ctx, network, net.JoinHostPort(address, port))
	switch {
	case err == nil:
		if deadline, ok := ctx.Deadline(); ok {
			_ = c.SetDeadline(deadline)
		}
		return c, nil
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return nil, errNoWay
	}
	return nil, errSilent
}

// txt asks for all values at one name. A packet may be lost: UDP is tried twice.
func (p prober) txt(ctx context.Context, network, address string, w want) (err error) {
	for range map[string]int{"udp": 2, "tcp": 1}[network] {
		err = p.within(ctx, func(ctx context.Context) error { return p.txtOnce(ctx, network, address, w) })
		if !errors.Is(err, errSilent) {
			return err
		}
	}
	return err
}

func (p prober) txtOnce(ctx context.Context, network, address string, w want) error {
	c, err := p.connect(ctx, network, address, "53")
	if err != nil {
		return err
	}
	defer c.Close()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(model.ChallengeLabel+"."+w.name), dns.TypeTXT)
	q.RecursionDesired = false
	q.SetEdns0(dns.DefaultMsgSize, false)
	in, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: c, UDPSize: dns.DefaultMsgSize})
	switch {
	case err != nil:
		return errSilent
	case in.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("%s for %s", dns.RcodeToString[in.Rcode], q.Question[0].Name)
	case !in.Authoritative:
		return fmt.Errorf("%s is not answered with authority", q.Question[0].Name)
	case in.Truncated && network == "udp":
		return nil // the authority asks again over TCP, and so do we
	}
	var have []string
	for _, rr := range in.Answer {
		if t, ok := rr.(*dns.TXT); ok && strings.EqualFold(t.Hdr.Name, q.Question[0].Name) {
			have = append(have, strings.Join(t.Txt, ""))
		}
	}
	lacks := 0
	for _, v := range w.values {
		if !slices.Contains(have, v) {
			lacks++
		}
	}
	if lacks > 0 {
		return fmt.Errorf("%s lacks %d of %d values", q.Question[0].Name, lacks, len(w.values))
	}
	return nil
}

// file asks for a key authorization, without following anything.
func (p prober) file(ctx context.Context, address string, w want) error {
	c, err := p.connect(ctx, "tcp", address, "80")
	if err != nil {
		return err
	}
	defer c.Close()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.name+"/.well-known/acme-challenge/"+w.token, nil)
	if err != nil {
		return err
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		return cutShort(ctx, fmt.Errorf("no HTTP answer for %s", w.name))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d for the challenge of %s", res.StatusCode, w.name)
	}
	const most = 1 << 10
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil || strings.TrimRight(string(body), " \t\r\n") != w.values[0] { // RFC 8555 §8.3: trailing white space is ignored
		return fmt.Errorf("another key authorization for %s", w.name)
	}
	return nil
}

// cutShort is why somebody who was reached said nothing of use: err, unless the time was over.
func cutShort(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errSilent
	}
	return err
}

// acmeIdentifier is the extension that carries the digest (RFC 8737 §6.1).
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

const acmeTLS = "acme-tls/1"

// handshake asks for the certificate of a challenge. Who signed it means nothing: what is in it does.
func (p prober) handshake(ctx context.Context, address string, w want) error {
	raw, err := p.connect(ctx, "tcp", address, "443")
	if err != nil {
		return err
	}
	c := tls.Client(raw, &tls.Config{ServerName: w.name, NextProtos: []string{acmeTLS}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return cutShort(ctx, fmt.Errorf("TLS for %s: no challenge is answered", w.name))
	}
	s := c.ConnectionState()
	if s.NegotiatedProtocol != acmeTLS || len(s.PeerCertificates) == 0 {
		return fmt.Errorf("TLS for %s: not with the protocol %s", w.name, acmeTLS)
	}
	if !proves(s.PeerCertificates[0], w.name, w.values[0]) {
		return fmt.Errorf("TLS for %s: another certificate than the challenge's", w.name)
	}
	return nil
}

func proves(cert *x509.Certificate, name, value string) bool {
	if len(cert.DNSNames) != 1 || !strings.EqualFold(cert.DNSNames[0], name) {
		return false
	}
	for _, e := range cert.Extensions {
		var sum []byte
		if e.Id.Equal(acmeIdentifier) && e.Critical {
			rest, err := asn1.Unmarshal(e.Value, &sum)
			return err == nil && len(rest) == 0 && base64.RawURLEncoding.EncodeToString(sum) == value
		}
	}
	return false
}
