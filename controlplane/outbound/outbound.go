// Package outbound reaches what strangers name without reaching what only we can reach.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Policy says which addresses may be reached. The zero Policy is the internet alone.
type Policy struct {
	Allowed []netip.Prefix // may be reached although they are not of the internet
}

// apart are addresses that mean something only to who stands where we stand, or that lead there in disguise.
var apart = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a provider's own"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"}, // where clouds tell machines their secrets
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("224.0.0.0/3"), "no host's"}, // multicast, reserved, broadcast
	{netip.MustParsePrefix("::/96"), "no host's"},       // unspecified, loopback, IPv4-compatible
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a translator's own"},
	{netip.MustParsePrefix("100::/64"), "discarded"},
	{netip.MustParsePrefix("2001::/32"), "a tunnel's"}, // Teredo
	{netip.MustParsePrefix("2002::/16"), "a tunnel's"}, // 6to4
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "no host's"},
}

// translated is where networks without IPv4 reach it (RFC 6052): the last four bytes say where that is.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// A Refused is an address that may not be reached.
type Refused struct {
	Addr netip.Addr
	What string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s is not reached: it is %s", r.Addr, r.What) }

// Check returns a *Refused for an address that may not be reached.
func (p Policy) Check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if translated.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() {
		return &Refused{a, "no address"}
	}
	if slices.ContainsFunc(p.Allowed, func(n netip.Prefix) bool { return n.Contains(a) }) {
		return nil
	}
	for _, n := range apart {
		if n.prefix.Contains(a) {
			return &Refused{a, n.what}
		}
	}
	return nil
}

// Dialer dials what Check lets pass. Names are resolved by it: each address is checked when it is dialled, so that
// no second answer of the DNS gets past.
func (p Policy) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: -1, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial %s: %w", address, err)
		}
		return p.Check(to.Addr())
	}}
}

const (
	dialTimeout = 5 * time.Second
	maxHeader   = 64 << 10
)

// ErrRedirect is why a redirect is not followed: it is an answer, to be shown.
var ErrRedirect = http.ErrUseLastResponse

// Client makes an HTTP client that reaches what Check lets pass: directly, without following redirects, on a
// connection for each call.
func (p Policy) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return ErrRedirect },
		Transport: &http.Transport{
			DialContext: p.Dialer().DialContext, TLSHandshakeTimeout: dialTimeout, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
			Proxy: nil, // one would resolve names for us, and reach what it likes
		},
	}
}

// IsRefused reports whether an error is because of an address that may not be reached.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*Refused](err)
	return ok
}
