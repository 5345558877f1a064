package store

import (
	"cmp"
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateSite adds a row; its ID is the caller's to make.
func (t *Tx) CreateSite(ctx context.Context, v *model.Site) error {
	publish, err := publishDocument(v.Publish)
	if err != nil {
		return err
	}
	return classify(t.q.InsertSite(ctx, db.InsertSiteParams{
		ID:                 v.ID.UUID,
		OrgID:              v.Org.UUID,
		Name:               v.Name,
		PoolID:             v.Pool.UUID,
		Tunnels:            int32(v.Tunnels),
		Kind:               string(cmp.Or(v.Kind, model.ConnectorSite)),
		Carrier:            string(cmp.Or(v.Carrier, model.AutoCarrier)),
		RegionID:           nullID(v.Region.UUID),
		NodeIds:            uuids(v.Nodes),
		WireguardPublicKey: keyBytes(v.PeerKey),
		Publish:            publish,
	}), "create site")
}

// UpdateSite writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateSite(ctx context.Context, v *model.Site) (changed bool, err error) {
	old, err := t.GetSite(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Kind, same.Carrier = cmp.Or(v.Kind, model.ConnectorSite), cmp.Or(v.Carrier, model.AutoCarrier)
	same.Nodes = orNil(v.Nodes)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	publish, err := publishDocument(v.Publish)
	if err != nil {
		return false, err
	}
	n, err := t.q.UpdateSite(ctx, db.UpdateSiteParams{
		ID:                 v.ID.UUID,
		OrgID:              v.Org.UUID,
		Name:               v.Name,
		PoolID:             v.Pool.UUID,
		Tunnels:            int32(v.Tunnels),
		Kind:               string(cmp.Or(v.Kind, model.ConnectorSite)),
		Carrier:            string(cmp.Or(v.Carrier, model.AutoCarrier)),
		RegionID:           nullID(v.Region.UUID),
		NodeIds:            uuids(v.Nodes),
		WireguardPublicKey: keyBytes(v.PeerKey),
		Publish:            publish,
	})
	return true, affected(n, err, "update site")
}

// DeleteSite removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteSite(ctx context.Context, id model.SiteID) error {
	n, err := t.q.DeleteSite(ctx, id.UUID)
	return affected(n, err, "delete site")
}

// GetSite returns a row by its ID.
func (t *Tx) GetSite(ctx context.Context, id model.SiteID) (*model.Site, error) {
	r, err := t.q.GetSite(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "site")
	}
	return site(r), nil
}

// GetSiteByName returns a row by its name in an organization.
func (t *Tx) GetSiteByName(ctx context.Context, org model.OrgID, name string) (*model.Site, error) {
	r, err := t.q.GetSiteByName(ctx, db.GetSiteByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "site")
	}
	return site(r), nil
}

// ListSites returns a page of rows ordered by name.
func (t *Tx) ListSites(ctx context.Context, org model.OrgID, page Page) ([]*model.Site, error) {
	rows, err := t.q.ListSites(ctx, db.ListSitesParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, site), classify(err, "list sites")
}

func site(r db.Site) *model.Site {
	return &model.Site{
		ID:      model.SiteID{UUID: r.ID},
		Org:     model.OrgID{UUID: r.OrgID},
		Name:    r.Name,
		Pool:    model.PoolID{UUID: r.PoolID},
		Tunnels: int(r.Tunnels),
		Kind:    model.SiteKind(r.Kind),
		Carrier: model.Carrier(r.Carrier),
		Region:  model.RegionID{UUID: idOrZero(r.RegionID)},
		Nodes:   nodeIDs(r.NodeIds),
		PeerKey: publicKey(r.WireguardPublicKey),
		Publish: publish(r.Publish),
		Meta:    model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
