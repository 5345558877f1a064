package store_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// world is one row of each noun.
type world struct {
	org    model.Organization
	region model.Region
	pool   model.Pool
	node   model.Node
	site   model.Site
	conn   model.Connector
	svc    model.Service
	raw    model.Service
	target model.Target
	domain model.Domain
	cert   model.Certificate
	key    model.APIKey
	join   model.JoinToken
	gossip model.GossipKey
	chal   model.Challenge
	ticket model.TicketKey
	access model.AccessKey
}

func newKey(t *testing.T) wgkey.Public {
	t.Helper()
	k, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	w.org = model.Organization{ID: model.OrgID{}.New(), Name: "acme"}
	w.region = model.Region{ID: model.RegionID{}.New(), Name: "eu"}
	w.pool = model.Pool{ID: model.PoolID{}.New(), Name: "edge"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	w.node = model.Node{
		ID: model.NodeID{}.New(), Name: "n1", Pool: w.pool.ID, Region: w.region.ID, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		WireGuardKey: newKey(t), WireGuardEndpoint: endpoint.MustParse("192.0.2.1:51820"), Lifecycle: model.Active, Revoked: at,
		StreamEndpoint: endpoint.MustParse("edge.example.org:8443"), GossipEndpoint: endpoint.MustParse("[2001:db8::1]:7946"), Capacity: 250, Pinned: []string{"addresses"},
	}
	w.site = model.Site{ID: model.SiteID{}.New(), Org: w.org.ID, Name: "home", Pool: w.pool.ID, Tunnels: 3, Kind: model.ConnectorSite, Carrier: model.StreamCarrier, Region: w.region.ID,
		Publish: &model.Publish{Hostnames: []string{"*.example.org"}, Ports: []model.Ports{{First: 6000, Last: 6010}, {First: 7000, Last: 7000}}}}
	w.conn = model.Connector{ID: model.ConnectorID{}.New(), Org: w.org.ID, Site: w.site.ID, Name: "pi", WireGuardKey: newKey(t)}
	w.svc = model.Service{ID: model.ServiceID{}.New(), Org: w.org.ID, Name: "wiki", Kind: model.HTTP, Hostname: "*.example.org", Pool: w.pool.ID,
		Delivery:    &model.Delivery{Host: "inner.example.org:8080", Request: model.Fields{Remove: []string{"X-A", "X-B"}}, Response: model.Fields{Set: []model.Field{{Name: "X-Env", Value: "<&>"}}}},
		Maintenance: &model.Maintenance{Always: true, Title: "Soon", Message: "One\nTwo"}}
	w.raw = model.Service{
		ID: model.ServiceID{}.New(), Org: w.org.ID, Name: "mail", Kind: model.TCP, Pool: w.pool.ID, Ports: model.Ports{First: 6000, Last: 6010}, ProxyProtocol: 2,
		Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
	}
	w.target = model.Target{
		ID: model.TargetID{}.New(), Org: w.org.ID, Name: "wiki-1", Service: w.svc.ID, Site: w.site.ID, Address: "10.0.0.1", Port: 65535, PathPrefix: "/a", Weight: 7,
		HealthCheck: &model.HealthCheck{
			Kind: model.CheckHTTP, Interval: 10 * time.Second, Timeout: 1500 * time.Millisecond, HealthyThreshold: 2, UnhealthyThreshold: 3, Method: "GET", Path: "/healthz?x=1",
			Host: "app.internal:8080", Headers: []model.CheckHeader{{Name: "X-Probe", Value: "1"}}, Statuses: []model.StatusRange{{First: 200, Last: 299}, {First: 404, Last: 404}},
			BodyContains: "ok <&>", TLS: true,
		},
		Upstream: model.Upstream{Scheme: model.SchemeHTTPS, ServerName: "inner.example.org", AuthoritiesPEM: "pem", StripPrefix: true},
	}
	w.domain = model.Domain{ID: model.DomainID{}.New(), Org: w.org.ID, Name: "example.org", Pool: w.pool.ID}
	w.cert = model.Certificate{
		ID: model.CertificateID{}.New(), Org: w.org.ID, Names: []string{"*.example.org", "example.org"}, ChainPEM: []byte("chain"), SealedKey: []byte("sealed"), NotBefore: at, NotAfter: at.Add(time.Hour), Uploaded: true,
	}
	w.key = model.APIKey{ID: model.APIKeyID{}.New(), Name: "root", Hash: make([]byte, 32), Expires: at}
	w.join = model.JoinToken{ID: model.JoinTokenID{}.New(), Node: w.node.ID, Name: "n1", Hash: make([]byte, 32), Expires: at}
	w.gossip = model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeySeals, SealedKey: []byte("sealed")}
	w.ticket = model.TicketKey{ID: model.TicketKeyID{}.New(), Pool: w.pool.ID, State: model.TicketKeySeals, SealedKey: []byte("sealed")}
	w.access = model.AccessKey{ID: model.AccessKeyID{}.New(), State: model.AccessKeyCurrent, Public: make([]byte, 32), SealedKey: []byte("sealed")}
	w.chal = model.Challenge{
		ID: model.ChallengeID{}.New(), Org: w.org.ID, Order: model.OrderID{}.New(), Type: model.DNS01, Name: "example.org", Token: "token",
		Value: model.Authorization(strings.Repeat("v", 43)), Expires: at.Add(model.ChallengeLifetime),
	}
	return w
}

func (w *world) create(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, &w.org), tx.CreateRegion(ctx, &w.region), tx.CreatePool(ctx, &w.pool), tx.CreateNode(ctx, &w.node),
			tx.CreateSite(ctx, &w.site), tx.CreateConnector(ctx, &w.conn), tx.CreateService(ctx, &w.svc), tx.CreateService(ctx, &w.raw), tx.CreateTarget(ctx, &w.target),
			tx.CreateDomain(ctx, &w.domain), tx.CreateCertificate(ctx, &w.cert), tx.CreateAPIKey(ctx, &w.key), tx.CreateJoinToken(ctx, &w.join),
			tx.CreateGossipKey(ctx, &w.gossip), tx.CreateChallenges(ctx, []*model.Challenge{&w.chal}),
			tx.CreateTicketKey(ctx, &w.ticket), tx.CreateAccessKey(ctx, &w.access), tx.Revoke(ctx, "session_1", ""), tx.CreateAuthority(ctx, "web", []byte("pem"), []byte("key")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// connect is somebody with psql.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
