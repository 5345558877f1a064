package fabric

import "net/netip"

// Network is what a target speaks below its own protocol.
type Network uint8

// Networks.
const (
	TCP Network = iota
	UDP
)

// String is the network's name as package net has it.
func (n Network) String() string {
	if n == UDP {
		return "udp"
	}
	return "tcp"
}

// Request asks for a stream to one target on behalf of one client. One to a UDP target carries datagrams,
// framed as Datagrams says.
type Request struct {
	Network               Network
	Target, Site, Service string
	Port                  uint16         // of a target with several ports: how far behind its first one
	Client, Local         netip.AddrPort // who asks, and which of our addresses it asked
	Kept                  bool           // for requests that come later: if the stream leads through a relay, see Forsakable

	Took *Way // where DialTarget notes what the stream leads through; nil: nobody wants to know
}

// header is what opens the stream.
func (r Request) header() Header {
	return Header{Network: r.Network, Target: r.Target, Site: r.Site, Service: r.Service, Port: r.Port, Client: r.Client, Local: r.Local, Kept: r.Kept}
}
