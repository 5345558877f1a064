package store_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/endpoint"
)

var (
	byValue    = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})
	ignoreMeta = cmp.Options{cmpopts.IgnoreTypes(model.Meta{}), byValue}
)

// noun is what all nouns can do.
type noun[V any] struct {
	name   string
	row    *V
	create func(context.Context, *V) error
	update func(context.Context, *V) (bool, error)
	get    []func() (*V, error) // by id, and by whatever else finds it
	list   []func() ([]*V, error)
	change func(*V)
	again  func(*V) // writes the same in another form; nil: there is none
	del    func() error
}

// check runs a row through its life but for the end, which is what it returns.
func check[V any](t *testing.T, n noun[V]) (end func()) {
	t.Helper()
	ctx := t.Context()
	if _, err := n.get[0](); fault.Of(err) != fault.NotFound || err.Error() != "no such "+n.name {
		t.Errorf("%s before it is there: %v", n.name, err)
	}
	if _, err := n.update(ctx, n.row); fault.Of(err) != fault.NotFound {
		t.Errorf("update %s before it is there: %v", n.name, err)
	}
	if err := n.create(ctx, n.row); err != nil {
		t.Fatalf("create %s: %v", n.name, err)
	}
	same := func(when string) {
		t.Helper()
		for i, get := range n.get {
			got, err := get()
			if err != nil {
				t.Errorf("%s: %s (%d): %v", when, n.name, i, err)
			} else if diff := cmp.Diff(n.row, got, ignoreMeta); diff != "" {
				t.Errorf("%s: %s (%d):\n%s", when, n.name, i, diff)
			}
		}
		for i, list := range n.list {
			got, err := list()
			if err != nil {
				t.Errorf("%s: list %s (%d): %v", when, n.name, i, err)
			} else if diff := cmp.Diff([]*V{n.row}, got, ignoreMeta); diff != "" {
				t.Errorf("%s: list %s (%d):\n%s", when, n.name, i, diff)
			}
		}
	}
	same("created")
	copied := *n.row
	if n.again != nil {
		n.again(&copied)
	}
	if changed, err := n.update(ctx, &copied); err != nil || changed {
		t.Errorf("update %s with the same: changed %v, %v", n.name, changed, err)
	}
	n.change(n.row)
	if changed, err := n.update(ctx, n.row); err != nil || !changed {
		t.Errorf("update %s: changed %v, %v", n.name, changed, err)
	}
	same("updated")
	return func() {
		t.Helper()
		if err := n.del(); err != nil {
			t.Errorf("delete %s: %v", n.name, err)
		}
		for i, get := range n.get {
			if _, err := get(); fault.Of(err) != fault.NotFound {
				t.Errorf("deleted %s (%d): %v", n.name, i, err)
			}
		}
		if err := n.del(); fault.Of(err) != fault.NotFound {
			t.Errorf("delete %s twice: %v", n.name, err)
		}
	}
}

func gets[V any](f ...func() (*V, error)) []func() (*V, error)      { return f }
func lists[V any](f ...func() ([]*V, error)) []func() ([]*V, error) { return f }

// one makes a get of a list that has one row at most.
func one[V any](list func() ([]*V, error)) func() (*V, error) {
	return func() (*V, error) {
		l, err := list()
		if err == nil && len(l) == 0 {
			return nil, fault.New(fault.NotFound, "empty list")
		}
		if err != nil {
			return nil, err
		}
		return l[0], nil
	}
}

func TestRoundTrip(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	all := store.Page{}
	elsewhere := time.FixedZone("here", 3600)
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		ends := []func(){
			check(t, noun[model.Organization]{
				"organization", &w.org, tx.CreateOrganization, tx.UpdateOrganization,
				gets(func() (*model.Organization, error) { return tx.GetOrganization(ctx, w.org.ID) }, func() (*model.Organization, error) { return tx.GetOrganizationByName(ctx, w.org.Name) }),
				lists(func() ([]*model.Organization, error) { return tx.ListOrganizations(ctx, all) }),
				func(v *model.Organization) { v.Name = "acme2" }, nil, func() error { return tx.DeleteOrganization(ctx, w.org.ID) },
			}),
			check(t, noun[model.Region]{
				"region", &w.region, tx.CreateRegion, tx.UpdateRegion,
				gets(func() (*model.Region, error) { return tx.GetRegion(ctx, w.region.ID) }, func() (*model.Region, error) { return tx.GetRegionByName(ctx, w.region.Name) }),
				lists(func() ([]*model.Region, error) { return tx.ListRegions(ctx, all) }),
				func(v *model.Region) { v.Name = "us" }, nil, func() error { return tx.DeleteRegion(ctx, w.region.ID) },
			}),
			check(t, noun[model.Pool]{
				"pool", &w.pool, tx.CreatePool, tx.UpdatePool,
				gets(func() (*model.Pool, error) { return tx.GetPool(ctx, w.pool.ID) }, func() (*model.Pool, error) { return tx.GetPoolByName(ctx, w.pool.Name) }),
				lists(func() ([]*model.Pool, error) { return tx.ListPools(ctx, all) }),
				func(v *model.Pool) { v.Name = "edge2" }, nil, func() error { return tx.DeletePool(ctx, w.pool.ID) },
			}),
			check(t, noun[model.Node]{
				"node", &w.node, tx.CreateNode, tx.UpdateNode,
				gets(func() (*model.Node, error) { return tx.GetNode(ctx, w.node.ID) }, func() (*model.Node, error) { return tx.GetNodeByName(ctx, w.node.Name) }),
				lists(func() ([]*model.Node, error) { return tx.ListNodes(ctx, all) }),
				func(v *model.Node) {
					v.Name, v.Region, v.Addresses, v.Lifecycle, v.Revoked = "n2", model.RegionID{}, nil, model.Draining, time.Time{}
					v.WireGuardKey, v.WireGuardEndpoint = newKey(t), endpoint.MustParse("edge-2.example.org:1")
					v.StreamEndpoint, v.GossipEndpoint, v.Capacity, v.Pinned = endpoint.Endpoint{}, endpoint.Endpoint{}, 1, nil
				},
				func(v *model.Node) { v.Revoked = v.Revoked.In(elsewhere).Add(time.Nanosecond) }, func() error { return tx.DeleteNode(ctx, w.node.ID) },
			}),
			check(t, noun[model.Site]{
				"site", &w.site, tx.CreateSite, tx.UpdateSite,
				gets(func() (*model.Site, error) { return tx.GetSite(ctx, w.site.ID) }, func() (*model.Site, error) { return tx.GetSiteByName(ctx, w.org.ID, w.site.Name) }),
				lists(func() ([]*model.Site, error) { return tx.ListSites(ctx, w.org.ID, all) }),
				func(v *model.Site) {
					v.Name, v.Tunnels, v.Kind, v.Carrier, v.Region, v.Nodes, v.Publish = "office", 8, model.LocalSite, model.AutoCarrier, model.RegionID{}, []model.NodeID{w.node.ID}, nil
				}, func(v *model.Site) { v.Nodes = []model.NodeID{} }, func() error { return tx.DeleteSite(ctx, w.site.ID) },
			}),
			check(t, noun[model.Connector]{
				"connector", &w.conn, tx.CreateConnector, tx.UpdateConnector,
				gets(func() (*model.Connector, error) { return tx.GetConnector(ctx, w.conn.ID) }, func() (*model.Connector, error) { return tx.GetConnectorByName(ctx, w.org.ID, w.conn.Name) }),
				lists(func() ([]*model.Connector, error) { return tx.ListConnectors(ctx, w.org.ID, all) }, func() ([]*model.Connector, error) { return tx.ListConnectorsOfSite(ctx, w.site.ID) }),
				func(v *model.Connector) { v.Name, v.Revoked = "pi2", w.cert.NotAfter }, nil, func() error { return tx.DeleteConnector(ctx, w.conn.ID) },
			}),
			check(t, noun[model.Domain]{
				"domain", &w.domain, tx.CreateDomain, tx.UpdateDomain,
				gets(
					func() (*model.Domain, error) { return tx.GetDomain(ctx, w.domain.ID) },
					func() (*model.Domain, error) { return tx.GetDomainByName(ctx, w.org.ID, w.domain.Name) },
					one(func() ([]*model.Domain, error) { return tx.ListDomainsCovering(ctx, "*.b."+w.domain.Name) }),
					one(func() ([]*model.Domain, error) { return tx.ListDomainsOverlapping(ctx, w.domain.Name) }),
					one(func() ([]*model.Domain, error) { return tx.ListDomainsOverlapping(ctx, "a."+w.domain.Name) }),
					one(func() ([]*model.Domain, error) { return tx.ListDomainsOverlapping(ctx, "org") }),
				),
				lists(func() ([]*model.Domain, error) { return tx.ListDomains(ctx, w.org.ID, all) }),
				func(v *model.Domain) { v.Name = "xn--bcher-kva.org" }, nil, func() error { return tx.DeleteDomain(ctx, w.domain.ID) },
			}),
			check(t, noun[model.Service]{
				"service", &w.svc, tx.CreateService, tx.UpdateService,
				gets(
					func() (*model.Service, error) { return tx.GetService(ctx, w.svc.ID) },
					func() (*model.Service, error) { return tx.GetServiceByName(ctx, w.org.ID, w.svc.Name) },
					func() (*model.Service, error) { return tx.GetServiceByHostname(ctx, w.svc.Hostname) },
					one(func() ([]*model.Service, error) { return tx.ListServicesWithin(ctx, "example.org") }),
				),
				lists(func() ([]*model.Service, error) { return tx.ListServices(ctx, w.org.ID, all) }),
				func(v *model.Service) {
					v.Name, v.Kind, v.Hostname, v.ProxyProtocol, v.Terminate = "wiki2", model.TLS, "a.example.org", 1, true
					v.Delivery, v.Maintenance = nil, nil
				}, nil, func() error { return tx.DeleteService(ctx, w.svc.ID) },
			}),
			check(t, noun[model.Service]{
				"service", &w.raw, tx.CreateService, tx.UpdateService,
				gets(
					func() (*model.Service, error) { return tx.GetService(ctx, w.raw.ID) },
					one(func() ([]*model.Service, error) {
						return tx.ListServicesAtPorts(ctx, w.pool.ID, w.raw.Kind, model.Ports{First: w.raw.Ports.Last, Last: 65535})
					}),
					one(func() ([]*model.Service, error) {
						return tx.ListServicesAtPorts(ctx, w.pool.ID, w.raw.Kind, model.Ports{First: 1, Last: w.raw.Ports.First})
					}),
				),
				nil,
				func(v *model.Service) {
					v.Kind, v.Ports, v.Allow, v.ProxyProtocol = model.UDP, model.Ports{First: 64536, Last: 65535}, nil, 0
				}, nil, func() error { return tx.DeleteService(ctx, w.raw.ID) },
			}),
			check(t, noun[model.Target]{
				"target", &w.target, tx.CreateTarget, tx.UpdateTarget,
				gets(func() (*model.Target, error) { return tx.GetTarget(ctx, w.target.ID) }, func() (*model.Target, error) { return tx.GetTargetByName(ctx, w.org.ID, w.target.Name) }),
				lists(func() ([]*model.Target, error) { return tx.ListTargets(ctx, w.org.ID, all) }, func() ([]*model.Target, error) { return tx.ListTargetsOfService(ctx, w.svc.ID) }),
				func(v *model.Target) {
					v.Name, v.Address, v.Port, v.PathPrefix, v.Weight = "wiki-2", "2001:db8::3", 1, "/", 1000
					v.HealthCheck, v.Upstream = nil, model.Upstream{Scheme: model.SchemeH2C}
				}, nil, func() error { return tx.DeleteTarget(ctx, w.target.ID) },
			}),
			check(t, noun[model.Certificate]{
				"certificate", &w.cert, tx.CreateCertificate, tx.UpdateCertificate,
				gets(func() (*model.Certificate, error) { return tx.GetCertificate(ctx, w.cert.ID) }, one(func() ([]*model.Certificate, error) { return tx.ListCertificatesNamed(ctx, w.org.ID, "example.org") })),
				lists(func() ([]*model.Certificate, error) { return tx.ListCertificates(ctx, w.org.ID, all) }),
				func(v *model.Certificate) {
					v.Names, v.ChainPEM, v.SealedKey, v.NotAfter = []string{"example.org"}, []byte("c2"), []byte("s2"), v.NotAfter.Add(time.Second)
				},
				func(v *model.Certificate) { v.NotBefore = v.NotBefore.In(elsewhere).Add(time.Nanosecond) }, func() error { return tx.DeleteCertificate(ctx, w.cert.ID) },
			}),
			check(t, noun[model.APIKey]{
				"API key", &w.key, tx.CreateAPIKey, tx.UpdateAPIKey,
				gets(
					func() (*model.APIKey, error) { return tx.GetAPIKey(ctx, w.key.ID) },
					one(func() ([]*model.APIKey, error) { return tx.ListAPIKeysNamed(ctx, store.Keys{}, w.key.Name, 2) }),
					func() (*model.APIKey, error) { return tx.GetAPIKeyByHash(ctx, w.key.Hash) },
				),
				lists(func() ([]*model.APIKey, error) { return tx.ListAPIKeys(ctx, store.Keys{}, all) }),
				func(v *model.APIKey) {
					v.Org, v.Name, v.Expires = w.org.ID, "k2", time.Time{}
					v.Permissions, v.Allow = []string{"sites:read"}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				}, func(v *model.APIKey) { v.Allow = []netip.Prefix{} }, func() error { return tx.DeleteAPIKey(ctx, w.key.ID) },
			}),
			check(t, noun[model.JoinToken]{
				"join token", &w.join, tx.CreateJoinToken, tx.UpdateJoinToken,
				gets(func() (*model.JoinToken, error) { return tx.GetJoinToken(ctx, w.join.ID) }),
				lists(func() ([]*model.JoinToken, error) { return tx.ListJoinTokens(ctx, model.OrgID{}, all) }),
				func(v *model.JoinToken) {
					v.Node, v.Connector, v.Name, v.Used, v.By = model.NodeID{}, w.conn.ID, "pi2", w.cert.NotBefore, "ann@example.org"
				}, nil, func() error {
					if err := tx.DeleteJoinToken(ctx, w.join.ID); fault.Of(err) != fault.NotFound {
						t.Errorf("a token that was used is deleted: %v", err)
					}
					w.join.Used = time.Time{}
					if _, err := tx.UpdateJoinToken(ctx, &w.join); err != nil {
						return err
					}
					return tx.DeleteJoinToken(ctx, w.join.ID)
				},
			}),
		}
		slices.Reverse(ends)
		for _, end := range ends {
			end()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestClusterRows(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	first, second := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if _, err := tx.ClusterID(ctx); fault.Of(err) != fault.NotFound {
			t.Errorf("before the first start: %v", err)
		}
		if set, err := tx.SetClusterID(ctx, first); err != nil || !set {
			t.Errorf("set: %v, %v", set, err)
		}
		if set, err := tx.SetClusterID(ctx, second); err != nil || set {
			t.Errorf("set again: %v, %v", set, err)
		}
		if id, err := tx.ClusterID(ctx); err != nil || id != first {
			t.Errorf("cluster id %v, %v", id, err)
		}
		return nil
	})
	if err != nil || rev != 0 {
		t.Errorf("settings took revision %d, %v", rev, err)
	}
	rev, err = s.Tx(ctx, "test", func(tx *store.Tx) error {
		if _, _, err := tx.GetAuthority(ctx, "web"); fault.Of(err) != fault.NotFound {
			t.Errorf("before it is there: %v", err)
		}
		return tx.CreateAuthority(ctx, "web", []byte("pem"), []byte("key"))
	})
	if err != nil || rev != 1 {
		t.Errorf("authority: revision %d, %v", rev, err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		cert, key, err := tx.GetAuthority(ctx, "web")
		if string(cert) != "pem" || string(key) != "key" {
			t.Errorf("authority %q, %q", cert, key)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A list is read page by page, without a row twice or left out.
func TestPages(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	want := []string{"a", "a-b", "a0", "b", "z9"}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		for _, name := range []string{"z9", "a0", "b", "a-b", "a"} {
			if err := tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit <= 6; limit++ {
		var got []string
		err := s.View(ctx, func(tx *store.Tx) error {
			for page := (store.Page{Limit: limit}); ; page.After = got[len(got)-1] {
				rows, err := tx.ListRegions(ctx, page)
				if err != nil || len(rows) == 0 {
					return err
				}
				if len(rows) > limit {
					t.Errorf("%d rows, want %d", len(rows), limit)
				}
				for _, r := range rows {
					got = append(got, r.Name)
				}
			}
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, %v; want %v", limit, got, err, want)
		}
	}
}

func TestJoinTokenIsUsedOnce(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	inTime, late := w.join.Expires.Add(-time.Second), w.join.Expires
	use := func(now time.Time) error {
		rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			j, err := tx.UseJoinToken(ctx, w.join.Hash, now)
			if err == nil && (j.Node != w.node.ID || !j.Used.Equal(now)) {
				t.Errorf("%+v", j)
			}
			return err
		})
		if rev != 0 {
			t.Errorf("a token took revision %d", rev)
		}
		return err
	}
	if err := use(late); fault.Of(err) != fault.NotFound {
		t.Errorf("expired: %v", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 10 {
		wg.Go(func() {
			err := use(inTime)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got++
			} else if fault.Of(err) != fault.NotFound {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got != 1 {
		t.Errorf("%d of 10 got the token", got)
	}
}

func TestVoidJoinTokens(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	used := w.join
	used.ID, used.Hash, used.Used = used.ID.New(), slices.Repeat([]byte{1}, 32), w.cert.NotBefore
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateJoinToken(ctx, &used); err != nil {
			return err
		}
		if err := tx.VoidJoinTokens(ctx, model.NodeID{}, w.conn.ID); err != nil {
			return err
		}
		if _, err := tx.GetJoinToken(ctx, w.join.ID); err != nil {
			t.Errorf("the token of another: %v", err)
		}
		return tx.VoidJoinTokens(ctx, w.node.ID, model.ConnectorID{})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		left, err := tx.ListJoinTokens(ctx, model.OrgID{}, store.Page{})
		if len(left) != 1 || left[0].ID != used.ID {
			t.Errorf("%d left", len(left))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is left out of a new row is what the columns have by themselves.
func TestZeroFieldsAreDefaults(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	n := model.Node{ID: model.NodeID{}.New(), Name: "plain", Pool: w.pool.ID, Lifecycle: model.Active}
	site := model.Site{ID: model.SiteID{}.New(), Org: w.org.ID, Name: "plain", Pool: w.pool.ID, Tunnels: 1}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := errors.Join(tx.CreateNode(ctx, &n), tx.CreateSite(ctx, &site)); err != nil {
			return err
		}
		node, err := tx.GetNode(ctx, n.ID)
		if err != nil || node.Capacity != model.DefaultCapacity {
			t.Errorf("%+v, %v", node, err)
		}
		got, err := tx.GetSite(ctx, site.ID)
		if err != nil || got.Kind != model.ConnectorSite || got.Carrier != model.AutoCarrier {
			t.Errorf("%+v, %v", got, err)
		}
		changedNode, err := tx.UpdateNode(ctx, &n)
		changedSite, err2 := tx.UpdateSite(ctx, &site)
		if changedNode || changedSite {
			t.Error("the same was written again")
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSitesOfNode(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	local := w.site
	local.Publish = nil // it has no connectors that could
	local.ID, local.Name, local.Kind, local.Carrier, local.Nodes = model.SiteID{}.New(), "shed", model.LocalSite, model.AutoCarrier, []model.NodeID{model.NodeID{}.New(), w.node.ID}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateSite(ctx, &local); err != nil {
			return err
		}
		got, err := tx.ListSitesOfNode(ctx, w.node.ID)
		if err != nil || len(got) != 1 || got[0].ID != local.ID {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := tx.ListSitesOfNode(ctx, model.NodeID{}.New()); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		return errors.Join(tx.ShareNode(ctx, w.node.ID), tx.LockNode(ctx, w.node.ID), tx.ShareSite(ctx, local.ID), tx.LockSite(ctx, local.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGossipKeys(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	first := &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeySeals, SealedKey: []byte("sealed")}
	asked := &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeyAsked}
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := errors.Join(tx.CreateGossipKey(ctx, first), tx.CreateGossipKey(ctx, asked)); err != nil {
			return err
		}
		asked.State, asked.SealedKey = model.GossipKeyOpens, []byte("too")
		if err := tx.UpdateGossipKey(ctx, asked); err != nil {
			return err
		}
		got, err := tx.LockGossipKeys(ctx)
		if diff := cmp.Diff([]*model.GossipKey{first, asked}, got, ignoreMeta); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil || rev == 0 {
		t.Fatal(rev, err)
	}
	b, err := s.Changes(ctx, 0, 100)
	if err != nil || b.GossipKeys[first.ID] == nil || b.GossipKeys[asked.ID] == nil {
		t.Errorf("%+v, %v", b, err)
	}
	for name, do := range map[string]func(tx *store.Tx) error{
		"two that seal": func(tx *store.Tx) error {
			return tx.CreateGossipKey(ctx, &model.GossipKey{ID: asked.ID.New(), State: model.GossipKeySeals, SealedKey: []byte("x")})
		},
		"one without a key": func(tx *store.Tx) error {
			return tx.CreateGossipKey(ctx, &model.GossipKey{ID: asked.ID.New(), State: model.GossipKeyRetired})
		},
		"a key that is only asked for": func(tx *store.Tx) error {
			return tx.CreateGossipKey(ctx, &model.GossipKey{ID: asked.ID.New(), State: model.GossipKeyAsked, SealedKey: []byte("x")})
		},
		"another state": func(tx *store.Tx) error {
			return tx.CreateGossipKey(ctx, &model.GossipKey{ID: asked.ID.New(), State: "lost", SealedKey: []byte("x")})
		},
		"none to change": func(tx *store.Tx) error {
			return tx.UpdateGossipKey(ctx, &model.GossipKey{ID: asked.ID.New(), State: model.GossipKeyRetired, SealedKey: []byte("x")})
		},
		"none to remove": func(tx *store.Tx) error { return tx.DeleteGossipKey(ctx, asked.ID.New()) },
	} {
		if _, err := s.Tx(ctx, "test", do); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	rev, err = s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.DeleteGossipKey(ctx, first.ID) })
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Changes(ctx, rev-1, 100); err != nil || !gone(b.GossipKeys, first.ID) {
		t.Errorf("%+v, %v", b, err)
	}
}

// Join tokens are listed from the newest on, those of an organization's connectors by themselves, and are forgotten some time
// after they were used or ran out.
func TestListAndPruneJoinTokens(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	at := w.join.Expires // of the first, a node's
	used := model.JoinToken{ID: w.join.ID.New(), Connector: w.conn.ID, Name: w.conn.Name, Hash: slices.Repeat([]byte{1}, 32), Expires: at, Used: at.Add(-time.Hour), By: "ann@example.org"}
	late := model.JoinToken{ID: w.join.ID.New(), Connector: w.conn.ID, Name: w.conn.Name, Hash: slices.Repeat([]byte{2}, 32), Expires: at.Add(time.Hour)}
	list := func(tx *store.Tx, org model.OrgID, page store.Page, want ...model.JoinTokenID) {
		t.Helper()
		var got []model.JoinTokenID
		all, err := tx.ListJoinTokens(ctx, org, page)
		for _, v := range all {
			got = append(got, v.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v; want %v", got, err, want)
		}
	}
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		for _, v := range []*model.JoinToken{&used, &late} {
			if err := tx.CreateJoinToken(ctx, v); err != nil {
				return err
			}
		}
		list(tx, model.OrgID{}, store.Page{}, late.ID, used.ID, w.join.ID)
		list(tx, model.OrgID{}, store.Page{After: used.ID.UUID.String()}, w.join.ID)
		list(tx, w.org.ID, store.Page{}, late.ID, used.ID)
		list(tx, model.OrgID{}.New(), store.Page{})
		if n, err := tx.PruneJoinTokens(ctx, at); n != 1 || err != nil {
			t.Errorf("%d forgotten, %v", n, err)
		}
		list(tx, model.OrgID{}, store.Page{}, late.ID, w.join.ID)
		if n, err := tx.PruneJoinTokens(ctx, at.Add(time.Second)); n != 1 || err != nil {
			t.Errorf("%d forgotten, %v", n, err)
		}
		list(tx, model.OrgID{}, store.Page{}, late.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
