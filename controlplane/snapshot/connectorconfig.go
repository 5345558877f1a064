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
	if s == nil {
		return nil
	}
	msg := &nodev1.ConnectorConfig{SiteId: s.ID.String(), OrganizationId: s.Org.String(), SiteName: s.Name}
	for _, n := range m.Assigned(s) {
		msg.Nodes = append(msg.Nodes, &nodev1.ConnectorPeer{
			NodeId:             n.ID.String(),
			Name:               n.Name,
			WireguardPublicKey: n.WireGuardKey[:],
			WireguardEndpoint:  endpoint(n),
			OverlayAddress:     model.OverlayAddress(n.ID).String(),
		})
	}
	for t := range m.TargetsAt(s.ID) {
		msg.Targets = append(msg.Targets, &nodev1.ConnectorTarget{Id: t.ID.String(), Address: t.Address, Port: uint32(t.Port)})
	}
	for c := range m.ConnectorsOf(s.ID) {
		if c.Enrolled() {
			msg.Connectors = append(msg.Connectors, &nodev1.ConnectorAddress{
				ConnectorId:    c.ID.String(),
				OverlayAddress: model.OverlayAddress(c.ID).String(),
			})
		}
	}
	return &draft{
		name:   resource.Name("connectorconfig", s.Org.String(), s.ID.String()),
		scopes: []string{siteScope(s.ID)},
		msg:    msg,
	}
}
