package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/jointoken"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type fixture struct {
	t     *testing.T
	store *store.Store
	srv   *Server
	ca    *authority.Authority
	node  model.Node
	conn  model.Connector
	who   identity.Identity // the caller of Renew
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, store: storetest.New(t)}
	cert, key, err := authority.Create(authority.Identity, "cluster-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.ca, err = authority.Parse(authority.Identity, cert, key); err != nil {
		t.Fatal(err)
	}
	admit := func(ctx context.Context) (identity.Identity, context.Context, error) { return f.who, ctx, nil }
	f.srv = New("cluster-1", f.store, f.ca, admit, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	org := model.Organization{ID: model.OrgID{}.New(), Name: "o"}
	pool := model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	site := model.Site{ID: model.SiteID{}.New(), Org: org.ID, Name: "s", Pool: pool.ID, Tunnels: 2}
	f.node = model.Node{ID: model.NodeID{}.New(), Name: "n1", Pool: pool.ID, Lifecycle: model.Active}
	f.conn = model.Connector{ID: model.ConnectorID{}.New(), Org: org.ID, Site: site.ID, Name: "c1"}
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, &org), tx.CreatePool(ctx, &pool), tx.CreateSite(ctx, &site), tx.CreateNode(ctx, &f.node), tx.CreateConnector(ctx, &f.conn))
	})
	return f
}

func (f *fixture) tx(do func(ctx context.Context, tx *store.Tx) error) {
	f.t.Helper()
	if _, err := f.store.Tx(f.t.Context(), "test", func(tx *store.Tx) error { return do(f.t.Context(), tx) }); err != nil {
		f.t.Fatal(err)
	}
}

// token stores a join token and returns its text.
func (f *fixture) token(j model.JoinToken) string {
	f.t.Helper()
	t := jointoken.New(f.ca.Fingerprint())
	j.ID, j.Hash = model.JoinTokenID{}.New(), t.Hash()
	if j.Expires.IsZero() {
		j.Expires = time.Now().Add(10 * time.Minute)
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error { return tx.CreateJoinToken(ctx, &j) })
	return t.Reveal()
}

func csr(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"anything"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func request(t *testing.T, token, kind, name string) *enrollv1.JoinRequest {
	t.Helper()
	k, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	pub := k.Public()
	return &enrollv1.JoinRequest{
		Token: token, Kind: kind, Name: name, CsrDer: csr(t), WireguardPublicKey: pub[:],
		Addresses: []string{"198.51.100.7"}, WireguardEndpoint: "198.51.100.7:51820",
	}
}

func identityOf(t *testing.T, chain []byte) identity.Identity {
	t.Helper()
	block, _ := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.FromCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestJoinNode(t *testing.T) {
	f := setup(t)
	resp, err := f.srv.Join(t.Context(), request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n1"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := identityOf(t, resp.GetCertificatePem()), (identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: f.node.ID.String()}); got != want {
		t.Errorf("certificate says %v, want %v", got, want)
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.GetNode(ctx, f.node.ID)
		if err != nil {
			return err
		}
		if !n.Enrolled() || n.WireGuardEndpoint != endpoint.MustParse("198.51.100.7:51820") || len(n.Addresses) != 1 {
			t.Errorf("row: %+v", n)
		}
		return nil
	})
}

func TestJoinConnector(t *testing.T) {
	f := setup(t)
	resp, err := f.srv.Join(t.Context(), request(t, f.token(model.JoinToken{Connector: f.conn.ID, Name: "c1"}), "connector", "c1"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetId() != f.conn.ID.String() || resp.GetSiteId() != f.conn.Site.String() || resp.GetOverlayAddress() == "" {
		t.Errorf("%v", resp)
	}
}

// T16: single use, bound to name and kind, ten minutes; a refusal tells nothing.
func TestT16_Refusals(t *testing.T) {
	f := setup(t)
	used := f.token(model.JoinToken{Node: f.node.ID, Name: "n1"})
	if _, err := f.srv.Join(t.Context(), request(t, used, "node", "n1")); err != nil {
		t.Fatal(err)
	}
	weak := request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n1")
	weak.WireguardPublicKey = make([]byte, 32)
	bad := request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n1")
	bad.CsrDer = []byte("x")
	for name, req := range map[string]*enrollv1.JoinRequest{
		"used":                   request(t, used, "node", "n1"),
		"expired":                request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1", Expires: time.Now().Add(-time.Second)}), "node", "n1"),
		"another name":           request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n2"),
		"another kind":           request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "connector", "n1"),
		"control":                request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "control", "n1"),
		"never made":             request(t, jointoken.New(f.ca.Fingerprint()).Reveal(), "node", "n1"),
		"garbage":                request(t, "x", "node", "n1"),
		"zero key":               weak,
		"no certificate request": bad,
	} {
		_, err := f.srv.Join(t.Context(), req)
		if s := status.Convert(err); s.Code() != codes.PermissionDenied || s.Message() != "join refused" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A refused attempt with a right token leaves the token usable: nothing is half done.
func TestRefusalKeepsTheToken(t *testing.T) {
	f := setup(t)
	token := f.token(model.JoinToken{Node: f.node.ID, Name: "n1"})
	if _, err := f.srv.Join(t.Context(), request(t, token, "node", "other")); err == nil {
		t.Fatal("joined with another name")
	}
	if _, err := f.srv.Join(t.Context(), request(t, token, "node", "n1")); err != nil {
		t.Error(err)
	}
}

// Whoever has a right token is told what is wrong with the rest, and may try again with it.
func TestJoinNamesTheSetting(t *testing.T) {
	f := setup(t)
	token := f.token(model.JoinToken{Node: f.node.ID, Name: "n1"})
	req := request(t, token, "node", "n1")
	req.StreamEndpoint = "192.0.2.1:0"
	if _, err := f.srv.Join(t.Context(), req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "stream_endpoint") {
		t.Errorf("%v", err)
	}
	if _, err := f.srv.Join(t.Context(), request(t, token, "node", "n1")); err != nil {
		t.Error(err)
	}
}

// An error of ours is no refusal.
func TestErrorsOfOursAreNotRefusals(t *testing.T) {
	f := setup(t)
	for err, want := range map[error]codes.Code{
		errors.New("disk"):                              codes.Internal,
		fault.New(fault.Unavailable, "database"):        codes.Unavailable,
		context.DeadlineExceeded:                        codes.Unavailable,
		fault.New(fault.Denied, "no"):                   codes.PermissionDenied,
		fault.New(fault.NotFound, "no such join token"): codes.PermissionDenied,
	} {
		got := f.srv.answer(err, "join", "node", "n1")
		if status.Code(got) != want || strings.Contains(got.Error(), err.Error()) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestRevokedDoesNotJoin(t *testing.T) {
	f := setup(t)
	f.node.Revoked = time.Now()
	f.tx(func(ctx context.Context, tx *store.Tx) error { _, err := tx.UpdateNode(ctx, &f.node); return err })
	_, err := f.srv.Join(t.Context(), request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n1"))
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
}

func TestRenewKeepsTheIdentity(t *testing.T) {
	f := setup(t)
	f.who = identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: f.node.ID.String()}
	resp, err := f.srv.Renew(t.Context(), &enrollv1.RenewRequest{CsrDer: csr(t)})
	if err != nil {
		t.Fatal(err)
	}
	if got := identityOf(t, resp.GetCertificatePem()); got != f.who {
		t.Errorf("renewed as %v", got)
	}
	if _, err := f.srv.Renew(t.Context(), &enrollv1.RenewRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no request: %v", err)
	}
}

func (f *fixture) row() *model.Node {
	f.t.Helper()
	var n *model.Node
	f.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = tx.GetNode(ctx, f.node.ID)
		return err
	})
	return n
}

func (f *fixture) head() model.Revision {
	f.t.Helper()
	b, err := f.store.Changes(f.t.Context(), 0, 1)
	if err != nil {
		f.t.Fatal(err)
	}
	return b.To
}

func TestAnnounce(t *testing.T) {
	f := setup(t)
	req := request(t, f.token(model.JoinToken{Node: f.node.ID, Name: "n1"}), "node", "n1")
	req.StreamEndpoint, req.GossipEndpoint = "198.51.100.7:8443", "198.51.100.7:7946"
	if _, err := f.srv.Join(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if n := f.row(); n.StreamEndpoint.String() != req.StreamEndpoint || n.GossipEndpoint.String() != req.GossipEndpoint {
		t.Errorf("joined as %+v", n)
	}
	f.who = identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: f.node.ID.String()}
	same := &enrollv1.AnnounceRequest{Addresses: req.Addresses, WireguardEndpoint: req.WireguardEndpoint, StreamEndpoint: req.StreamEndpoint, GossipEndpoint: req.GossipEndpoint}
	before := f.head()
	for range 2 {
		if _, err := f.srv.Announce(t.Context(), same); err != nil {
			t.Fatal(err)
		}
	}
	if after := f.head(); after != before {
		t.Errorf("the same was announced, revision %d became %d", before, after)
	}
	moved := &enrollv1.AnnounceRequest{Addresses: []string{"203.0.113.2", "203.0.113.1", "203.0.113.1"}, StreamEndpoint: "203.0.113.1:443"}
	if _, err := f.srv.Announce(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	n := f.row()
	if len(n.Addresses) != 2 || n.Addresses[0].String() != "203.0.113.1" || n.StreamEndpoint.String() != "203.0.113.1:443" || n.WireGuardEndpoint.String() != req.WireguardEndpoint || f.head() != before+1 {
		t.Errorf("%+v at %d", n, f.head())
	}
	// What an operator writes stays.
	n.Pinned, n.StreamEndpoint = []string{model.PinStream}, endpoint.MustParse("192.0.2.1:1")
	f.tx(func(ctx context.Context, tx *store.Tx) error { _, err := tx.UpdateNode(ctx, n); return err })
	if _, err := f.srv.Announce(t.Context(), moved); err != nil || f.row().StreamEndpoint != n.StreamEndpoint {
		t.Errorf("%+v, %v", f.row(), err)
	}
}

func TestAnnouncedNonsenseIsNamed(t *testing.T) {
	f := setup(t)
	f.who = identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: f.node.ID.String()}
	before := f.head()
	for says, req := range map[string]*enrollv1.AnnounceRequest{
		"addresses":          {Addresses: []string{"example.org"}},
		"addresses[0]":       {Addresses: []string{"0.0.0.0"}},
		"wireguard_endpoint": {WireguardEndpoint: "edge.example.org"},
		"stream_endpoint":    {StreamEndpoint: "192.0.2.1:0"},
		"gossip_endpoint":    {GossipEndpoint: "224.0.0.1:7946"},
	} {
		if _, err := f.srv.Announce(t.Context(), req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	f.who = identity.Identity{Cluster: "cluster-1", Kind: identity.Connector, ID: f.conn.ID.String()}
	if _, err := f.srv.Announce(t.Context(), &enrollv1.AnnounceRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a connector: %v", err)
	}
	f.who = identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: model.NodeID{}.New().String()}
	if _, err := f.srv.Announce(t.Context(), &enrollv1.AnnounceRequest{}); err == nil {
		t.Error("a node that is not there announces")
	}
	if after := f.head(); after != before {
		t.Errorf("revision %d became %d", before, after)
	}
}

func TestLocalSitesHaveNoConnectors(t *testing.T) {
	f := setup(t)
	token := f.token(model.JoinToken{Connector: f.conn.ID, Name: "c1"})
	f.tx(func(ctx context.Context, tx *store.Tx) error { // as somebody with psql may
		s, err := tx.GetSite(ctx, f.conn.Site)
		if err != nil {
			return err
		}
		s.Kind, s.Nodes = model.LocalSite, []model.NodeID{f.node.ID}
		_, err = tx.UpdateSite(ctx, s)
		return err
	})
	if _, err := f.srv.Join(t.Context(), request(t, token, "connector", "c1")); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "local site") {
		t.Errorf("%v", err)
	}
}
