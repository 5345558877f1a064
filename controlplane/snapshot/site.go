package snapshot

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// site compiles how nodes reach a private network: its enrolled connectors and the nodes that these dial, or
// the nodes that stand in it, or hold its peer, and the targets that they may dial there.
func site(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Site(model.SiteID{UUID: id})
	if s == nil {
		return nil
	}
	d := &draft{name: resource.Name("site", s.Org.String(), s.ID.String())}
	msg := &nodev1.Site{
		Id: s.ID.String(), OrganizationId: s.Org.String(), Name: s.Name, RegionId: s.Region.String(), Kind: nodev1.SiteKind_SITE_KIND_CONNECTOR,
	}
	if msg.Carrier, d.err = carrier(s.Carrier); d.err != nil {
		return d
	}
	pools := []model.PoolID{s.Pool}
	for _, n := range m.Assigned(s) {
		msg.NodeIds = append(msg.NodeIds, n.ID.String())
		pools = append(pools, n.Pool) // who stands in a local site must know it, whatever its pool
	}
	switch s.Kind {
	case model.LocalSite:
		msg.Kind, msg.Targets = nodev1.SiteKind_SITE_KIND_LOCAL, targetsAt(m, s.ID)
	case model.WireGuardSite:
		msg.Kind, msg.Targets = nodev1.SiteKind_SITE_KIND_WIREGUARD, targetsAt(m, s.ID)
		if !s.PeerKey.IsZero() {
			msg.WireguardPeer = &nodev1.WireGuardPeer{PublicKey: s.PeerKey[:], OverlayAddress: model.OverlayAddress(s.ID).String()}
		}
	default:
		msg.Connectors = siteConnectors(m, s.ID)
	}
	for p := range m.PoolsUsingSite(s.ID) {
		pools = append(pools, p)
	}
	for _, p := range pools {
		d.scopes = append(d.scopes, poolScope(p))
	}
	slices.Sort(d.scopes)
	d.scopes, d.msg = slices.Compact(d.scopes), msg
	return d
}

func siteConnectors(m *model.Model, id model.SiteID) (out []*nodev1.SiteConnector) {
	for c := range m.ConnectorsOf(id) {
		if c.Enrolled() {
			out = append(out, &nodev1.SiteConnector{
				Id:                 c.ID.String(),
				Name:               c.Name,
				WireguardPublicKey: c.WireGuardKey[:],
				OverlayAddress:     model.OverlayAddress(c.ID).String(),
			})
		}
	}
	return out
}

// targetsAt are the targets that may be dialled at a site, sorted by id.
func targetsAt(m *model.Model, id model.SiteID) (out []*nodev1.ConnectorTarget) {
	for t := range m.TargetsAt(id) {
		out = append(out, connectorTarget(m, t))
	}
	return out
}

func carrier(c model.Carrier) (nodev1.Carrier, error) {
	switch c {
	case model.AutoCarrier, "":
		return nodev1.Carrier_CARRIER_UNSPECIFIED, nil
	case model.StreamCarrier:
		return nodev1.Carrier_CARRIER_STREAM, nil
	case model.WireGuardCarrier:
		return nodev1.Carrier_CARRIER_WIREGUARD, nil
	}
	return 0, fmt.Errorf("carrier %q is not known", c)
}
