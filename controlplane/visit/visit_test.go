package visit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/policy"
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
	entrance    *Entrance
	mail        *mailtest.Server
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
	f.admin.Ended, f.admin.Changed = Revoke, Stale
	f.Server = New(Options{Cluster: cluster, Store: db, Sessions: f.admin, World: model.NewCurrent(), Open: sealer.Open, Log: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
		Admit:      func(ctx context.Context) (identity.Identity, context.Context, error) { return f.caller, ctx, nil }})
	f.caller = identity.Identity{Cluster: cluster, Kind: identity.Node, ID: f.node.String()}
	f.enter()
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

// enter makes the entrance, with a mail server behind it.
func (f *fixture) enter() {
	f.t.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	f.mail = mailtest.Start(f.t)
	limiter, err := limits.New("", log, reg)
	if err != nil {
		f.t.Fatal(err)
	}
	begun := time.Now()
	limiter.Clock(func() time.Time { return begun }) // a slow machine gets nothing back
	mailer, err := mail.New(mail.Options{Server: f.mail.Addr, Security: mail.Plain, From: "Warren <warren@example.org>", Log: log, Reg: reg})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mailer.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-ended })
	f.entrance = &Entrance{Server: f.Server, Limiter: limiter, Mail: mailer}
}

func wanted(host string) url.Values {
	return url.Values{"host": {host}, "challenge": {binding}, "state": {"st&te"}}
}

// open is a browser that a node has sent.
func (f *fixture) open(q url.Values, cookie string) (*url.URL, error) {
	w, err := f.entrance.Wanted(q)
	if err != nil {
		return nil, err
	}
	to, err := f.entrance.Enter(f.t.Context(), w, cookie)
	if err != nil {
		return nil, err
	}
	return url.Parse(to)
}

// code is what the browser of the user brings back.
func (f *fixture) code(host string) string {
	f.t.Helper()
	to, err := f.open(wanted(host), f.cookie)
	if err != nil || to.Query().Get("code") == "" {
		f.t.Fatalf("%v, %v", to, err)
	}
	return to.Query().Get("code")
}

// guard gives the service another policy.
func (f *fixture) guard(change func(*model.Policy)) {
	f.t.Helper()
	ctx := f.t.Context()
	f.tx(func(tx *store.Tx) error {
		svc, err := tx.GetServiceByHostname(ctx, host)
		if err != nil {
			return err
		}
		p := &model.Policy{ID: svc.Policy, Org: f.org, Name: "guard", Otherwise: policy.Authenticate}
		if change(p); !p.ID.IsZero() {
			_, err = tx.UpdatePolicy(ctx, p)
			return err
		}
		p.ID = model.PolicyID{}.New()
		if err := tx.CreatePolicy(ctx, p); err != nil {
			return err
		}
		svc.Policy = p.ID
		_, err = tx.UpdateService(ctx, svc)
		return err
	})
	f.follow()
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
	with := func(name, value string) url.Values {
		q := wanted(host)
		q.Set(name, value)
		return q
	}
	for name, tt := range map[string]struct {
		q      url.Values
		cookie string
		want   error
		to     string
	}{
		"signed in":             {wanted(host), f.cookie, nil, host},
		"on another port":       {wanted(host + ":8443"), f.cookie, nil, host + ":8443"},
		"not signed in":         {wanted(host), "", ErrNobody, ""},
		"with a forged session": {wanted(host), f.cookie[:len(f.cookie)-4] + "AAAA", ErrNobody, ""},
		"of no service":         {wanted("evil.example"), f.cookie, ErrNoRoom, ""},
		"of somebody else's":    {wanted("x.example.net"), f.cookie, ErrMayNot, ""},
		"with a user":           {wanted("a@" + host), f.cookie, ErrNoRoom, ""},
		"with a path":           {wanted(host + "/x"), f.cookie, ErrNoRoom, ""},
		"of a bad port":         {wanted(host + ":0443"), f.cookie, ErrNoRoom, ""},
		"not canonical":         {wanted(strings.ToUpper(host)), f.cookie, ErrNoRoom, ""},
		"no challenge":          {with("challenge", ""), f.cookie, ErrNoRoom, ""},
		"a short challenge":     {with("challenge", "abc"), f.cookie, ErrNoRoom, ""},
		"a huge state":          {with("state", strings.Repeat("a", 5000)), f.cookie, ErrNoRoom, ""},
	} {
		to, err := f.open(tt.q, tt.cookie)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
			continue
		}
		if err == nil && (to.Scheme != "https" || to.Host != tt.to || to.Path != "/.warren/callback" || to.Query().Get("state") != "st&te" || to.Query().Get("code") == "") {
			t.Errorf("%s: to %s", name, to)
		}
	}
}

// Who may not visit by the policy is told so where he has signed in: he would be sent in a circle else.
func TestWhoMayIsCheckedBeforeACodeIsGiven(t *testing.T) {
	f := setup(t)
	for name, tt := range map[string]struct {
		auth policy.SignIn
		want error
	}{
		"members":             {policy.SignIn{Members: true}, nil},
		"his group":           {policy.SignIn{Groups: []string{"staff"}}, nil},
		"his role":            {policy.SignIn{Roles: []string{"member"}}, nil},
		"his address":         {policy.SignIn{Users: []string{"alice@example.org"}}, nil},
		"another group":       {policy.SignIn{Groups: []string{"ops"}}, ErrMayNot},
		"another role":        {policy.SignIn{Roles: []string{"owner"}}, ErrMayNot},
		"another address":     {policy.SignIn{Users: []string{"bob@example.org"}}, ErrMayNot},
		"nobody who signs in": {policy.SignIn{}, ErrNobody},
	} {
		f.guard(func(p *model.Policy) { p.SignIn, p.Mail = tt.auth, []string{"x@example.org"} })
		if _, err := f.open(wanted(host), f.cookie); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// What an organization wants of sessions it wants of those who visit its services.
func TestSessionsThatDoNotCountDoNotVisit(t *testing.T) {
	f := setup(t)
	token, _ := f.redeem(f.code(host), host, binding)
	f.tx(func(tx *store.Tx) error {
		return tx.SetSecurity(t.Context(), model.Security{Org: f.org, RequireSecondFactor: true})
	})
	if _, err := f.open(wanted(host), f.cookie); !errors.Is(err, ErrWeak) {
		t.Errorf("without a second factor: %v", err)
	}
	if _, err := f.Renew(t.Context(), &nodev1.RenewAccessRequest{Token: token}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("renewed without a second factor: %v", err)
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
	left := f.code(host) // and then he leaves
	f.tx(func(tx *store.Tx) error { return tx.DeleteMembership(t.Context(), f.org, f.user.ID) })
	if _, is := f.redeem(left, host, binding); is != codes.PermissionDenied {
		t.Errorf("of an organization that he is no member of: %s", is)
	}
	f.tx(func(tx *store.Tx) error {
		return tx.CreateMembership(t.Context(), &model.Membership{Org: f.org, User: f.user.ID, Roles: []model.RoleID{model.RoleMember}})
	})
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

// What changes of people makes older tokens stale at the moment at which it is true: who has one of before renews it, and the
// new one, of the same second, is believed. Two nodes renew at once while it changes again and again: whatever token is not
// stale says what is true.
func TestChangesMakeTokensStale(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	token, _ := f.redeem(f.code(host), host, binding)
	before := func() (at time.Time) {
		for r := range f.follow().Revocations() {
			if r.Stale && r.Subject == f.user.ID.String() && r.Before.After(at) {
				at = r.Before
			}
		}
		return at
	}
	groups := func(users ...model.UserID) error {
		_, err := f.Store.Tx(ctx, "test", func(tx *store.Tx) error {
			if err := tx.LockOrganization(ctx, f.org); err != nil {
				return err
			}
			g, err := tx.GetGroupByName(ctx, f.org, "staff")
			if err != nil {
				return err
			}
			g.Users = users
			if _, err := tx.UpdateGroup(ctx, g); err != nil {
				return err
			}
			return f.admin.Restated(ctx, tx, f.org, f.user.ID)
		})
		return err
	}
	var mu sync.Mutex
	var given []string
	var nodes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		nodes.Go(func() {
			for {
				r, err := f.Renew(ctx, &nodev1.RenewAccessRequest{Token: token})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				given = append(given, r.GetToken())
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 10 {
		if i%2 == 0 {
			if err := groups(); err != nil {
				t.Fatal(err)
			}
		} else if err := groups(f.user.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := groups(); err != nil {
		t.Fatal(err)
	}
	close(stop)
	nodes.Wait()
	r, err := f.Renew(ctx, &nodev1.RenewAccessRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	at, young := before(), 0
	for _, token := range append(given, r.GetToken()) {
		if c := f.read(token); c.IssuedAt().After(at) {
			if young++; len(c.Groups) != 0 {
				t.Errorf("a token of %v says %v, which was over at %v", c.IssuedAt(), c.Groups, at)
			}
		}
	}
	if n := len(slices.Collect(f.follow().Revocations())); young == 0 || n != 1 {
		t.Errorf("%d tokens are believed; nodes are told of %d changes, want the last one", young, n)
	}
	many := make([]model.UserID, maxStale+1)
	f.tx(func(tx *store.Tx) error { return Stale(ctx, tx, f.org, many) })
	if !slices.ContainsFunc(slices.Collect(f.follow().Revocations()), func(r *model.AccessRevocation) bool { return r.Stale && r.Subject == f.org.String() }) {
		t.Error("of too many users their organization is told")
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
	if _, err := f.open(wanted(host), f.cookie); !errors.Is(err, ErrNobody) {
		t.Errorf("still signed in: %v", err)
	}
}

func TestRevokeWithoutSessionsIsOfTheUser(t *testing.T) {
	f := setup(t)
	f.tx(func(tx *store.Tx) error { return Revoke(t.Context(), tx, f.user.ID, nil) })
	if r := slices.Collect(f.follow().Revocations()); len(r) != 1 || r[0].Subject != f.user.ID.String() {
		t.Errorf("%+v", r)
	}
}
