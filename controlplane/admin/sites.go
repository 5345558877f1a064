package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
)

func itoa(i int) string { return strconv.Itoa(i) }

// OrgMeta is Meta of what belongs to an organization.
type OrgMeta struct {
	Meta
	Organization string `json:"organization" readOnly:"true"`
}

func (c *call) orgMeta(id, name string, org model.OrgID, m model.Meta) (OrgMeta, error) {
	o, err := c.orgName(org)
	return OrgMeta{meta(id, name, m), o}, err
}

// SiteSpec is what is written of a site.
type SiteSpec struct {
	Pool    string   `json:"pool" minLength:"1" doc:"Pool whose nodes the connectors or the WireGuard peer dial, or that may relay to a local site, by name or id"`
	Tunnels int      `json:"tunnels,omitempty" minimum:"1" maximum:"8" doc:"To how many nodes each connector, or the WireGuard peer, keeps tunnels; 3 if absent"`
	Kind    string   `json:"kind,omitempty" enum:"connector,local,wireguard" doc:"connector: reached through connectors; local: the network of nodes, which dial the targets themselves; wireguard: one stock WireGuard device, such as a router; connector if absent"`
	Carrier string   `json:"carrier,omitempty" enum:"auto,stream,wireguard" doc:"Over what TCP goes: TLS connections, the WireGuard tunnel, or what measures best; auto if absent"`
	Region  string   `json:"region,omitempty" doc:"Region that the site stands in, by name or id: its nodes are preferred"`
	Nodes   []string `json:"nodes,omitempty" maxItems:"64" doc:"Of a local site: the nodes that stand in its network, by name or id. It takes the permission local-sites:write"`

	WireGuardKey string `json:"wireguard_public_key,omitempty" maxLength:"64" doc:"Of a wireguard site: public key of the device, in base64. If absent it stays what it is: one is made by the action wireguard/rotate"`

	Publish *Publish `json:"publish,omitempty" doc:"Of a connector site: what its connectors may publish of their own accord, by labels of containers; nothing if absent. It takes the permissions to write services and targets"`
}

// Site is one private network.
type Site struct {
	OrgMeta
	Pool    string   `json:"pool"`
	Tunnels int      `json:"tunnels"`
	Kind    string   `json:"kind" enum:"connector,local,wireguard"`
	Carrier string   `json:"carrier" enum:"auto,stream,wireguard"`
	Region  string   `json:"region,omitempty"`
	Nodes   []string `json:"nodes,omitempty" doc:"Of a local site, for those who may see nodes"`

	WireGuardKey string `json:"wireguard_public_key,omitempty" doc:"Of a wireguard site: public key of its device; absent while it has none"`
	Address      string `json:"address,omitempty" readOnly:"true" doc:"Of a wireguard site: the address of its device in the tunnels, which all its targets have"`

	Publish   *Publish   `json:"publish,omitempty" doc:"What its connectors may publish by labels of containers; absent: nothing"`
	Published *Published `json:"published,omitempty" readOnly:"true" doc:"What became of what labels ask for; absent: none has asked for anything"`

	Health *HealthSummary `json:"health,omitempty" readOnly:"true" doc:"How the way into it is now; …/health says it of each hop"`
}

func siteByRef(c *call, ref string) (*model.Site, error) {
	if id, err := (model.SiteID{}).Parse(ref); err == nil {
		s, err := c.tx.GetSite(c, id)
		if err == nil && s.Org != c.org {
			return nil, notHere("site")
		}
		return s, err
	}
	return c.tx.GetSiteByName(c, c.org, ref)
}

func sites(a *Admin) *Collection[model.Site, SiteSpec, Site] {
	return &Collection[model.Site, SiteSpec, Site]{
		a: a, kind: "site", inOrg: true, read: access.SitesRead, write: access.SitesWrite,
		byRef:  siteByRef,
		list:   func(c *call, p store.Page) ([]*model.Site, error) { return c.tx.ListSites(c, c.org, p) },
		after:  func(v *model.Site) string { return v.Name },
		build:  buildSite,
		create: func(c *call, v *model.Site) error { return c.tx.CreateSite(c, v) },
		update: updateSite,
		drop:   func(c *call, v *model.Site) error { return c.tx.DeleteSite(c, v.ID) },
		view:   viewSite,
	}
}

func updateSite(c *call, v *model.Site) (bool, error) {
	old, err := c.tx.GetSite(c, v.ID)
	if err != nil {
		return false, err
	}
	changed, err := c.tx.UpdateSite(c, v)
	if err != nil || !publishes(old, v) {
		return changed, err
	}
	_, err = c.reconcile(v.ID)
	return changed, err
}

func buildSite(c *call, old *model.Site, name string, s SiteSpec) (*model.Site, error) {
	v := &model.Site{ID: model.SiteID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
	}
	v.Tunnels = cmp.Or(s.Tunnels, model.DefaultTunnels)
	v.Kind, v.Carrier = cmp.Or(model.SiteKind(s.Kind), model.ConnectorSite), cmp.Or(model.Carrier(s.Carrier), model.AutoCarrier)
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Pool = p.ID
	if v.Region, err = c.region("region", s.Region); err != nil {
		return nil, err
	}
	if v.Kind == model.LocalSite || len(s.Nodes) > 0 || old != nil && old.Kind == model.LocalSite {
		// Whoever writes targets there reaches all that the nodes reach.
		if !c.p.Can(access.LocalSitesWrite, model.OrgID{}) {
			return nil, fault.New(fault.Denied, "a local site opens the network of nodes: this needs the permission %s", access.LocalSitesWrite)
		}
	}
	if v.Nodes, err = c.standing(s.Nodes); err != nil {
		return nil, err
	}
	if s.WireGuardKey != "" { // else the one that is there stays: who applies a file need not know it
		if v.PeerKey, err = peerKey("wireguard_public_key", s.WireGuardKey); err != nil {
			return nil, err
		}
	}
	if err := c.sitePublishes(v, old, s.Publish); err != nil {
		return nil, err
	}
	if err := v.Validate(); err != nil || old == nil {
		return v, err
	}
	if err := model.CheckSiteChange(old, v); err != nil || v.Kind != model.LocalSite {
		return v, err
	}
	if err := c.tx.LockSite(c, v.ID); err != nil {
		return nil, err
	}
	connectors, err := c.tx.ListConnectorsOfSite(c, v.ID)
	if err != nil {
		return nil, err
	}
	return v, model.CheckSiteKind(v, connectors)
}

// standing finds the nodes of a local site, and keeps them from being removed meanwhile.
func (c *call) standing(refs []string) ([]model.NodeID, error) {
	var out []model.NodeID
	for i, ref := range refs {
		field := "nodes[" + itoa(i) + "]"
		n, err := nodeByRef(c, ref)
		if err != nil {
			return nil, missing(field, ref, err)
		}
		if err := c.tx.ShareNode(c, n.ID); err != nil {
			return nil, err
		}
		if _, err := c.tx.GetNode(c, n.ID); err != nil {
			return nil, missing(field, ref, err)
		}
		if slices.Contains(out, n.ID) {
			return nil, fault.Field(field, "%s is there twice", n.Name)
		}
		out = append(out, n.ID)
	}
	slices.SortFunc(out, model.NodeID.Compare)
	return out, nil
}

func viewSite(c *call, v *model.Site) (out Site, err error) {
	out.Tunnels, out.Kind, out.Carrier = v.Tunnels, string(v.Kind), string(v.Carrier)
	out.Publish = viewPublish(v.Publish)
	if out.Published, err = c.published(v.ID); err != nil {
		return out, err
	}
	if v.Kind == model.WireGuardSite {
		out.Address = model.OverlayAddress(v.ID).String()
		if !v.PeerKey.IsZero() {
			out.WireGuardKey = v.PeerKey.String()
		}
	}
	if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
		return out, err
	}
	if out.Region, err = c.regionName(v.Region); err != nil {
		return out, err
	}
	if c.p.Can(access.NodesRead, model.OrgID{}) {
		for _, id := range v.Nodes {
			n, err := c.nodeName(id)
			if err != nil {
				return out, err
			}
			out.Nodes = append(out.Nodes, n)
		}
	}
	out.Health = c.siteHealth(v)
	out.Pool, err = c.poolName(v.Pool)
	return out, err
}

// ConnectorSpec is what is written of a connector.
type ConnectorSpec struct {
	Site string `json:"site" minLength:"1" doc:"Site that the connector stands in, by name or id"`
}

// Connector is the agent in a site.
type Connector struct {
	OrgMeta
	Site      string     `json:"site"`
	Enrolled  bool       `json:"enrolled" doc:"It has joined, and is trusted"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	Alarm     string     `json:"alarm,omitempty" readOnly:"true" enum:"copied" doc:"copied: several processes use its identity, because its state directory was copied; the status says more"`
}

func connectorByRef(c *call, ref string) (*model.Connector, error) {
	if id, err := (model.ConnectorID{}).Parse(ref); err == nil {
		v, err := c.tx.GetConnector(c, id)
		if err == nil && v.Org != c.org {
			return nil, notHere("connector")
		}
		return v, err
	}
	return c.tx.GetConnectorByName(c, c.org, ref)
}

func connectors(a *Admin) *Collection[model.Connector, ConnectorSpec, Connector] {
	return &Collection[model.Connector, ConnectorSpec, Connector]{
		a: a, kind: "connector", inOrg: true, read: access.ConnectorsRead, write: access.ConnectorsWrite,
		byRef: connectorByRef,
		list:  func(c *call, p store.Page) ([]*model.Connector, error) { return c.tx.ListConnectors(c, c.org, p) },
		after: func(v *model.Connector) string { return v.Name },
		build: func(c *call, old *model.Connector, name string, s ConnectorSpec) (*model.Connector, error) {
			v := &model.Connector{ID: model.ConnectorID{}.New(), Org: c.org, Name: name}
			if old != nil {
				*v = *old
			}
			site, err := c.site("site", s.Site)
			if err != nil {
				return nil, err
			}
			if err := c.tx.ShareSite(c, site.ID); err != nil { // its kind stays what it is
				return nil, err
			}
			if site, err = c.tx.GetSite(c, site.ID); err != nil {
				return nil, missing("site", s.Site, err)
			}
			if err := model.CheckConnector(site); err != nil {
				return nil, err
			}
			v.Site = site.ID
			return v, v.Validate()
		},
		create: func(c *call, v *model.Connector) error { return c.tx.CreateConnector(c, v) },
		update: func(c *call, v *model.Connector) (bool, error) {
			old, err := c.tx.GetConnector(c, v.ID)
			if err == nil && old.Site != v.Site { // it says anew what containers there are
				err = c.withdraw(old)
			}
			if err != nil {
				return false, err
			}
			return c.tx.UpdateConnector(c, v)
		},
		drop: func(c *call, v *model.Connector) error {
			if err := c.withdraw(v); err != nil {
				return err
			}
			return c.tx.DeleteConnector(c, v.ID)
		},
		view: func(c *call, v *model.Connector) (out Connector, err error) {
			out.Enrolled, out.RevokedAt, out.Alarm = v.Enrolled(), when(v.Revoked), a.alarm(identity.Connector, v.ID.String(), v.Revoked)
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			out.Site, err = c.siteName(v.Site)
			return out, err
		},
	}
}

// RevokeConnector trusts a connector no more, for good.
func (a *Admin) RevokeConnector(ctx context.Context, p access.Principal, org, ref string) (Connector, model.Revision, error) {
	return a.Connectors.change(ctx, p, org, ref, "revoke", access.ConnectorsRevoke, func(c *call, v *model.Connector) error {
		if v.Revoked.IsZero() {
			v.Revoked = time.Now().UTC().Truncate(time.Microsecond)
		}
		if err := c.withdraw(v); err != nil {
			return err
		}
		return c.tx.VoidJoinTokens(c, model.NodeID{}, v.ID)
	})
}
