package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// ListConnectorsOfSite returns all connectors of a site, by name.
func (t *Tx) ListConnectorsOfSite(ctx context.Context, site model.SiteID) ([]*model.Connector, error) {
	rows, err := t.q.ListConnectorsOfSite(ctx, site.UUID)
	return convert(rows, connector), classify(err, "list connectors of site")
}

// ListNodesOfPool returns all nodes of a pool, by name.
func (t *Tx) ListNodesOfPool(ctx context.Context, pool model.PoolID) ([]*model.Node, error) {
	rows, err := t.q.ListNodesOfPool(ctx, pool.UUID)
	return convert(rows, node), classify(err, "list nodes of pool")
}

// ListTargetsOfService returns all targets of a service, by name.
func (t *Tx) ListTargetsOfService(ctx context.Context, service model.ServiceID) ([]*model.Target, error) {
	rows, err := t.q.ListTargetsOfService(ctx, service.UUID)
	return convert(rows, target), classify(err, "list targets of service")
}

// GetServiceByHostname returns the service published under a canonical hostname or pattern, of whichever
// organization.
func (t *Tx) GetServiceByHostname(ctx context.Context, hostname string) (*model.Service, error) {
	r, err := t.q.GetServiceByHostname(ctx, hostname)
	if err != nil {
		return nil, classify(err, "service")
	}
	return service(r), nil
}

// ListServicesWithin returns the services, of all organizations, whose hostname is apex or below it.
func (t *Tx) ListServicesWithin(ctx context.Context, apex string) ([]*model.Service, error) {
	rows, err := t.q.ListServicesWithin(ctx, apex)
	return convert(rows, service), classify(err, "list services in domain")
}

// ListServicesAtPorts returns the services, of all organizations, that have one of the ports in a pool.
func (t *Tx) ListServicesAtPorts(ctx context.Context, pool model.PoolID, kind model.ServiceKind, p model.Ports) ([]*model.Service, error) {
	rows, err := t.q.ListServicesAtPorts(ctx, db.ListServicesAtPortsParams{PoolID: pool.UUID, Kind: string(kind), FirstPort: int32(p.First), LastPort: int32(p.Last)})
	return convert(rows, service), classify(err, "list services at ports")
}

// ListDomainsCovering returns the domains that a canonical hostname is within, the closest first.
func (t *Tx) ListDomainsCovering(ctx context.Context, hostname string) ([]*model.Domain, error) {
	rows, err := t.q.ListDomainsCovering(ctx, hostname)
	return convert(rows, domain), classify(err, "list domains of hostname")
}

// ListDomainsOverlapping returns the domains, of all organizations, that are apex, above it or below it.
func (t *Tx) ListDomainsOverlapping(ctx context.Context, apex string) ([]*model.Domain, error) {
	rows, err := t.q.ListDomainsOverlapping(ctx, apex)
	return convert(rows, domain), classify(err, "list domains around apex")
}

// ListCertificatesNamed returns the certificates of an organization that carry exactly this name, the
// one that lasts longest first.
func (t *Tx) ListCertificatesNamed(ctx context.Context, org model.OrgID, name string) ([]*model.Certificate, error) {
	rows, err := t.q.ListCertificatesNamed(ctx, db.ListCertificatesNamedParams{OrgID: org.UUID, Name: name})
	return convert(rows, certificate), classify(err, "list certificates of name")
}

// GetAPIKeyByHash returns a key by the SHA-256 of its secret.
func (t *Tx) GetAPIKeyByHash(ctx context.Context, hash []byte) (*model.APIKey, error) {
	r, err := t.q.GetAPIKeyByHash(ctx, hash)
	if err != nil {
		return nil, classify(err, "API key")
	}
	return apiKey(r), nil
}

// UseJoinToken takes a valid token for good and returns it. One that is unknown, used or expired is
// NotFound; of two callers at once one gets it.
func (t *Tx) UseJoinToken(ctx context.Context, hash []byte, now time.Time) (*model.JoinToken, error) {
	r, err := t.q.UseJoinToken(ctx, db.UseJoinTokenParams{Hash: hash, Now: now})
	if err != nil {
		return nil, classify(err, "join token")
	}
	return joinToken(r), nil
}

// VoidJoinTokens removes the unused tokens of a node or connector.
func (t *Tx) VoidJoinTokens(ctx context.Context, node model.NodeID, connector model.ConnectorID) error {
	return classify(t.q.VoidJoinTokens(ctx, db.VoidJoinTokensParams{NodeID: nullID(node.UUID), ConnectorID: nullID(connector.UUID)}), "void join tokens")
}

// ClusterID returns the cluster's id; NotFound before the first start.
func (t *Tx) ClusterID(ctx context.Context) (uuid.UUID, error) {
	id, err := t.q.GetClusterID(ctx)
	return id, classify(err, "cluster id")
}

// SetClusterID sets the cluster's id and reports whether it was this call that did: of several replicas
// that start at once one does.
func (t *Tx) SetClusterID(ctx context.Context, id uuid.UUID) (bool, error) {
	n, err := t.q.InsertClusterID(ctx, id)
	return n == 1, classify(err, "cluster id")
}

// CreateAuthority stores a certificate authority with its sealed key.
func (t *Tx) CreateAuthority(ctx context.Context, kind string, certPEM, sealedKey []byte) error {
	return classify(t.q.InsertAuthority(ctx, db.InsertAuthorityParams{Kind: kind, CertPem: certPEM, SealedKey: sealedKey}), "create authority")
}

// GetAuthority returns the certificate and sealed key of an authority.
func (t *Tx) GetAuthority(ctx context.Context, kind string) (certPEM, sealedKey []byte, err error) {
	r, err := t.q.GetAuthority(ctx, kind)
	return r.CertPem, r.SealedKey, classify(err, kind+" authority")
}

// ListSitesOfNode returns the local sites, of all organizations, that stand in a node's network.
func (t *Tx) ListSitesOfNode(ctx context.Context, node model.NodeID) ([]*model.Site, error) {
	rows, err := t.q.ListSitesOfNode(ctx, node.UUID)
	return convert(rows, site), classify(err, "list sites of node")
}

// ShareNode keeps a node from being removed until the transaction ends: who relies on it reads it afterwards.
func (t *Tx) ShareNode(ctx context.Context, id model.NodeID) error {
	return classify(t.q.ShareNode(ctx, id.UUID), "node")
}

// LockNode waits for those who rely on a node and keeps new ones out until the transaction ends: who removes
// it looks for them afterwards.
func (t *Tx) LockNode(ctx context.Context, id model.NodeID) error {
	return classify(t.q.LockNode(ctx, id.UUID), "node")
}

// ShareSite keeps a site as it is until the transaction ends: who relies on it reads it afterwards.
func (t *Tx) ShareSite(ctx context.Context, id model.SiteID) error {
	return classify(t.q.ShareSite(ctx, id.UUID), "site")
}

// LockSite waits for those who rely on a site and keeps new ones out until the transaction ends: who changes it
// looks for them afterwards.
func (t *Tx) LockSite(ctx context.Context, id model.SiteID) error {
	return classify(t.q.LockSite(ctx, id.UUID), "site")
}

// ShareDomain keeps a domain as it is until the transaction ends: who relies on it reads it afterwards.
func (t *Tx) ShareDomain(ctx context.Context, id model.DomainID) error {
	return classify(t.q.ShareDomain(ctx, id.UUID), "domain")
}

// LockDomain waits for those who rely on a domain and keeps new ones out until the transaction ends: who
// changes it looks for them afterwards.
func (t *Tx) LockDomain(ctx context.Context, id model.DomainID) error {
	return classify(t.q.LockDomain(ctx, id.UUID), "domain")
}
