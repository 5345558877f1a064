package snapshot

import (
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// connectorConfig compiles all that the connectors of a site may do. It has every target of the site:
// what a connector may dial is one list that it replaces as a whole.
func connectorConfig(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Site(model.SiteID{UUID: id})
	if s == nil || s.Kind == model.LocalSite || s.Kind == model.WireGuardSite {
		return nil
	}
	d := &draft{name: resource.Name("connectorconfig", s.Org.String(), s.ID.String()), scopes: []string{siteScope(s.ID)}}
	msg := &nodev1.ConnectorConfig{SiteId: s.ID.String(), OrganizationId: s.Org.String(), SiteName: s.Name, RegionId: s.Region.String()}
	if msg.Carrier, d.err = carrier(s.Carrier); d.err != nil {
		return d
	}
	for _, n := range m.Assigned(s) {
		msg.Nodes = append(msg.Nodes, &nodev1.ConnectorPeer{
			NodeId:             n.ID.String(),
			Name:               n.Name,
			WireguardPublicKey: n.WireGuardKey[:],
			WireguardEndpoint:  n.WireGuard().Fixed(),
			OverlayAddress:     model.OverlayAddress(n.ID).String(),
			StreamEndpoint:     n.Stream().Fixed(),
			RegionId:           n.Region.String(),
			WireguardName:      n.WireGuard().Named(),
			StreamName:         n.Stream().Named(),
		})
	}
	msg.Targets = targetsAt(m, s.ID)
	for c := range m.ConnectorsOf(s.ID) {
		if c.Enrolled() {
			msg.Connectors = append(msg.Connectors, &nodev1.ConnectorAddress{
				ConnectorId:    c.ID.String(),
				OverlayAddress: model.OverlayAddress(c.ID).String(),
			})
		}
	}
	d.msg = msg
	return d
}
