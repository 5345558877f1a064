package l4

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/terminate"
)

// Config is everything a Server should do, whole.
type Config struct {
	Forwards []Forward
	Names    []Name
}

// Forward is a service with ports of its own. Port p goes to the target's port p - FirstPort behind its first.
type Forward struct {
	Service             string          // id
	Tenant              *inbound.Tenant // that its clients are counted for; nil: nobody
	Network             fabric.Network
	FirstPort, LastPort uint16
	Allow               []netip.Prefix // of clients; empty: everybody
	// Admit says whether a client may come, beside Allow; nil: every one. It is asked again about those who are there when
	// Apply brings a Forward.
	Admit         func(client netip.Addr) bool
	ProxyProtocol int // version that targets are sent: 0 (none), 1 or 2; not for UDP
	Targets       []balance.Target
}

// Name is a service that is reached by a hostname at the node's TLS port, where its TLS ends.
type Name struct {
	Service       string             // id
	Hostname      string             // canonical; may start with "*."
	Certificates  []*tls.Certificate // with keys of different types
	ProxyProtocol int                // version that targets are sent: 0 (none), 1 or 2
	Targets       []balance.Target

	Clients *terminate.Clients                                      // whose certificates they are asked for
	Admit   func(client netip.Addr, shown []*x509.Certificate) bool // nil: everybody
}

// ForwardError is about the ports of one service that can't be served. Its other ports, and all other
// services, are.
type ForwardError struct {
	Service string // id
	Err     error
}

func (e *ForwardError) Error() string { return fmt.Sprintf("service %s: %v", e.Service, e.Err) }

// Unwrap gives the cause.
func (e *ForwardError) Unwrap() error { return e.Err }

// check says what of a Forward makes no sense.
func (f *Forward) check() error {
	switch {
	case f.FirstPort == 0:
		return errors.New("first port: 0, want 1 to 65535")
	case f.LastPort < f.FirstPort:
		return fmt.Errorf("last port: %d is below the first one, %d", f.LastPort, f.FirstPort)
	case f.ProxyProtocol < 0 || f.ProxyProtocol > 2:
		return fmt.Errorf("proxy protocol: version %d, want 0, 1 or 2", f.ProxyProtocol)
	case f.ProxyProtocol > 0 && f.Network == fabric.UDP:
		return fmt.Errorf("proxy protocol: version %d can't be sent to UDP targets", f.ProxyProtocol)
	}
	return nil
}

// ports gives the keys of all ports of a Forward.
func (f *Forward) ports() []key {
	keys := make([]key, 0, int(f.LastPort)-int(f.FirstPort)+1)
	for p := int(f.FirstPort); p <= int(f.LastPort); p++ {
		keys = append(keys, key{f.Network, uint16(p)})
	}
	return keys
}

// key names a port.
type key struct {
	network fabric.Network
	port    uint16
}

func (k key) String() string { return fmt.Sprintf("%s port %d", k.network, k.port) }

// forward is what Apply makes of a Forward. It is never written to.
type forward struct {
	Forward
	group *balance.Group
}

func newForward(f Forward, health *balance.Health) *forward {
	out := &forward{Forward: f, group: balance.NewGroup(f.Targets, health)}
	out.Allow = make([]netip.Prefix, len(f.Allow))
	for i, p := range f.Allow {
		out.Allow[i] = unmap(p)
	}
	return out
}

// unmap makes the IPv4 prefix of one of IPv4-mapped addresses, which are IPv4 clients here.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// allows reports whether a client may use the service.
func (f *forward) allows(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	if len(f.Allow) > 0 && !slices.ContainsFunc(f.Allow, func(p netip.Prefix) bool { return p.Contains(client) }) {
		return false
	}
	return f.Admit == nil || f.Admit(client)
}

// leadsTo reports whether a target is one of the service's.
func (f *forward) leadsTo(target string) bool {
	return slices.ContainsFunc(f.Targets, func(t balance.Target) bool { return t.ID == target })
}

// request is what to ask for a client of a port.
func (f *forward) request(k key, client, local netip.AddrPort) fabric.Request {
	return fabric.Request{Network: f.Network, Service: f.Service, Port: k.port - f.FirstPort, Client: client, Local: local}
}
