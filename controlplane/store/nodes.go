package store

import (
	"cmp"
	"context"
	"net/url"
	"reflect"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
	"github.com/warrenedge/warren/shared/endpoint"
)

// CreateNode adds a row; its ID is the caller's to make.
func (t *Tx) CreateNode(ctx context.Context, v *model.Node) error {
	return classify(t.q.InsertNode(ctx, db.InsertNodeParams{
		ID:                 v.ID.UUID,
		Name:               v.Name,
		PoolID:             v.Pool.UUID,
		RegionID:           nullID(v.Region.UUID),
		Addresses:          notNil(v.Addresses),
		WireguardPublicKey: keyBytes(v.WireGuardKey),
		WireguardEndpoint:  v.WireGuardEndpoint.String(),
		StreamEndpoint:     v.StreamEndpoint.String(),
		GossipEndpoint:     v.GossipEndpoint.String(),
		Pinned:             notNil(v.Pinned),
		Capacity:           int32(cmp.Or(v.Capacity, model.DefaultCapacity)),
		Lifecycle:          string(v.Lifecycle),
		RevokedAt:          nullTime(v.Revoked),
	}), "create node")
}

// UpdateNode writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateNode(ctx context.Context, v *model.Node) (changed bool, err error) {
	old, err := t.GetNode(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.Revoked = stored(v.Revoked)
	same.Addresses = orNil(v.Addresses)
	same.Pinned = orNil(v.Pinned)
	same.Capacity = cmp.Or(v.Capacity, model.DefaultCapacity)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateNode(ctx, db.UpdateNodeParams{
		ID:                 v.ID.UUID,
		Name:               v.Name,
		PoolID:             v.Pool.UUID,
		RegionID:           nullID(v.Region.UUID),
		Addresses:          notNil(v.Addresses),
		WireguardPublicKey: keyBytes(v.WireGuardKey),
		WireguardEndpoint:  v.WireGuardEndpoint.String(),
		StreamEndpoint:     v.StreamEndpoint.String(),
		GossipEndpoint:     v.GossipEndpoint.String(),
		Pinned:             notNil(v.Pinned),
		Capacity:           int32(cmp.Or(v.Capacity, model.DefaultCapacity)),
		Lifecycle:          string(v.Lifecycle),
		RevokedAt:          nullTime(v.Revoked),
	})
	return true, affected(n, err, "update node")
}

// DeleteNode removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteNode(ctx context.Context, id model.NodeID) error {
	n, err := t.q.DeleteNode(ctx, id.UUID)
	return affected(n, err, "delete node")
}

// GetNode returns a row by its ID.
func (t *Tx) GetNode(ctx context.Context, id model.NodeID) (*model.Node, error) {
	r, err := t.q.GetNode(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "node")
	}
	return node(r), nil
}

// GetNodeByName returns a row by its name.
func (t *Tx) GetNodeByName(ctx context.Context, name string) (*model.Node, error) {
	r, err := t.q.GetNodeByName(ctx, name)
	if err != nil {
		return nil, classify(err, "node")
	}
	return node(r), nil
}

// ListNodes returns a page of rows ordered by name.
func (t *Tx) ListNodes(ctx context.Context, page Page) ([]*model.Node, error) {
	rows, err := t.q.ListNodes(ctx, db.ListNodesParams{After: page.After, Most: page.limit()})
	return convert(rows, node), classify(err, "list nodes")
}

// ClusterHosts are the names where the cluster itself is reached: where people sign in, and of nodes.
func (t *Tx) ClusterHosts(ctx context.Context) ([]string, error) {
	s, err := t.q.GetSettings(ctx)
	if err != nil {
		return nil, classify(err, "settings")
	}
	rows, err := t.q.AllNodes(ctx)
	if err != nil {
		return nil, classify(err, "list nodes")
	}
	var out []string
	if u, err := url.Parse(s.SignInUrl); err == nil && u.Hostname() != "" {
		out = append(out, u.Hostname())
	}
	for _, n := range convert(rows, node) {
		for _, e := range []endpoint.Endpoint{n.WireGuardEndpoint, n.StreamEndpoint, n.GossipEndpoint} {
			if e.Host != "" && !slices.Contains(out, e.Host) {
				out = append(out, e.Host)
			}
		}
	}
	return out, nil
}

func node(r db.Node) *model.Node {
	return &model.Node{
		ID:                model.NodeID{UUID: r.ID},
		Name:              r.Name,
		Pool:              model.PoolID{UUID: r.PoolID},
		Region:            model.RegionID{UUID: idOrZero(r.RegionID)},
		Addresses:         orNil(r.Addresses),
		WireGuardKey:      publicKey(r.WireguardPublicKey),
		WireGuardEndpoint: endpointOf(r.WireguardEndpoint),
		StreamEndpoint:    endpointOf(r.StreamEndpoint),
		GossipEndpoint:    endpointOf(r.GossipEndpoint),
		Pinned:            orNil(r.Pinned),
		Capacity:          int(r.Capacity),
		Lifecycle:         model.Lifecycle(r.Lifecycle),
		Revoked:           timeOrZero(r.RevokedAt),
		Meta:              model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
