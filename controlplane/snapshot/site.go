package snapshot

import (
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// site compiles how nodes reach a private network: its enrolled connectors and the nodes that these
// dial.
func site(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Site(model.SiteID{UUID: id})
	if s == nil {
		return nil
	}
	d := &draft{name: resource.Name("site", s.Org.String(), s.ID.String()), scopes: []string{poolScope(s.Pool)}}
	for p := range m.PoolsUsingSite(s.ID) {
		if p != s.Pool {
			d.scopes = append(d.scopes, poolScope(p))
		}
	}
	slices.Sort(d.scopes)
	msg := &nodev1.Site{Id: s.ID.String(), OrganizationId: s.Org.String(), Name: s.Name}
	for c := range m.ConnectorsOf(s.ID) {
		if c.Enrolled() {
			msg.Connectors = append(msg.Connectors, &nodev1.SiteConnector{
				Id:                 c.ID.String(),
				Name:               c.Name,
				WireguardPublicKey: c.WireGuardKey[:],
				OverlayAddress:     model.OverlayAddress(c.ID).String(),
			})
		}
	}
	for _, n := range m.Assigned(s) {
		msg.NodeIds = append(msg.NodeIds, n.ID.String())
	}
	d.msg = msg
	return d
}
