package store

import (
	"context"
	"net/netip"
	"reflect"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateService adds a row; its ID is the caller's to make.
func (t *Tx) CreateService(ctx context.Context, v *model.Service) error {
	delivery, maintenance, err := deliveryDocuments(v)
	if err != nil {
		return err
	}
	return classify(t.q.InsertService(ctx, db.InsertServiceParams{
		ID:            v.ID.UUID,
		OrgID:         v.Org.UUID,
		Name:          v.Name,
		Kind:          string(v.Kind),
		Hostname:      v.Hostname,
		PoolID:        v.Pool.UUID,
		FirstPort:     int32(v.Ports.First),
		LastPort:      int32(v.Ports.Last),
		Allow:         networks(v.Allow),
		ProxyProtocol: int32(v.ProxyProtocol),
		Terminate:     v.Terminate,
		PolicyID:      nullID(v.Policy.UUID),
		Delivery:      delivery,
		Maintenance:   maintenance,
	}), "create service")
}

// UpdateService writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateService(ctx context.Context, v *model.Service) (changed bool, err error) {
	old, err := t.GetService(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	delivery, maintenance, err := deliveryDocuments(v)
	if err != nil {
		return false, err
	}
	n, err := t.q.UpdateService(ctx, db.UpdateServiceParams{
		ID:            v.ID.UUID,
		OrgID:         v.Org.UUID,
		Name:          v.Name,
		Kind:          string(v.Kind),
		Hostname:      v.Hostname,
		PoolID:        v.Pool.UUID,
		FirstPort:     int32(v.Ports.First),
		LastPort:      int32(v.Ports.Last),
		Allow:         networks(v.Allow),
		ProxyProtocol: int32(v.ProxyProtocol),
		Terminate:     v.Terminate,
		PolicyID:      nullID(v.Policy.UUID),
		Delivery:      delivery,
		Maintenance:   maintenance,
	})
	return true, affected(n, err, "update service")
}

// DeleteService removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteService(ctx context.Context, id model.ServiceID) error {
	n, err := t.q.DeleteService(ctx, id.UUID)
	return affected(n, err, "delete service")
}

// GetService returns a row by its ID.
func (t *Tx) GetService(ctx context.Context, id model.ServiceID) (*model.Service, error) {
	r, err := t.q.GetService(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "service")
	}
	return service(r), nil
}

// GetServiceByName returns a row by its name in an organization.
func (t *Tx) GetServiceByName(ctx context.Context, org model.OrgID, name string) (*model.Service, error) {
	r, err := t.q.GetServiceByName(ctx, db.GetServiceByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "service")
	}
	return service(r), nil
}

// ListServices returns a page of rows ordered by name.
func (t *Tx) ListServices(ctx context.Context, org model.OrgID, page Page) ([]*model.Service, error) {
	rows, err := t.q.ListServices(ctx, db.ListServicesParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, service), classify(err, "list services")
}

func service(r db.Service) *model.Service {
	return &model.Service{
		ID:            model.ServiceID{UUID: r.ID},
		Org:           model.OrgID{UUID: r.OrgID},
		Name:          r.Name,
		Kind:          model.ServiceKind(r.Kind),
		Hostname:      r.Hostname,
		Pool:          model.PoolID{UUID: r.PoolID},
		Ports:         model.Ports{First: uint16(r.FirstPort), Last: uint16(r.LastPort)},
		Allow:         slices.Clip(slices.SortedFunc(slices.Values(r.Allow), model.ComparePrefix)),
		ProxyProtocol: int(r.ProxyProtocol),
		Terminate:     r.Terminate,
		Policy:        model.PolicyID{UUID: idOrZero(r.PolicyID)},
		Delivery:      delivery(r.Delivery),
		Maintenance:   maintenance(r.Maintenance),
		Meta:          model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

// networks is never null.
func networks(list []netip.Prefix) []netip.Prefix {
	if list == nil {
		return []netip.Prefix{}
	}
	return list
}
