package visit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	host    = "wiki.example.org"
	cluster = "cluster-1"
)

var binding = accesstoken.Binding("secret of the browser")

// fixture is a cluster with two pools, two organizations and a user of the first, who is signed in.
type fixture struct {
	*Server
	t           *testing.T
	caller      identity.Identity
	node, other model.NodeID
	org         model.OrgID
	user        model.User
	session     *model.Session
	cookie      string
	admin       *admin.Admin
}

func setup(t *testing.T) *fixture {
	t.Helper()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, node: model.NodeID{}.New(), other: model.NodeID{}.New(), org: model.OrgID{}.New()}
	db, ctx := storetest.New(t), t.Context()
	f.admin = admin.New(db, nil, sealer, "")
	f.admin.Ended = Revoke
	f.Server = New(Options{Cluster: cluster, Store: db, Sessions: f.admin, World: model.NewCurrent(), Open: sealer.Open, Log: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
		Admit:      func(ctx context.Context) (identity.Identity, context.Context, error) { return f.caller, ctx, nil }})
	f.caller = identity.Identity{Cluster: cluster, Kind: identity.Node, ID: f.node.String()}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := &model.AccessKey{ID: model.AccessKeyID{}.New(), State: model.AccessKeyCurrent, Public: public}
	if key.SealedKey, err = sealer.Seal(private.Seed(), key.ID.String()); err != nil {
		t.Fatal(err)
	}
	pool, far, foreign := model.PoolID{}.New(), model.PoolID{}.New(), model.OrgID{}.New()
	f.user = model.User{ID: model.UserID{}.New(), Email: "alice@example.org", Name: "Alice"}
	f.tx(func(tx *store.Tx) error {
		return errors.Join(
			tx.CreateOrganization(ctx, &model.Organization{ID: f.org, Name: "acme"}), tx.CreateOrganization(ctx, &model.Organization{ID: foreign, Name: "other"}),
			tx.CreatePool(ctx, &model.Pool{ID: pool, Name: "p"}), tx.CreatePool(ctx, &model.Pool{ID: far, Name: "far"}),
			tx.CreateNode(ctx, &model.Node{ID: f.node, Name: "n1", Pool: pool, Lifecycle: model.Active, WireGuardKey: wgkey.Public{1}}),
			tx.CreateNode(ctx, &model.Node{ID: f.other, Name: "n2", Pool: far, Lifecycle: model.Active, WireGuardKey: wgkey.Public{2}}),
			tx.CreateService(ctx, &model.Service{ID: model.ServiceID{}.New(), Org: f.org, Name: "wiki", Kind: model.HTTP, Hostname: host, Pool: pool}),
			tx.CreateService(ctx, &model.Service{ID: model.ServiceID{}.New(), Org: foreign, Name: "theirs", Kind: model.HTTP, Hostname: "*.example.net", Pool: pool}),
			tx.CreateUser(ctx, &f.user),
			tx.CreateMembership(ctx, &model.Membership{Org: f.org, User: f.user.ID, Roles: []model.RoleID{model.RoleMember}}),
			tx.CreateGroup(ctx, &model.Group{ID: model.GroupID{}.New(), Org: f.org, Name: "staff", Users: []model.UserID{f.user.ID}}),
			tx.CreateAccessKey(ctx, key))
	})
	f.tx(func(tx *store.Tx) (err error) {
		f.cookie, f.session, err = f.admin.NewSession(ctx, tx, admin.SignIn{User: f.user.ID, Address: netip.MustParseAddr("192.0.2.1"), AMR: []string{"pwd"}})
		return err
	})
	f.follow()
	return f
}

func (f *fixture) tx(do func(*store.Tx) error) {
	f.t.Helper()
	if _, err := f.Store.Tx(f.t.Context(), "test", do); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) follow() *model.Model {
	f.t.Helper()
	b, err := f.Store.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.World.Set(f.World.Get().Apply(b))
	return f.World.Get()
}

// open is a browser that a node has sent.
func (f *fixture) open(query, cookie string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, AuthorizePath+"?"+query, nil)
	if cookie != "" {
		r.Header.Set("Cookie", sessionCookie+"="+cookie)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// code is what the browser of the user brings back.
func (f *fixture) code(host string) string {
	f.t.Helper()
	w := f.open(url.Values{"host": {host}, "challenge": {binding}, "state": {"s"}}.Encode(), f.cookie)
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusFound || to.Query().Get("code") == "" {
		f.t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	return to.Query().Get("code")
}

func (f *fixture) redeem(code, host, binding string) (string, codes.Code) {
	r, err := f.Redeem(f.t.Context(), &nodev1.RedeemRequest{Code: code, Host: host, Binding: binding})
	return r.GetToken(), status.Code(err)
}

func (f *fixture) read(token string) *accesstoken.Claims {
	f.t.Helper()
	keys := map[string]ed25519.PublicKey{}
	for k := range f.World.Get().AccessKeys() {
		keys[k.ID.String()] = k.Public
	}
	c, err := accesstoken.Verify(token, keys)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := c.Check(cluster, host, "secret of the browser", time.Now()); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func TestWhereBrowsersAreSent(t *testing.T) {
	f := setup(t)
	good := func(host string) string {
		return url.Values{"host": {host}, "challenge": {binding}, "state": {"st&te"}}.Encode()
	}
	for name, tt := range map[string]struct {
		query, cookie string
		status        int
		to            string
	}{
		"signed in":             {good(host), f.cookie, 302, "https://" + host + "/.warren/callback?"},
		"on another port":       {good(host + ":8443"), f.cookie, 302, "https://" + host + ":8443/.warren/callback?"},
		"not signed in":         {good(host), "", 302, "/sign-in?next=%2Faccess%2Fauthorize%3F"},
		"with a forged session": {good(host), f.cookie[:len(f.cookie)-4] + "AAAA", 302, "/sign-in?next="},
		"of no service":         {good("evil.example"), f.cookie, 400, ""},
		"with a user":           {good("a@" + host), f.cookie, 400, ""},
		"with a path":           {good(host + "/x"), f.cookie, 400, ""},
		"of a bad port":         {good(host + ":0443"), f.cookie, 400, ""},
		"not canonical":         {good(strings.ToUpper(host)), f.cookie, 400, ""},
		"no challenge":          {"host=" + host, f.cookie, 400, ""},
		"a short challenge":     {"host=" + host + "&challenge=abc", f.cookie, 400, ""},
		"a huge state":          {good(host) + strings.Repeat("a", 5000), f.cookie, 400, ""},
	} {
		w := f.open(tt.query, tt.cookie)
		to := w.Header().Get("Location")
		if w.Code != tt.status || (to == "") != (tt.to == "") || !strings.HasPrefix(to, tt.to) {
			t.Errorf("%s: %d to %q, want %d, %q", name, w.Code, to, tt.status, tt.to)
		}
		if w.Code == 302 && tt.cookie == f.cookie {
			if u, _ := url.Parse(to); u.Query().Get("state") != "st&te" {
				t.Errorf("%s: state %q", name, u.Query().Get("state"))
			}
		}
	}
}

func TestRedeem(t *testing.T) {
	f := setup(t)
	code := f.code(host)
	token, is := f.redeem(code, host, binding)
	if is != codes.OK {
		t.Fatal(is)
	}
	c := f.read(token)
	if c.Subject != f.user.ID.String() || c.Session != f.session.ID.String() || c.Org != f.org.String() || c.Email != "alice@example.org" || c.Name != "Alice" ||
		!slices.Equal(c.Groups, []string{"staff"}) || !slices.Equal(c.Roles, []string{"member"}) || !slices.Equal(c.Methods, []string{"pwd"}) {
		t.Errorf("%+v", c)
	}
	for name, do := range map[string]func() codes.Code{
		"a second time":   func() codes.Code { _, is := f.redeem(code, host, binding); return is },
		"a guess":         func() codes.Code { _, is := f.redeem("guess", host, binding); return is },
		"another host":    func() codes.Code { _, is := f.redeem(f.code(host), "x.example.net", binding); return is },
		"another browser": func() codes.Code { _, is := f.redeem(f.code(host), host, accesstoken.Binding("x")); return is },
		"another pool's node": func() codes.Code {
			code := f.code(host)
			f.caller.ID = f.other.String()
			defer func() { f.caller.ID = f.node.String() }()
			_, is := f.redeem(code, host, binding)
			return is
		},
	} {
		if is := do(); is != codes.NotFound {
			t.Errorf("%s: %s", name, is)
		}
	}
	burnt := f.code(host) // with the first attempt, even a wrong one
	f.redeem(burnt, host, accesstoken.Binding("x"))
	if _, is := f.redeem(burnt, host, binding); is != codes.NotFound {
		t.Errorf("after an attempt of another browser: %s", is)
	}
	if _, is := f.redeem(f.code("x.example.net"), "x.example.net", binding); is != codes.PermissionDenied {
		t.Errorf("of an organization that he is no member of: %s", is)
	}
	f.caller = identity.Identity{Cluster: cluster, Kind: identity.Connector, ID: model.ConnectorID{}.New().String()}
	if _, is := f.redeem(f.code(host), host, binding); is != codes.PermissionDenied {
		t.Errorf("by a connector: %s", is)
	}
}

// What is true when a token is renewed is what the new one says; of a session that has ended there is none.
func TestRenew(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	token, _ := f.redeem(f.code(host), host, binding)
	renew := func() (string, codes.Code) {
		r, err := f.Renew(ctx, &nodev1.RenewAccessRequest{Token: token})
		return r.GetToken(), status.Code(err)
	}
	f.tx(func(tx *store.Tx) error {
		g, err := tx.GetGroupByName(ctx, f.org, "staff")
		if err != nil {
			return err
		}
		g.Users = nil
		_, err = tx.UpdateGroup(ctx, g)
		return err
	})
	next, is := renew()
	if is != codes.OK || len(f.read(next).Groups) != 0 {
		t.Fatalf("%s", is)
	}
	f.caller.ID = f.other.String()
	if _, is := renew(); is != codes.Unauthenticated {
		t.Errorf("by a node that does not serve the host: %s", is)
	}
	f.caller.ID = f.node.String()
	f.user.Disabled = time.Now()
	f.tx(func(tx *store.Tx) error { _, err := tx.UpdateUser(ctx, &f.user); return err })
	if _, is := renew(); is != codes.Unauthenticated {
		t.Errorf("of a user who is disabled: %s", is)
	}
	f.user.Disabled = time.Time{}
	f.tx(func(tx *store.Tx) error { _, err := tx.UpdateUser(ctx, &f.user); return err })
	f.tx(func(tx *store.Tx) error { return tx.DeleteMembership(ctx, f.org, f.user.ID) })
	if _, is := renew(); is != codes.Unauthenticated {
		t.Errorf("of who has left the organization: %s", is)
	}
	if r, err := f.Renew(ctx, &nodev1.RenewAccessRequest{Token: "a.b.c"}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("of nonsense: %v, %v", r, err)
	}
}

// Signing out at one service ends the session: nodes are told, and no token of it comes any more.
func TestSignOutIsEverywhere(t *testing.T) {
	f := setup(t)
	token, _ := f.redeem(f.code(host), host, binding)
	unused := f.code(host)
	for range 2 { // it may be repeated
		if _, err := f.SignOut(t.Context(), &nodev1.SignOutRequest{Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	revoked := slices.Collect(f.follow().Revocations())
	if len(revoked) != 1 || revoked[0].Session != f.session.ID.String() {
		t.Errorf("%+v", revoked)
	}
	if _, is := f.redeem(unused, host, binding); is != codes.NotFound {
		t.Errorf("a code of before: %s", is)
	}
	if _, err := f.Renew(t.Context(), &nodev1.RenewAccessRequest{Token: token}); status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	if w := f.open(url.Values{"host": {host}, "challenge": {binding}}.Encode(), f.cookie); !strings.HasPrefix(w.Header().Get("Location"), "/sign-in?") {
		t.Errorf("still signed in: %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestRevokeWithoutSessionsIsOfTheUser(t *testing.T) {
	f := setup(t)
	f.tx(func(tx *store.Tx) error { return Revoke(t.Context(), tx, f.user.ID, nil) })
	if r := slices.Collect(f.follow().Revocations()); len(r) != 1 || r[0].Subject != f.user.ID.String() {
		t.Errorf("%+v", r)
	}
}
