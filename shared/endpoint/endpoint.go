// Package endpoint says where a program is reached, by an address or by a name that those who want to reach it look up.
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/warrenedge/warren/shared/hostname"
)

// Endpoint is where something is reached. The zero value is nowhere. Endpoints are comparable.
type Endpoint struct {
	// Host is a canonical hostname; empty: Addr is all there is.
	Host string
	// Addr is an address with a port. Where there is a Host it is what that was known to have, for who can't look it
	// up, and may be a port alone.
	Addr netip.AddrPort
}

// Errors of Parse.
var (
	errForm = errors.New("want address:port or name:port")
	errPort = errors.New("want a port, 1 to 65535")
)

// Parse reads address:port or name:port.
func Parse(text string) (Endpoint, error) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		if a.Port() == 0 {
			return Endpoint{}, errPort
		}
		return Endpoint{Addr: a}, nil
	}
	host, service, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return Endpoint{}, errForm
	}
	name, err := hostname.Canonical(host)
	if err != nil {
		return Endpoint{}, fmt.Errorf("%w: %q: %w", errForm, host, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, errPort
	}
	return Endpoint{Host: name, Addr: netip.AddrPortFrom(netip.Addr{}, uint16(port))}, nil
}

// MustParse is Parse for what is known to be right.
func MustParse(text string) Endpoint {
	e, err := Parse(text)
	if err != nil {
		panic("endpoint: " + text + ": " + err.Error())
	}
	return e
}

// At is an endpoint that is an address.
func At(a netip.AddrPort) Endpoint { return Endpoint{Addr: a} }

// IsZero reports whether it is nowhere.
func (e Endpoint) IsZero() bool { return e.Host == "" && !e.Addr.IsValid() }

// String is how Parse reads it; empty if it is nowhere.
func (e Endpoint) String() string {
	switch {
	case e.Host != "":
		return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Addr.Port())))
	case e.Addr.IsValid():
		return e.Addr.String()
	}
	return ""
}

// Named is what String gives of an endpoint with a name; empty for others.
func (e Endpoint) Named() string {
	if e.Host == "" {
		return ""
	}
	return e.String()
}

// Fixed is its address; empty if it is not known.
func (e Endpoint) Fixed() string {
	if !e.Addr.IsValid() {
		return ""
	}
	return e.Addr.String()
}

// Or gives an endpoint whose name has no address the one of somebody who knows.
func (e Endpoint) Or(a netip.Addr) Endpoint {
	if e.Host != "" && !e.Addr.IsValid() && a.IsValid() {
		e.Addr = netip.AddrPortFrom(a, e.Addr.Port())
	}
	return e
}
