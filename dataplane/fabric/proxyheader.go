package fabric

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// ProxyHeader is what a TCP target that asks for the PROXY protocol gets before all else: who its client
// is, and which of our addresses that client asked. Version is 1 or 2; for 0 it is empty.
func ProxyHeader(version int, client, local netip.AddrPort) ([]byte, error) {
	if version == 0 {
		return nil, nil
	}
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("PROXY protocol: version %d, want 1 or 2", version)
	}
	p, err := addresses(TCP, client, local)
	if err != nil {
		return nil, fmt.Errorf("PROXY protocol: %w", err)
	}
	p.Version = byte(version)
	b, err := p.Format()
	if err != nil {
		return nil, fmt.Errorf("PROXY protocol: %w", err)
	}
	return b, nil
}

// addresses is a header of version 2 with nothing but the two ends in it.
func addresses(network Network, client, local netip.AddrPort) (*proxyproto.Header, error) {
	if !client.IsValid() || !local.IsValid() {
		return nil, fmt.Errorf("client address %v, listener address %v: both are needed", client, local)
	}
	from, to := client.Addr().Unmap().WithZone(""), local.Addr().Unmap().WithZone("")
	v4 := from.Is4() && to.Is4() // a mixed pair travels as IPv4-mapped IPv6
	p := &proxyproto.Header{Version: 2, Command: proxyproto.PROXY}
	source, destination := netip.AddrPortFrom(from, client.Port()), netip.AddrPortFrom(to, local.Port())
	if network == UDP {
		p.TransportProtocol = proxyproto.UDPv6
		if v4 {
			p.TransportProtocol = proxyproto.UDPv4
		}
		p.SourceAddr, p.DestinationAddr = net.UDPAddrFromAddrPort(source), net.UDPAddrFromAddrPort(destination)
		return p, nil
	}
	p.TransportProtocol = proxyproto.TCPv6
	if v4 {
		p.TransportProtocol = proxyproto.TCPv4
	}
	p.SourceAddr, p.DestinationAddr = net.TCPAddrFromAddrPort(source), net.TCPAddrFromAddrPort(destination)
	return p, nil
}
