package apply

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

type site struct {
	id         string
	connectors []end
	nodes      []string
	carrier    string // to prefer; empty: by measurement
	region     string
	local      bool                        // the nodes stand in its network
	stock      bool                        // it is a WireGuard peer that knows nothing of us
	peer       *end                        // of a stock one; nil: it has no key yet
	targets    map[string]connector.Target // of a local or stock one
	checks     []health.Target             // of these
}

// end is the far end of a tunnel.
type end struct {
	id       string
	key      wgkey.Public
	endpoint endpoint.Endpoint
	stream   endpoint.Endpoint // of a node: its TLS port; zero: not known, streams go inside the tunnel
	addr     netip.Addr
}

type connectorConfig struct {
	site    string
	nodes   []end
	targets map[string]connector.Target
	checks  []health.Target
	own     map[string]netip.Addr // connector id to overlay address
}

func decodeSite(m *nodev1.Site) (site, error) {
	s := site{id: m.GetId(), nodes: slices.Clone(m.GetNodeIds()), carrier: carrier(m.GetCarrier()), region: m.GetRegionId()}
	errs := []error{required("id", s.id)}
	for i, c := range m.GetConnectors() {
		at := fmt.Sprintf("connectors[%d].", i)
		e := end{id: c.GetId()}
		var kerr, aerr error
		e.key, kerr = key(at+"wireguard_public_key", c.GetWireguardPublicKey())
		e.addr, aerr = overlay(at+"overlay_address", c.GetOverlayAddress())
		errs = append(errs, required(at+"id", e.id), kerr, aerr)
		s.connectors = append(s.connectors, e)
	}
	switch m.GetKind() {
	case nodev1.SiteKind_SITE_KIND_UNSPECIFIED, nodev1.SiteKind_SITE_KIND_CONNECTOR:
	case nodev1.SiteKind_SITE_KIND_LOCAL:
		var err error
		s.local = true
		s.targets, s.checks, err = decodeTargets(m.GetTargets())
		errs = append(errs, err)
	case nodev1.SiteKind_SITE_KIND_WIREGUARD:
		var err, perr error
		s.stock = true
		s.targets, s.checks, err = decodeTargets(m.GetTargets())
		s.peer, perr = decodePeer(s.id, m.GetWireguardPeer())
		errs = append(errs, err, perr)
	default:
		errs = append(errs, fmt.Errorf("kind: %v is not known here", m.GetKind()))
	}
	return s, errors.Join(errs...)
}

// decodePeer makes the peer that a site is; nil if there is none yet.
func decodePeer(site string, m *nodev1.WireGuardPeer) (*end, error) {
	if m == nil {
		return nil, nil
	}
	k, kerr := key("wireguard_peer.public_key", m.GetPublicKey())
	addr, aerr := overlay("wireguard_peer.overlay_address", m.GetOverlayAddress())
	return &end{id: site, key: k, addr: addr}, errors.Join(kerr, aerr)
}

// carrier is the name of a carrier; a later version's is none.
func carrier(c nodev1.Carrier) string {
	switch c {
	case nodev1.Carrier_CARRIER_STREAM:
		return fabric.CarrierStream
	case nodev1.Carrier_CARRIER_WIREGUARD:
		return fabric.CarrierWireGuard
	}
	return ""
}

func decodeConnectorConfig(m *nodev1.ConnectorConfig) (connectorConfig, error) {
	c := connectorConfig{site: m.GetSiteId(), own: map[string]netip.Addr{}}
	errs := []error{required("site_id", c.site)}
	for i, n := range m.GetNodes() {
		at := fmt.Sprintf("nodes[%d].", i)
		e := end{id: n.GetNodeId()}
		var kerr, eerr, serr, aerr error
		e.key, kerr = key(at+"wireguard_public_key", n.GetWireguardPublicKey())
		e.endpoint, eerr = reached(at+"wireguard", n.GetWireguardEndpoint(), n.GetWireguardName())
		e.stream, serr = reached(at+"stream", n.GetStreamEndpoint(), n.GetStreamName())
		e.addr, aerr = overlay(at+"overlay_address", n.GetOverlayAddress())
		errs = append(errs, required(at+"node_id", e.id), kerr, eerr, serr, aerr)
		c.nodes = append(c.nodes, e)
	}
	var err error
	c.targets, c.checks, err = decodeTargets(m.GetTargets())
	errs = append(errs, err)
	for i, a := range m.GetConnectors() {
		addr, err := overlay(fmt.Sprintf("connectors[%d].overlay_address", i), a.GetOverlayAddress())
		errs = append(errs, err)
		c.own[a.GetConnectorId()] = addr
	}
	return c, errors.Join(errs...)
}
