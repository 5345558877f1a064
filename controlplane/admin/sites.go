package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
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
	Pool    string `json:"pool" minLength:"1" doc:"Pool whose nodes the connectors dial, by name or id"`
	Tunnels int    `json:"tunnels,omitempty" minimum:"1" maximum:"8" doc:"To how many nodes each connector keeps tunnels; 2 if absent"`
}

// Site is one private network.
type Site struct {
	OrgMeta
	Pool    string `json:"pool"`
	Tunnels int    `json:"tunnels"`
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
		a: a, kind: "site", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
		byRef: siteByRef,
		list:  func(c *call, p store.Page) ([]*model.Site, error) { return c.tx.ListSites(c, c.org, p) },
		after: func(v *model.Site) string { return v.Name },
		build: func(c *call, old *model.Site, name string, s SiteSpec) (*model.Site, error) {
			v := &model.Site{ID: model.SiteID{}.New(), Org: c.org, Name: name}
			if old != nil {
				*v = *old
			}
			p, err := c.pool("pool", s.Pool)
			if err != nil {
				return nil, err
			}
			v.Pool = p.ID
			if v.Tunnels = s.Tunnels; v.Tunnels == 0 {
				v.Tunnels = model.DefaultTunnels
			}
			return v, v.Validate()
		},
		create: func(c *call, v *model.Site) error { return c.tx.CreateSite(c, v) },
		update: func(c *call, v *model.Site) (bool, error) { return c.tx.UpdateSite(c, v) },
		drop:   func(c *call, v *model.Site) error { return c.tx.DeleteSite(c, v.ID) },
		view: func(c *call, v *model.Site) (out Site, err error) {
			out.Tunnels = v.Tunnels
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			out.Pool, err = c.poolName(v.Pool)
			return out, err
		},
	}
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
		a: a, kind: "connector", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
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
			v.Site = site.ID
			return v, v.Validate()
		},
		create: func(c *call, v *model.Connector) error { return c.tx.CreateConnector(c, v) },
		update: func(c *call, v *model.Connector) (bool, error) { return c.tx.UpdateConnector(c, v) },
		drop:   func(c *call, v *model.Connector) error { return c.tx.DeleteConnector(c, v.ID) },
		view: func(c *call, v *model.Connector) (out Connector, err error) {
			out.Enrolled, out.RevokedAt = v.Enrolled(), when(v.Revoked)
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
	return a.Connectors.change(ctx, p, org, ref, func(c *call, v *model.Connector) error {
		if v.Revoked.IsZero() {
			v.Revoked = time.Now().UTC().Truncate(time.Microsecond)
		}
		return c.tx.VoidJoinTokens(c, model.NodeID{}, v.ID)
	})
}
