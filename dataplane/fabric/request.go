package fabric

import "net/netip"

// Request asks for a stream to one target on behalf of one client.
type Request struct {
	Target, Site, Service string
	Client, Local         netip.AddrPort // who asks, and which of our addresses it asked
}
