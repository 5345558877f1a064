// Package forwarded finds who is at the other end of a request that came by proxies which are trusted.
package forwarded

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// field is what each proxy appends its client to.
const field = "X-Forwarded-For"

// Handler gives requests that come from a trusted proxy the address of the client that it names. Others keep their own,
// whatever they say.
func Handler(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil {
			if c := Client(at.Addr(), r.Header[field], trusted); c != at.Addr() {
				r = r.Clone(r.Context())
				r.RemoteAddr = net.JoinHostPort(c.String(), "0") // the port is not told
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Client reads the fields from the right, where the proxy that we see has written, through those that are trusted. The first
// that is not is the client; what stands left of it is what he says himself. An entry that is no address ends the way: then
// the client is the proxy that has written it.
func Client(peer netip.Addr, fields []string, trusted []netip.Prefix) netip.Addr {
	client := plain(peer)
	hops := strings.Split(strings.Join(fields, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			return client
		}
		next, ok := address(strings.Trim(hop, " \t"))
		if !ok {
			return client
		}
		client = next
	}
	return client
}

// address reads an entry: an address, of some proxies with a port.
func address(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return plain(a), true
	}
	at, err := netip.ParseAddrPort(s)
	return plain(at.Addr()), err == nil
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
