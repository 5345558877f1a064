package tunnel

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
)

// Transports of WireGuard's packets.
const (
	TransportUDP = "udp"
	TransportTLS = "tls"
)

// tlsPrefix marks the endpoint of a TLS connection in WireGuard's state.
const tlsPrefix = "tls:"

// tlsEndpoint is where packets come from that came in a TLS connection. WireGuard answers by the endpoint
// of the last packet that it could open: that is how an end follows the other from UDP to TLS and back.
type tlsEndpoint struct {
	link *tlsLink
	node string         // of a connector: the peer, which may have another link by now
	addr netip.AddrPort // of the connection's other end; of a node as its peer, that of its UDP
}

var _ conn.Endpoint = (*tlsEndpoint)(nil)

func (e *tlsEndpoint) ClearSrc()           {}
func (e *tlsEndpoint) SrcToString() string { return "" }
func (e *tlsEndpoint) SrcIP() netip.Addr   { return netip.Addr{} }
func (e *tlsEndpoint) DstIP() netip.Addr   { return e.addr.Addr() }
func (e *tlsEndpoint) DstToString() string { return tlsPrefix + e.addr.String() }
func (e *tlsEndpoint) DstToBytes() []byte {
	b, _ := e.addr.MarshalBinary() // never fails
	return b
}

// parseEndpoint reads an endpoint as WireGuard's state names it.
func parseEndpoint(s string) (addr netip.AddrPort, transport string, err error) {
	s, isTLS := strings.CutPrefix(s, tlsPrefix)
	transport = TransportUDP
	if isTLS {
		transport = TransportTLS
	}
	if addr, err = netip.ParseAddrPort(s); err != nil {
		return netip.AddrPort{}, "", fmt.Errorf("endpoint: %w", err)
	}
	return addr, transport, nil
}
