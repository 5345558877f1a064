package fabric

import "net/netip"

// Overlay is the prefix of all addresses inside the tunnels. It is the same in every cluster: overlays of
// different clusters never meet.
var Overlay = netip.MustParsePrefix("fd57:6172:7265::/48")

// Ports on overlay addresses. The tunnel's packet filter lets nothing else in.
const (
	ConnectorPort = 7100 // of a connector: streams to its targets
	RelayPort     = 7101 // of a node: streams that another node asks it to pass on
	HeartbeatPort = 7102 // UDP, of both: see package liveness
)
