package outside

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/miekg/dns"
)

// asker asks over the network.
type asker struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ask asks a node as clients do. A packet may be lost, and a node may be busy: who does not answer is asked twice.
func (a asker) ask(ctx context.Context, q question) (out answers) {
	var asking sync.WaitGroup
	asking.Go(func() {
		out.dns = a.twice(ctx, q.dns, func(ctx context.Context, at netip.AddrPort) (err error) {
			out.serial, err = a.soa(ctx, at, q.zone)
			return err
		})
	})
	out.tls = a.twice(ctx, q.tls, func(ctx context.Context, at netip.AddrPort) (err error) {
		out.leaf, err = a.hello(ctx, at, q.name)
		return err
	})
	asking.Wait()
	return out
}

// twice asks at addresses until one answers. Those that there is no way to from here say nothing.
func (a asker) twice(ctx context.Context, at []netip.AddrPort, one func(context.Context, netip.AddrPort) error) error {
	last := errNoWay
	for _, addr := range at {
		for range 2 {
			each, cancel := context.WithTimeout(ctx, askTime)
			err := one(each, addr)
			cancel()
			if err == nil {
				return nil
			}
			if noWay(err) {
				break
			}
			last = fmt.Errorf("%s: %w", addr, words(err))
		}
	}
	return last
}

// noWay reports whether an error is of this host: others may have a way.
func noWay(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

var (
	errNoWay   = errors.New("no way to any of its addresses from here")
	errSilent  = errors.New("no answer in time")
	errRefused = errors.New("connection refused")
)

// words makes an error short: addresses are said already.
func words(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errSilent
	case errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	}
	return err
}

// hello sends a ClientHello. Whatever comes back, and be it an alert or the end, is of somebody who reads them: which
// hostnames a node has a certificate for is asked elsewhere. leaf is what it shows for the name, nil if nothing.
func (a asker) hello(ctx context.Context, at netip.AddrPort, name string) (leaf []byte, err error) {
	raw, err := a.dial(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(ctx); ctx.Err() != nil {
		return nil, err
	}
	if shown := c.ConnectionState().PeerCertificates; len(shown) > 0 {
		leaf = shown[0].Raw
	}
	return leaf, nil
}

// soa asks for the start of a zone. Any answer will do; the serial is that of one with authority, else nil.
func (a asker) soa(ctx context.Context, at netip.AddrPort, zone string) (*uint32, error) {
	c, err := a.dial(ctx, "udp", at.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
	q.RecursionDesired = false
	m, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: c})
	if err != nil || !m.Authoritative || len(m.Answer) == 0 {
		return nil, err
	}
	if rr, ok := m.Answer[0].(*dns.SOA); ok {
		return &rr.Serial, nil
	}
	return nil, nil
}
