package model

import "strconv"

// HostPort is where browsers and other clients of TLS reach a service: its hostname, with the port where the nodes of
// its pool take TLS if that is not the one of https. Nodes that don't agree about it say nothing.
func (m *Model) HostPort(s *Service) string {
	port, agreed := uint16(0), true
	for n := range m.NodesOf(s.Pool) {
		if at := n.Stream(); n.Enrolled() && !at.IsZero() {
			agreed = agreed && (port == 0 || port == at.Addr.Port())
			port = at.Addr.Port()
		}
	}
	if !agreed || port == 0 || port == StreamPort {
		return s.Hostname
	}
	return s.Hostname + ":" + strconv.Itoa(int(port))
}
