package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

// with returns a changed copy.
func with[V any](v V, change func(*V)) *V {
	change(&v)
	return &v
}

type refusal struct {
	name  string
	do    func(tx *store.Tx) error
	kind  fault.Kind
	field string
	msg   string // part of it
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
	for _, tc := range slices.Concat(taken(ctx, w), dangling(ctx, w, other.ID), unchecked(ctx, t, w)) {
		_, err := s.Tx(ctx, "test", tc.do)
		fe, _ := errors.AsType[*fault.Error](err)
		if fe == nil || fe.Kind != tc.kind || fe.Field != tc.field || !strings.Contains(fe.Msg, tc.msg) {
			t.Errorf("%s: %v; want %v of %q: %s", tc.name, err, tc.kind, tc.field, tc.msg)
		}
	}
	after, err := s.Load(ctx)
	if err != nil || after.To != before.To {
		t.Errorf("refused writes took revisions: %d to %d, %v", before.To, after.To, err)
	}
}

// What is unique, and what is in use.
func taken(ctx context.Context, w *world) []refusal {
	conflict := func(name, field string, do func(tx *store.Tx) error) refusal {
		return refusal{name, do, fault.Conflict, field, "already taken"}
	}
	used := func(name, msg string, do func(tx *store.Tx) error) refusal {
		return refusal{name, do, fault.Conflict, "", msg}
	}
	hash := slices.Repeat([]byte{9}, 32)
	return []refusal{
		conflict("organization's name", "name", func(tx *store.Tx) error {
			return tx.CreateOrganization(ctx, with(w.org, func(v *model.Organization) { v.ID = v.ID.New() }))
		}),
		conflict("region's name", "name", func(tx *store.Tx) error {
			return tx.CreateRegion(ctx, with(w.region, func(v *model.Region) { v.ID = v.ID.New() }))
		}),
		conflict("pool's name", "name", func(tx *store.Tx) error {
			return tx.CreatePool(ctx, with(w.pool, func(v *model.Pool) { v.ID = v.ID.New() }))
		}),
		conflict("node's name", "name", func(tx *store.Tx) error {
			return tx.CreateNode(ctx, with(w.node, func(v *model.Node) { v.ID, v.WireGuardKey = v.ID.New(), wgkey.Public{1} }))
		}),
		conflict("node's key", "wireguard_public_key", func(tx *store.Tx) error {
			return tx.CreateNode(ctx, with(w.node, func(v *model.Node) { v.ID, v.Name = v.ID.New(), "n2" }))
		}),
		conflict("node's key, a connector's", "wireguard_public_key", func(tx *store.Tx) error {
			return tx.CreateNode(ctx, with(w.node, func(v *model.Node) { v.ID, v.Name, v.WireGuardKey = v.ID.New(), "n2", w.conn.WireGuardKey }))
		}),
		conflict("connector's key, a node's", "wireguard_public_key", func(tx *store.Tx) error {
			_, err := tx.UpdateConnector(ctx, with(w.conn, func(v *model.Connector) { v.WireGuardKey = w.node.WireGuardKey }))
			return err
		}),
		conflict("site's key, a node's", "wireguard_public_key", func(tx *store.Tx) error {
			return tx.CreateSite(ctx, with(w.site, func(v *model.Site) { *v = peerSite(*v, w.node.WireGuardKey) }))
		}),
		conflict("site's key, a connector's", "wireguard_public_key", func(tx *store.Tx) error {
			return tx.CreateSite(ctx, with(w.site, func(v *model.Site) { *v = peerSite(*v, w.conn.WireGuardKey) }))
		}),
		conflict("site's key, another site's", "wireguard_public_key", func(tx *store.Tx) error {
			a, b := peerSite(w.site, wgkey.Public{1}), peerSite(w.site, wgkey.Public{1})
			b.Name = "router2"
			return errors.Join(tx.CreateSite(ctx, &a), tx.CreateSite(ctx, &b))
		}),
		conflict("connector's key, a site's", "wireguard_public_key", func(tx *store.Tx) error {
			a := peerSite(w.site, wgkey.Public{1})
			if err := tx.CreateSite(ctx, &a); err != nil {
				return err
			}
			return tx.CreateConnector(ctx, with(w.conn, func(v *model.Connector) { v.ID, v.Name, v.WireGuardKey = v.ID.New(), "pi2", a.PeerKey }))
		}),
		conflict("site's name", "name", func(tx *store.Tx) error {
			return tx.CreateSite(ctx, with(w.site, func(v *model.Site) { v.ID = v.ID.New() }))
		}),
		conflict("connector's name", "name", func(tx *store.Tx) error {
			return tx.CreateConnector(ctx, with(w.conn, func(v *model.Connector) { v.ID, v.WireGuardKey = v.ID.New(), wgkey.Public{1} }))
		}),
		conflict("connector's key", "wireguard_public_key", func(tx *store.Tx) error {
			return tx.CreateConnector(ctx, with(w.conn, func(v *model.Connector) { v.ID, v.Name = v.ID.New(), "pi2" }))
		}),
		conflict("service's name", "name", func(tx *store.Tx) error {
			return tx.CreateService(ctx, with(w.svc, func(v *model.Service) { v.ID, v.Hostname = v.ID.New(), "x.example.org" }))
		}),
		conflict("service's hostname", "hostname", func(tx *store.Tx) error {
			return tx.CreateService(ctx, with(w.svc, func(v *model.Service) { v.ID, v.Name = v.ID.New(), "wiki2" }))
		}),
		conflict("target's name", "name", func(tx *store.Tx) error {
			return tx.CreateTarget(ctx, with(w.target, func(v *model.Target) { v.ID = v.ID.New() }))
		}),
		conflict("domain's name", "name", func(tx *store.Tx) error {
			return tx.CreateDomain(ctx, with(w.domain, func(v *model.Domain) { v.ID = v.ID.New() }))
		}),
		conflict("name of a key of the cluster", "name", func(tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, with(w.key, func(v *model.APIKey) { v.ID, v.Hash = v.ID.New(), hash }))
		}),
		conflict("hash of a key", "hash", func(tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, with(w.key, func(v *model.APIKey) { v.ID, v.Name = v.ID.New(), "k2" }))
		}),
		conflict("hash of a token", "hash", func(tx *store.Tx) error {
			return tx.CreateJoinToken(ctx, with(w.join, func(v *model.JoinToken) { v.ID = v.ID.New() }))
		}),
		used("pool in use", "pool is still used by ", func(tx *store.Tx) error { return tx.DeletePool(ctx, w.pool.ID) }),
		used("region in use", "region is still used by nodes", func(tx *store.Tx) error { return tx.DeleteRegion(ctx, w.region.ID) }),
		used("organization in use", "organization is still used by ", func(tx *store.Tx) error { return tx.DeleteOrganization(ctx, w.org.ID) }),
		used("site in use", "site is still used by ", func(tx *store.Tx) error { return tx.DeleteSite(ctx, w.site.ID) }),
	}
}

// What must exist, in the same organization.
func dangling(ctx context.Context, w *world, other model.OrgID) []refusal {
	invalid := func(name, field string, do func(tx *store.Tx) error) refusal {
		return refusal{name, do, fault.Invalid, field, "does not exist"}
	}
	apart := func(name, apex string) refusal {
		return refusal{name, func(tx *store.Tx) error {
			return tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: other, Name: apex, Pool: w.pool.ID})
		}, fault.Conflict, "name", "another organization"}
	}
	return []refusal{
		invalid("node's pool", "pool", func(tx *store.Tx) error {
			return tx.CreateNode(ctx, &model.Node{ID: model.NodeID{}.New(), Name: "x", Pool: w.pool.ID.New(), Lifecycle: model.Active})
		}),
		invalid("node's region", "region", func(tx *store.Tx) error {
			return tx.CreateNode(ctx, &model.Node{ID: model.NodeID{}.New(), Name: "x", Pool: w.pool.ID, Region: w.region.ID.New(), Lifecycle: model.Active})
		}),
		invalid("site's pool", "pool", func(tx *store.Tx) error {
			_, err := tx.UpdateSite(ctx, with(w.site, func(v *model.Site) { v.Pool = v.Pool.New() }))
			return err
		}),
		invalid("site's organization", "organization", func(tx *store.Tx) error {
			return tx.CreateSite(ctx, with(w.site, func(v *model.Site) { v.ID, v.Org = v.ID.New(), v.Org.New() }))
		}),
		invalid("site's region", "region", func(tx *store.Tx) error {
			_, err := tx.UpdateSite(ctx, with(w.site, func(v *model.Site) { v.Region = v.Region.New() }))
			return err
		}),
		invalid("connector's site is of another organization", "site", func(tx *store.Tx) error {
			return tx.CreateConnector(ctx, &model.Connector{ID: model.ConnectorID{}.New(), Org: other, Site: w.site.ID, Name: "x"})
		}),
		invalid("target's site", "site", func(tx *store.Tx) error {
			return tx.CreateTarget(ctx, with(w.target, func(v *model.Target) { v.ID, v.Name, v.Site = v.ID.New(), "x", v.Site.New() }))
		}),
		invalid("target's service", "service", func(tx *store.Tx) error {
			return tx.CreateTarget(ctx, with(w.target, func(v *model.Target) { v.ID, v.Name, v.Service = v.ID.New(), "x", v.Service.New() }))
		}),
		invalid("service's pool", "pool", func(tx *store.Tx) error {
			return tx.CreateService(ctx, with(w.svc, func(v *model.Service) {
				v.ID, v.Name, v.Hostname, v.Pool = v.ID.New(), "x", "x.example.org", v.Pool.New()
			}))
		}),
		invalid("domain's pool", "pool", func(tx *store.Tx) error {
			return tx.CreateDomain(ctx, with(w.domain, func(v *model.Domain) { v.ID, v.Name, v.Pool = v.ID.New(), "example.net", v.Pool.New() }))
		}),
		invalid("certificate's organization", "organization", func(tx *store.Tx) error {
			return tx.CreateCertificate(ctx, with(w.cert, func(v *model.Certificate) { v.ID, v.Org = v.ID.New(), v.Org.New() }))
		}),
		invalid("API key's organization", "organization", func(tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, with(w.key, func(v *model.APIKey) { v.ID, v.Org, v.Hash = v.ID.New(), w.org.ID.New(), slices.Repeat([]byte{1}, 32) }))
		}),
		invalid("token's node", "node", func(tx *store.Tx) error {
			return tx.CreateJoinToken(ctx, with(w.join, func(v *model.JoinToken) {
				v.ID, v.Node, v.Hash = v.ID.New(), v.Node.New(), slices.Repeat([]byte{1}, 32)
			}))
		}),
		apart("domain below another's", "sub.example.org"),
		apart("domain above another's", "org"),
	}
}

// What the columns refuse. The API has refused it before: these guard against other writers.
func unchecked(ctx context.Context, t *testing.T, w *world) []refusal {
	node := func(name, field, msg string, change func(*model.Node)) refusal {
		return refusal{"node: " + name, func(tx *store.Tx) error { _, err := tx.UpdateNode(ctx, with(w.node, change)); return err }, fault.Invalid, field, msg}
	}
	site := func(name, field, msg string, change func(*model.Site)) refusal {
		return refusal{"site: " + name, func(tx *store.Tx) error { _, err := tx.UpdateSite(ctx, with(w.site, change)); return err }, fault.Invalid, field, msg}
	}
	svc := func(name, field, msg string, change func(*model.Service)) refusal {
		return refusal{"service: " + name, func(tx *store.Tx) error { _, err := tx.UpdateService(ctx, with(w.svc, change)); return err }, fault.Invalid, field, msg}
	}
	raw := func(name, field, msg string, change func(*model.Service)) refusal {
		return refusal{"raw service: " + name, func(tx *store.Tx) error { _, err := tx.UpdateService(ctx, with(w.raw, change)); return err }, fault.Invalid, field, msg}
	}
	target := func(name, field, msg string, change func(*model.Target)) refusal {
		return refusal{"target: " + name, func(tx *store.Tx) error { _, err := tx.UpdateTarget(ctx, with(w.target, change)); return err }, fault.Invalid, field, msg}
	}
	domain := func(apex string) refusal {
		return refusal{"domain: " + apex, func(tx *store.Tx) error {
			_, err := tx.UpdateDomain(ctx, with(w.domain, func(v *model.Domain) { v.Name = apex }))
			return err
		}, fault.Invalid, "name", "canonical hostname"}
	}
	out := []refusal{
		node("long name", "name", "60 characters", func(v *model.Node) { v.Name = strings.Repeat("a", 61) }),
		node("lifecycle", "lifecycle", "active or draining", func(v *model.Node) { v.Lifecycle = "gone" }),
		node("capacity", "capacity", "1 to 1000", func(v *model.Node) { v.Capacity = 1001 }),
		node("capacity", "capacity", "1 to 1000", func(v *model.Node) { v.Capacity = -1 }),
		node("pinned", "pinned", "want addresses", func(v *model.Node) { v.Pinned = []string{"name"} }),
		site("kind", "kind", "connector, local or wireguard", func(v *model.Site) { v.Kind = "remote" }),
		site("carrier", "carrier", "auto, stream or wireguard", func(v *model.Site) { v.Carrier = "pigeon" }),
		site("local without nodes", "nodes", "a local site", func(v *model.Site) { v.Kind = model.LocalSite }),
		site("nodes of its own", "nodes", "a local site", func(v *model.Site) { v.Nodes = []model.NodeID{w.node.ID} }),
		site("tunnels", "tunnels", "1 to 8", func(v *model.Site) { v.Tunnels = 9 }),
		site("tunnels", "tunnels", "1 to 8", func(v *model.Site) { v.Tunnels = 0 }),
		site("NUL", "", "malformed", func(v *model.Site) { v.Name = "a\x00" }),
		svc("kind", "kind", "http, tls, tcp or udp", func(v *model.Service) { v.Kind, v.Delivery, v.Maintenance = "quic", nil, nil }),
		svc("NUL in JSON", "", "malformed", func(v *model.Service) { v.Maintenance = &model.Maintenance{Title: "a\x00"} }),
		svc("no hostname", "hostname", "canonical hostname", func(v *model.Service) { v.Hostname = "" }),
		svc("ports", "ports", "tcp or udp", func(v *model.Service) { v.Ports = model.Ports{First: 1, Last: 1} }),
		svc("proxy protocol", "proxy_protocol", "tcp or tls", func(v *model.Service) { v.ProxyProtocol = 1 }),
		svc("terminate", "terminate", "tls", func(v *model.Service) { v.Terminate = true }),
		raw("delivery", "delivery", "http services", func(v *model.Service) { v.Delivery = &model.Delivery{Host: "a"} }),
		raw("maintenance", "maintenance", "http services", func(v *model.Service) { v.Maintenance = &model.Maintenance{} }),
		target("scheme", "scheme", "http, https or h2c", func(v *model.Target) { v.Upstream.Scheme = "ftp" }),
		raw("hostname", "hostname", "http and tls", func(v *model.Service) { v.Hostname = "raw.example.org" }),
		raw("no ports", "ports", "1 to 1000", func(v *model.Service) { v.Ports = model.Ports{} }),
		raw("backwards", "ports", "1 to 1000", func(v *model.Service) { v.Ports = model.Ports{First: 2, Last: 1} }),
		raw("too many", "ports", "1 to 1000", func(v *model.Service) { v.Ports = model.Ports{First: 1, Last: 1001} }),
		raw("proxy protocol", "proxy_protocol", "1 or 2", func(v *model.Service) { v.ProxyProtocol = 3 }),
		target("port", "port", "1 to 65535", func(v *model.Target) { v.Port = 0 }),
		target("weight", "weight", "1 to 1000", func(v *model.Target) { v.Weight = 0 }),
		target("weight", "weight", "1 to 1000", func(v *model.Target) { v.Weight = 1001 }),
		{"certificate: no names", func(tx *store.Tx) error {
			_, err := tx.UpdateCertificate(ctx, with(w.cert, func(v *model.Certificate) { v.Names = []string{} }))
			return err
		}, fault.Invalid, "names", "at least one"},
		{"certificate: name", func(tx *store.Tx) error {
			_, err := tx.UpdateCertificate(ctx, with(w.cert, func(v *model.Certificate) { v.Names = []string{"a.example.org", "B.example.org"} }))
			return err
		}, fault.Invalid, "names", "canonical"},
		{"authority", func(tx *store.Tx) error { return tx.CreateAuthority(ctx, "other", nil, []byte{}) }, fault.Invalid, "cert_pem", "missing"},
		{"authority", func(tx *store.Tx) error { return tx.CreateAuthority(ctx, "other", []byte{}, []byte{}) }, fault.Invalid, "kind", "identity or web"},
		{"token for nobody", func(tx *store.Tx) error {
			_, err := tx.UpdateJoinToken(ctx, with(w.join, func(v *model.JoinToken) { v.Node = model.NodeID{} }))
			return err
		}, fault.Invalid, "subject", "exactly one"},
	}
	for _, name := range []string{"", "A", "a_b", "-a", "a-", "a.b", strings.Repeat("a", 64)} {
		out = append(out, site("name "+name, "name", "63 lower-case", func(v *model.Site) { v.Name = name }))
	}
	for _, apex := range []string{"", "*.example.org", "Example.org", "a..b", "example.org.", "a_b.org", "192.0.2.1", strings.Repeat("a.", 126) + "org"} {
		out = append(out, domain(apex))
	}
	for _, h := range []string{"", "*", "a.*.example.org", "*.*.example.org", "*a.example.org", "wiki..example.org"} {
		out = append(out, svc("hostname "+h, "hostname", "canonical hostname", func(v *model.Service) { v.Hostname = h }))
	}
	for _, p := range []string{"", "a", "/a/", "//", "/a//b", "/a?b", "/a#b", "/a b", "/a\n", "/.", "/a/../b", "/a/.."} {
		out = append(out, target("path "+p, "path_prefix", "like /a/b", func(v *model.Target) { v.PathPrefix = p }))
	}
	for _, a := range []string{"", "10.0.0", "10.0.0.1/24", "Host", "a b", "host.", "fe80::1%eth0"} {
		out = append(out, target("address "+a, "address", "IP address", func(v *model.Target) { v.Address = a }))
	}
	return out
}

// Rows written by hand that a replica could not read would stop its feed: they are refused.
func TestRowsByHandStayReadable(t *testing.T) {
	dsn := storetest.DSN(t)
	s, w, ctx := storetest.Open(t, dsn), newWorld(t), t.Context()
	w.create(t, s)
	conn := connect(t, dsn)
	for _, sql := range []string{
		"UPDATE nodes SET addresses = '{10.0.0.0/8}'",
		"UPDATE nodes SET addresses = '{NULL}'",
		"UPDATE nodes SET addresses = '{{10.0.0.1},{10.0.0.2}}'",
		"UPDATE nodes SET wireguard_endpoint = 'example.org'",
		"UPDATE nodes SET stream_endpoint = 'Example.org:1'",
		"UPDATE nodes SET gossip_endpoint = '192.0.2.1'",
		"UPDATE nodes SET pinned = '{NULL}'",
		"UPDATE sites SET kind = 'local', node_ids = '{NULL}'",
		"UPDATE nodes SET wireguard_public_key = '\\x00'",
		"UPDATE nodes SET revoked_at = 'infinity'",
		"UPDATE certificates SET names = '{NULL}'",
		"UPDATE certificates SET names = '{{a},{b}}'",
		"UPDATE certificates SET names = '{a b}'",
		"UPDATE certificates SET not_after = 'infinity'",
		"UPDATE targets SET port = 65536",
		"UPDATE targets SET health_check = '[]'",
		"UPDATE services SET allow = '{NULL}' WHERE kind = 'tcp'",
		"UPDATE services SET allow = '{{10.0.0.0/8},{10.0.0.0/8}}' WHERE kind = 'tcp'",
		"UPDATE services SET last_port = 70000 WHERE kind = 'tcp'",
	} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("taken: %s", sql)
		} else if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "23514" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// Nonsense that can be read is let through: what it means is decided per resource, and refused there.
	if _, err := conn.Exec(ctx, "UPDATE certificates SET chain_pem = 'no certificate'"); err != nil {
		t.Error(err)
	}
	// A check that makes no sense is none: the connectors of its site need the rest.
	for _, doc := range []string{`{}`, `{"kind": "http", "interval_ms": "soon"}`, `{"kind": "tcp", "interval_ms": 1, "timeout_ms": 1}`} {
		if _, err := conn.Exec(ctx, "UPDATE targets SET health_check = $1", doc); err != nil {
			t.Error(err)
		}
		if b, err := s.Load(ctx); err != nil || b.Targets[w.target.ID].HealthCheck != nil {
			t.Errorf("%s: %+v, %v", doc, b.Targets[w.target.ID].HealthCheck, err)
		}
	}
	if _, err := s.Load(ctx); err != nil {
		t.Error(err)
	}
}

func TestUnavailable(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, "postgres://warren@/none?host="+t.TempDir())
	for name, err := range map[string]error{
		"ping":    s.Ping(ctx),
		"migrate": s.Migrate(ctx),
		"view":    s.View(ctx, func(*store.Tx) error { return nil }),
		"tx":      func() error { _, err := s.Tx(ctx, "test", func(*store.Tx) error { return nil }); return err }(),
		"load":    func() error { _, err := s.Load(ctx); return err }(),
		"lock":    func() error { _, err := s.ReplicaLock(ctx, true); return err }(),
		"hints":   s.Listen(ctx, func() { t.Error("a hint without a database") }),
	} {
		if fault.Of(err) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A statement that waits too long is given up, and the connection stays of use.
	dsn := storetest.DSN(t)
	hasty, err := store.Open(ctx, dsn, store.Options{StatementTimeout: 2 * time.Second, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer hasty.Close()
	conn := connect(t, dsn)
	if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE regions"); err != nil {
		t.Fatal(err)
	}
	create := func(tx *store.Tx) error {
		return tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: "r"})
	}
	if _, err := hasty.Tx(ctx, "test", create); fault.Of(err) != fault.Unavailable {
		t.Errorf("behind a lock: %v", err)
	}
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := hasty.Tx(ctx, "test", create); err != nil {
		t.Error(err)
	}
}

// What the caller's function says is the caller's: it comes back as it is.
func TestOwnErrors(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	own := errors.New("own")
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: "r"}), own)
	})
	if rev != 0 || !errors.Is(err, own) || fault.Of(err) != fault.Internal {
		t.Errorf("%d, %v", rev, err)
	}
	if err := s.View(ctx, func(tx *store.Tx) error {
		return tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: "r"})
	}); fault.Of(err) != fault.Unavailable {
		t.Errorf("a write in a view: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.View(ended, func(*store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if b, err := s.Load(ctx); err != nil || b.To != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

// peerSite makes another site of one: a WireGuard site.
func peerSite(s model.Site, key wgkey.Public) model.Site {
	s.Publish = nil // it has no connectors that could
	s.ID, s.Name, s.Kind, s.Carrier, s.PeerKey = s.ID.New(), "router", model.WireGuardSite, model.AutoCarrier, key
	return s
}
