package store_test

import (
	"errors"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Several replicas that start at once migrate an empty database once.
func TestMigrateAtOnce(t *testing.T) {
	dsn := storetest.EmptyDSN(t)
	var wg sync.WaitGroup
	for range 4 {
		s := storetest.Open(t, dsn)
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, err := storetest.Open(t, dsn).Load(t.Context()); err != nil || !b.Reload || b.To != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

// world is one row of each noun.
type world struct {
	org    model.Organization
	region model.Region
	pool   model.Pool
	node   model.Node
	site   model.Site
	conn   model.Connector
	svc    model.Service
	target model.Target
	domain model.Domain
	cert   model.Certificate
	key    model.APIKey
	join   model.JoinToken
}

func newWorld(t *testing.T) *world {
	t.Helper()
	priv, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	w.org = model.Organization{ID: model.OrgID{}.New(), Name: "acme"}
	w.region = model.Region{ID: model.RegionID{}.New(), Name: "eu"}
	w.pool = model.Pool{ID: model.PoolID{}.New(), Name: "edge"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.node = model.Node{
		ID: model.NodeID{}.New(), Name: "n1", Pool: w.pool.ID, Region: w.region.ID, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		WireGuardKey: priv.Public(), WireGuardEndpoint: netip.MustParseAddrPort("192.0.2.1:51820"), Lifecycle: model.Active, Revoked: at,
	}
	w.site = model.Site{ID: model.SiteID{}.New(), Org: w.org.ID, Name: "home", Pool: w.pool.ID, Tunnels: 3}
	w.conn = model.Connector{ID: model.ConnectorID{}.New(), Org: w.org.ID, Site: w.site.ID, Name: "pi"}
	w.svc = model.Service{ID: model.ServiceID{}.New(), Org: w.org.ID, Name: "wiki", Kind: model.HTTP, Hostname: "*.example.org", Pool: w.pool.ID}
	w.target = model.Target{
		ID: model.TargetID{}.New(), Org: w.org.ID, Name: "wiki-1", Service: w.svc.ID, Site: w.site.ID, Address: "10.0.0.1", Port: 80, PathPrefix: "/a", Weight: 7,
	}
	w.domain = model.Domain{ID: model.DomainID{}.New(), Org: w.org.ID, Name: "example.org", Pool: w.pool.ID}
	w.cert = model.Certificate{
		ID: model.CertificateID{}.New(), Org: w.org.ID, Names: []string{"*.example.org", "example.org"}, ChainPEM: []byte("chain"), SealedKey: []byte("sealed"), NotBefore: at, NotAfter: at.Add(time.Hour),
	}
	w.key = model.APIKey{ID: model.APIKeyID{}.New(), Name: "root", Hash: make([]byte, 32), Expires: at}
	w.join = model.JoinToken{ID: model.JoinTokenID{}.New(), Node: w.node.ID, Name: "n1", Hash: make([]byte, 32), Expires: at}
	return w
}

func (w *world) create(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, &w.org), tx.CreateRegion(ctx, &w.region), tx.CreatePool(ctx, &w.pool), tx.CreateNode(ctx, &w.node),
			tx.CreateSite(ctx, &w.site), tx.CreateConnector(ctx, &w.conn), tx.CreateService(ctx, &w.svc), tx.CreateTarget(ctx, &w.target),
			tx.CreateDomain(ctx, &w.domain), tx.CreateCertificate(ctx, &w.cert), tx.CreateAPIKey(ctx, &w.key), tx.CreateJoinToken(ctx, &w.join),
			tx.CreateAuthority(ctx, "web", []byte("pem"), []byte("key")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

var ignoreMeta = cmp.Options{cmpopts.IgnoreTypes(model.Meta{}), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.EquateApproxTime(0)}

func TestRoundTrip(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	same := func(what string, want any, got any, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if diff := cmp.Diff(want, reflect.ValueOf(got).Elem().Interface(), ignoreMeta); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	err := s.View(ctx, func(tx *store.Tx) error {
		org, err := tx.GetOrganizationByName(ctx, "acme")
		same("organization", w.org, org, err)
		region, err := tx.GetRegionByName(ctx, "eu")
		same("region", w.region, region, err)
		pool, err := tx.GetPool(ctx, w.pool.ID)
		same("pool", w.pool, pool, err)
		node, err := tx.GetNodeByName(ctx, "n1")
		same("node", w.node, node, err)
		site, err := tx.GetSiteByName(ctx, w.org.ID, "home")
		same("site", w.site, site, err)
		conn, err := tx.GetConnectorByName(ctx, w.org.ID, "pi")
		same("connector", w.conn, conn, err)
		svc, err := tx.GetServiceByHostname(ctx, "*.example.org")
		same("service", w.svc, svc, err)
		target, err := tx.GetTargetByName(ctx, w.org.ID, "wiki-1")
		same("target", w.target, target, err)
		domains, err := tx.ListDomainsCovering(ctx, "a.b.example.org")
		same("domain", w.domain, domains[0], err)
		certs, err := tx.ListCertificatesNamed(ctx, w.org.ID, "example.org")
		same("certificate", w.cert, certs[0], err)
		key, err := tx.GetAPIKeyByName(ctx, model.OrgID{}, "root")
		same("API key", w.key, key, err)
		join, err := tx.GetJoinToken(ctx, w.join.ID)
		same("join token", w.join, join, err)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFaults(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	other := model.Organization{ID: model.OrgID{}.New(), Name: "other"}
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateOrganization(ctx, &other) }); err != nil {
		t.Fatal(err)
	}
	before, err := s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		do    func(tx *store.Tx) error
		kind  fault.Kind
		field string
	}{
		"name taken": {func(tx *store.Tx) error {
			c := w.site
			c.ID = c.ID.New()
			return tx.CreateSite(ctx, &c)
		}, fault.Conflict, "name"},
		"hostname taken": {func(tx *store.Tx) error {
			c := w.svc
			c.ID, c.Name = c.ID.New(), "wiki2"
			return tx.CreateService(ctx, &c)
		}, fault.Conflict, "hostname"},
		"no such pool": {func(tx *store.Tx) error {
			c := w.site
			c.ID, c.Name, c.Pool = c.ID.New(), "x", c.Pool.New()
			return tx.CreateSite(ctx, &c)
		}, fault.Invalid, "pool"},
		"site of another organization": {func(tx *store.Tx) error {
			c := w.conn
			c.ID, c.Name, c.Org = c.ID.New(), "x", other.ID
			return tx.CreateConnector(ctx, &c)
		}, fault.Invalid, "site"},
		"port": {func(tx *store.Tx) error {
			c := w.target
			c.ID, c.Name, c.Port = c.ID.New(), "x", 0
			return tx.CreateTarget(ctx, &c)
		}, fault.Invalid, "port"},
		"in use":          {func(tx *store.Tx) error { return tx.DeletePool(ctx, w.pool.ID) }, fault.Conflict, ""},
		"not there":       {func(tx *store.Tx) error { return tx.DeletePool(ctx, w.pool.ID.New()) }, fault.NotFound, ""},
		"domain below":    {func(tx *store.Tx) error { return overlap(t, tx, w, other.ID, "sub.example.org") }, fault.Conflict, "name"},
		"domain above":    {func(tx *store.Tx) error { return overlap(t, tx, w, other.ID, "org") }, fault.Conflict, "name"},
		"key of another":  {func(tx *store.Tx) error { c := w.key; c.ID = c.ID.New(); return tx.CreateAPIKey(ctx, &c) }, fault.Conflict, "name"},
		"bad name":        {func(tx *store.Tx) error { c := w.pool; c.ID, c.Name = c.ID.New(), "No!"; return tx.CreatePool(ctx, &c) }, fault.Invalid, "label"},
		"token not there": {func(tx *store.Tx) error { _, err := tx.UseJoinToken(ctx, []byte("x"), time.Now()); return err }, fault.NotFound, ""},
	} {
		_, err := s.Tx(ctx, "test", tc.do)
		fe, _ := errors.AsType[*fault.Error](err)
		if fe == nil || fe.Kind != tc.kind || fe.Field != tc.field {
			t.Errorf("%s: %v, want %v of %q", name, err, tc.kind, tc.field)
		}
	}
	after, err := s.Load(ctx)
	if err != nil || after.To != before.To {
		t.Errorf("refused writes took revisions: %d to %d, %v", before.To, after.To, err)
	}
}

func overlap(t *testing.T, tx *store.Tx, w *world, org model.OrgID, name string) error {
	return tx.CreateDomain(t.Context(), &model.Domain{ID: model.DomainID{}.New(), Org: org, Name: name, Pool: w.pool.ID})
}

func TestUpdateThatChangesNothing(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		changed, err := tx.UpdateSite(ctx, &w.site)
		if changed {
			t.Error("an equal site was written")
		}
		return err
	})
	if err != nil || rev != 0 {
		t.Errorf("revision %d, %v", rev, err)
	}
	w.site.Tunnels = 4
	rev, err = s.Tx(ctx, "test", func(tx *store.Tx) error { _, err := tx.UpdateSite(ctx, &w.site); return err })
	if err != nil || rev == 0 {
		t.Errorf("a change: revision %d, %v", rev, err)
	}
}

func TestJoinTokenIsUsedOnce(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.join.Expires = time.Now().Add(time.Minute)
	w.create(t, s)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 10 {
		wg.Go(func() {
			_, err := s.Tx(ctx, "test", func(tx *store.Tx) error { _, err := tx.UseJoinToken(ctx, w.join.Hash, time.Now()); return err })
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

// Whoever changes a row, and however: the step carries the row as it is then.
func TestChanges(t *testing.T) {
	dsn := storetest.DSN(t)
	s, w, ctx := storetest.Open(t, dsn), newWorld(t), t.Context()
	w.create(t, s)
	base, err := s.Load(ctx)
	if err != nil || base.To != 1 {
		t.Fatal(base.To, err)
	}
	sql := func(q string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	at := base.To
	step := func(want model.Revision) model.Batch {
		t.Helper()
		b, err := s.Changes(ctx, at, 100)
		if err != nil || b.To != want || b.CommittedAt.IsZero() {
			t.Fatalf("%+v, %v; want revision %d", b, err, want)
		}
		at = b.To
		return b
	}

	sql("UPDATE services SET hostname = 'new.example.org'")
	if b := step(2); b.Services[w.svc.ID].Hostname != "new.example.org" || b.Sites != nil {
		t.Errorf("%+v", b)
	}
	sql("UPDATE services SET hostname = hostname")
	if b, err := s.Changes(ctx, at, 100); err != nil || b.To != at {
		t.Errorf("an update of nothing made revision %d, %v", b.To, err)
	}
	sql("DELETE FROM services")
	b := step(3)
	if v, ok := b.Services[w.svc.ID]; !ok || v != nil {
		t.Errorf("deleted service: %v, %v", v, ok)
	}
	if v, ok := b.Targets[w.target.ID]; !ok || v != nil {
		t.Errorf("target deleted along: %v, %v", v, ok)
	}
	sql("UPDATE authorities SET cert_pem = 'other'")
	if b := step(4); string(b.Authorities["web"]) != "other" {
		t.Errorf("%+v", b.Authorities)
	}
	sql("TRUNCATE certificates")
	if b := step(5); !b.Reload || len(b.Certificates) != 0 || len(b.Sites) != 1 {
		t.Errorf("after TRUNCATE: %+v", b)
	}
	sql("BEGIN; UPDATE sites SET tunnels = 5; UPDATE pools SET name = 'other'; COMMIT")
	if b := step(6); b.Sites[w.site.ID].Tunnels != 5 || b.Pools[w.pool.ID].Name != "other" {
		t.Errorf("%+v", b)
	}
	if b, err := s.Changes(ctx, 1, 1); err != nil || !b.Reload {
		t.Errorf("too many changes: %+v, %v", b, err)
	}
	if b, err := s.Changes(ctx, 99, 100); err != nil || !b.Reload || b.To != 6 {
		t.Errorf("a follower ahead of a restored database: %+v, %v", b, err)
	}
	if n, err := s.Prune(ctx, time.Now().Add(time.Hour)); err != nil || n != 5 {
		t.Errorf("pruned %d, %v", n, err)
	}
	if b, err := s.Changes(ctx, 2, 100); err != nil || !b.Reload {
		t.Errorf("behind the log: %+v, %v", b, err)
	}
	if b, err := s.Changes(ctx, 6, 100); err != nil || b.Reload || b.To != 6 {
		t.Errorf("at the head of a pruned log: %+v, %v", b, err)
	}
}

func TestReplicaLock(t *testing.T) {
	dsn := storetest.DSN(t)
	s, ctx := storetest.Open(t, dsn), t.Context()
	one, err := s.ReplicaLock(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, exclusive := range []bool{true, false} {
		if _, err := s.ReplicaLock(ctx, exclusive); fault.Of(err) != fault.Conflict {
			t.Errorf("second replica (exclusive %v): %v", exclusive, err)
		}
	}
	one.Release()
	a, err := s.ReplicaLock(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	b, err := s.ReplicaLock(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
}
