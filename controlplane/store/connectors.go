package store

import (
	"context"
	"reflect"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateConnector adds a row; its ID is the caller's to make.
func (t *Tx) CreateConnector(ctx context.Context, v *model.Connector) error {
	return classify(t.q.InsertConnector(ctx, db.InsertConnectorParams{
		ID:                 v.ID.UUID,
		OrgID:              v.Org.UUID,
		SiteID:             v.Site.UUID,
		Name:               v.Name,
		WireguardPublicKey: keyBytes(v.WireGuardKey),
		RevokedAt:          nullTime(v.Revoked),
	}), "create connector")
}

// UpdateConnector writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateConnector(ctx context.Context, v *model.Connector) (changed bool, err error) {
	old, err := t.GetConnector(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Revoked = stored(v.Revoked)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateConnector(ctx, db.UpdateConnectorParams{
		ID:                 v.ID.UUID,
		OrgID:              v.Org.UUID,
		SiteID:             v.Site.UUID,
		Name:               v.Name,
		WireguardPublicKey: keyBytes(v.WireGuardKey),
		RevokedAt:          nullTime(v.Revoked),
	})
	return true, affected(n, err, "update connector")
}

// DeleteConnector removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteConnector(ctx context.Context, id model.ConnectorID) error {
	n, err := t.q.DeleteConnector(ctx, id.UUID)
	return affected(n, err, "delete connector")
}

// GetConnector returns a row by its ID.
func (t *Tx) GetConnector(ctx context.Context, id model.ConnectorID) (*model.Connector, error) {
	r, err := t.q.GetConnector(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "connector")
	}
	return connector(r), nil
}

// GetConnectorByName returns a row by its name in an organization.
func (t *Tx) GetConnectorByName(ctx context.Context, org model.OrgID, name string) (*model.Connector, error) {
	r, err := t.q.GetConnectorByName(ctx, db.GetConnectorByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "connector")
	}
	return connector(r), nil
}

// ListConnectors returns a page of rows ordered by name.
func (t *Tx) ListConnectors(ctx context.Context, org model.OrgID, page Page) ([]*model.Connector, error) {
	rows, err := t.q.ListConnectors(ctx, db.ListConnectorsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, connector), classify(err, "list connectors")
}

func connector(r db.Connector) *model.Connector {
	return &model.Connector{
		ID:           model.ConnectorID{UUID: r.ID},
		Org:          model.OrgID{UUID: r.OrgID},
		Site:         model.SiteID{UUID: r.SiteID},
		Name:         r.Name,
		WireGuardKey: publicKey(r.WireguardPublicKey),
		Revoked:      timeOrZero(r.RevokedAt),
		Meta:         model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
