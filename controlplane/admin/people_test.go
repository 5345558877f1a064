package admin

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

var here = netip.MustParseAddr("192.0.2.7")

// office is a cluster with people in it.
type office struct {
	t    *testing.T
	db   *store.Store
	a    *Admin
	root access.Principal
}

func newOffice(t *testing.T) *office {
	t.Helper()
	db := storetest.New(t)
	c, err := Bootstrap(t.Context(), db, newSealer(t))
	if err != nil {
		t.Fatal(err)
	}
	a := New(db, nil, nil, "")
	root, err := a.Authenticate(t.Context(), c.FirstKey, here)
	if err != nil {
		t.Fatal(err)
	}
	return &office{t, db, a, root}
}

// user makes one who is signed in, with roles in the organization "default".
func (o *office) user(email string, roles ...string) (access.Principal, string) {
	o.t.Helper()
	v, _, err := o.a.Users.Create(o.t.Context(), o.root, "", email, UserSpec{})
	if err != nil {
		o.t.Fatal(err)
	}
	if len(roles) > 0 {
		if _, _, err := o.a.Members.Create(o.t.Context(), o.root, DefaultName, email, MemberSpec{Roles: roles}); err != nil {
			o.t.Fatal(err)
		}
	}
	id, err := model.UserID{}.Parse(v.ID)
	if err != nil {
		o.t.Fatal(err)
	}
	token := o.signIn(id)
	p, err := o.a.AuthenticateSession(o.t.Context(), token, here)
	if err != nil {
		o.t.Fatal(err)
	}
	return p, token
}

func (o *office) signIn(id model.UserID) (token string) {
	o.t.Helper()
	if _, err := o.db.Tx(o.t.Context(), "test", func(tx *store.Tx) (err error) {
		token, _, err = o.a.NewSession(o.t.Context(), tx, SignIn{User: id, Address: here, AMR: []string{"pwd"}})
		return err
	}); err != nil {
		o.t.Fatal(err)
	}
	return token
}

func (o *office) exec(fn func(tx *store.Tx) error) {
	o.t.Helper()
	if _, err := o.db.Tx(o.t.Context(), "test", fn); err != nil {
		o.t.Fatal(err)
	}
}

// A hundred edits of roles at once by one who may edit roles, while his own are taken from him: whatever the order,
// none leaves more in a role than its author had when it was written, and after his end none is written.
func TestT29NobodyGivesMoreThanHeHas(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	if _, _, err := o.a.Roles.Create(ctx, o.root, DefaultName, "chief", RoleSpec{Permissions: []string{"roles:manage", "roles:read", "sites:write"}}); err != nil {
		t.Fatal(err)
	}
	p, _ := o.user("ann@example.org", "chief")
	// He can't get above himself by any of the ways there are.
	for what, err := range map[string]error{
		"a role with more":      third(o.a.Roles.Create(ctx, p, DefaultName, "x", RoleSpec{Permissions: []string{"keys:manage"}})),
		"his own role":          fourth(o.a.Roles.Put(ctx, p, DefaultName, "chief", RoleSpec{Permissions: []string{"roles:manage", "keys:manage"}})),
		"a role of a name":      third(o.a.Roles.Create(ctx, p, DefaultName, "owner", RoleSpec{})),
		"his own membership":    fourth(o.a.Members.Put(ctx, p, DefaultName, "ann@example.org", MemberSpec{Roles: []string{"owner"}})),
		"a key":                 second(o.a.CreateAPIKey(ctx, p, "x", APIKeySpec{Organization: DefaultName})),
		"a key of the cluster":  second(o.a.CreateAPIKey(ctx, p, "x", APIKeySpec{})),
		"a service account":     third(o.a.ServiceAccounts.Create(ctx, p, DefaultName, "x", ServiceAccountSpec{Roles: []string{"owner"}})),
		"a role of the cluster": third(o.a.ClusterRoles.Create(ctx, p, "", "x", RoleSpec{})),
		"another address":       fourth(o.a.Users.Put(ctx, p, "", "ann@example.org", UserSpec{ClusterRole: "cluster-admin"})),
	} {
		if k := fault.Of(err); err == nil || k != fault.Denied && k != fault.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for i := range 100 {
		wg.Go(func() {
			name := fmt.Sprintf("r%d", i%10)
			want := []string{"sites:write"}
			if i%3 == 0 {
				want = []string{"sites:read", "sites:write"} // more than he has
			}
			_, _, _, err := o.a.Roles.Put(ctx, p, DefaultName, name, RoleSpec{Permissions: want})
			switch {
			case err == nil && len(want) == 2:
				t.Error("a role got more than its author has")
			case err == nil:
				mu.Lock()
				done++
				mu.Unlock()
			case fault.Of(err) != fault.Denied && fault.Of(err) != fault.Conflict && fault.Of(err) != fault.Unavailable:
				t.Error(err)
			}
		})
		if i == 50 {
			wg.Go(func() {
				if _, _, _, err := o.a.Roles.Put(ctx, o.root, DefaultName, "chief", RoleSpec{Permissions: []string{"roles:manage"}}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d edits were let through", done)
	if _, _, _, err := o.a.Roles.Put(ctx, p, DefaultName, "r0", RoleSpec{Permissions: []string{"sites:write"}}); fault.Of(err) != fault.Denied {
		t.Errorf("after it was taken from him, with what he was known by: %v", err)
	}
	items, _, err := o.a.Roles.List(ctx, o.root, DefaultName, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range items {
		if strings.HasPrefix(r.Name, "r") && slices.Contains(r.Permissions, "sites:read") {
			t.Errorf("%s permits %v", r.Name, r.Permissions)
		}
	}
}

// An administrator can't be taken over by one who manages users.
func TestNobodyManagesWhoMayMore(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	if _, _, err := o.a.ClusterRoles.Create(ctx, o.root, "", "desk", RoleSpec{Permissions: []string{"users:manage", "users:read"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.a.Users.Create(ctx, o.root, "", "boss@example.org", UserSpec{ClusterRole: "cluster-admin"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.a.Users.Create(ctx, o.root, "", "clerk@example.org", UserSpec{ClusterRole: "desk"}); err != nil {
		t.Fatal(err)
	}
	var id model.UserID
	o.exec(func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(ctx, "clerk@example.org")
		if err == nil {
			id = u.ID
		}
		return err
	})
	p, err := o.a.AuthenticateSession(ctx, o.signIn(id), here)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"disable":  fourth(o.a.Users.Put(ctx, p, "", "boss@example.org", UserSpec{Disabled: true})),
		"delete":   second(o.a.Users.Delete(ctx, p, "", "boss@example.org")),
		"sign out": second(o.a.SignOutUser(ctx, p, "boss@example.org")),
		"promote":  fourth(o.a.Users.Put(ctx, p, "", "clerk@example.org", UserSpec{ClusterRole: "cluster-admin"})),
	} {
		if fault.Of(err) != fault.Denied {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := o.a.Users.Create(ctx, p, "", "new@example.org", UserSpec{}); err != nil {
		t.Errorf("what is his to do: %v", err)
	}
}

// What nodes were told of people is stale in the transaction in which it changes, of those whom it concerns and nobody else.
func TestNodesHearOfChangedPeople(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	ann, _ := o.user("ann@example.org", "owner")
	bob, _ := o.user("bob@example.org", "member")
	o.user("cid@example.org", "member")
	all := model.UserID{} // of the organization
	var told []model.UserID
	o.a.Changed = func(_ context.Context, _ *store.Tx, org model.OrgID, users []model.UserID) error {
		if len(users) == 0 {
			users = []model.UserID{all}
		}
		told = append(told, users...)
		return nil
	}
	o.a.Ended = func(context.Context, *store.Tx, model.UserID, []model.SessionID) error {
		t.Error("something has ended")
		return nil
	}
	group := func(users ...string) func() error {
		return func() error {
			_, _, _, err := o.a.Groups.Put(ctx, ann, DefaultName, "staff", GroupSpec{Users: users})
			return err
		}
	}
	member := func(roles ...string) func() error {
		return func() error {
			_, _, _, err := o.a.Members.Put(ctx, ann, DefaultName, "bob@example.org", MemberSpec{Roles: roles})
			return err
		}
	}
	security := func(age string) func() error {
		return func() error {
			_, err := o.a.SetSecurity(ctx, ann, DefaultName, SecuritySpec{MaxSessionAge: age})
			return err
		}
	}
	for i, tt := range []struct {
		do   func() error
		want []model.UserID
	}{
		{group("bob@example.org"), []model.UserID{bob.User}},
		{group("bob@example.org"), nil},
		{group("bob@example.org", "ann@example.org"), []model.UserID{ann.User}},
		{group("ann@example.org"), []model.UserID{bob.User}},
		{member("viewer"), []model.UserID{bob.User}},
		{member("viewer"), nil},
		{member("viewer", "member"), []model.UserID{bob.User}},
		{func() error {
			_, _, _, err := o.a.Users.Put(ctx, o.root, "", "bob@example.org", UserSpec{DisplayName: "Bob"})
			return err
		}, []model.UserID{bob.User}},
		{security("12h"), []model.UserID{all}},
		{func() error { _, err := o.a.Groups.Delete(ctx, ann, DefaultName, "staff"); return err }, []model.UserID{ann.User}},
		{func() error { _, err := o.a.Members.Delete(ctx, ann, DefaultName, "bob@example.org"); return err }, []model.UserID{bob.User}},
	} {
		told = nil
		if err := tt.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if !slices.Equal(told, tt.want) {
			t.Errorf("step %d: told of %v, want %v", i, told, tt.want)
		}
	}
}

// Whoever is disabled is nobody on every replica within five seconds: sessions, his own keys and those that were
// made for him.
func TestT33DisabledIsDisabled(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	p, token := o.user("ann@example.org", "owner")
	key, err := o.a.CreateMyAPIKey(ctx, p, "laptop", APIKeySpec{})
	if err != nil {
		t.Fatal(err)
	}
	var ended []model.UserID
	o.a.Ended = func(_ context.Context, _ *store.Tx, user model.UserID, _ []model.SessionID) error {
		ended = append(ended, user)
		return nil
	}
	other := New(o.db, nil, nil, "") // another replica, which has just seen both
	for _, a := range []*Admin{o.a, other} {
		if _, err := a.AuthenticateSession(ctx, token, here); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Authenticate(ctx, key.Secret, here); err != nil {
			t.Fatal(err)
		}
	}
	for i := range token {
		if _, err := other.AuthenticateSession(ctx, token[:i]+string(token[i]^1)+token[i+1:], here); !errors.Is(err, ErrSession) {
			t.Errorf("byte %d altered: %v", i, err)
		}
		if _, err := other.AuthenticateSession(ctx, token[:i], here); !errors.Is(err, ErrSession) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
	}
	if _, _, _, err := o.a.Users.Put(ctx, o.root, "", "ann@example.org", UserSpec{Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 1 || ended[0] != p.User {
		t.Errorf("told to those who rest on him: %v", ended)
	}
	if _, err := o.a.AuthenticateSession(ctx, token, here); !errors.Is(err, ErrSession) {
		t.Errorf("his session, where he was disabled: %v", err)
	}
	if callerFresh > 5*time.Second {
		t.Errorf("what a replica knows counts for %v", callerFresh)
	}
	other.callers.mu.Lock()
	for slot, k := range other.callers.entries { // as after that time
		old := *k
		old.checked = old.checked.Add(-callerFresh)
		other.callers.entries[slot] = &old
	}
	other.callers.mu.Unlock()
	if _, err := other.AuthenticateSession(ctx, token, here); !errors.Is(err, ErrSession) {
		t.Errorf("his session on another replica: %v", err)
	}
	if _, err := other.Authenticate(ctx, key.Secret, here); !errors.Is(err, ErrKey) {
		t.Errorf("his key on another replica: %v", err)
	}
}

func TestScopedKeys(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	soon := time.Now().Add(time.Hour)
	k, err := o.a.CreateAPIKey(ctx, o.root, "ci", APIKeySpec{Organization: DefaultName, Permissions: []string{"sites:read"}, Allow: []string{"192.0.2.0/24"}, ExpiresAt: &soon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.a.Authenticate(ctx, k.Secret, netip.MustParseAddr("198.51.100.1")); !errors.Is(err, ErrKey) {
		t.Errorf("from elsewhere: %v", err)
	}
	p, err := o.a.Authenticate(ctx, k.Secret, netip.MustParseAddr("::ffff:192.0.2.9"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.a.Authenticate(ctx, k.Secret, netip.MustParseAddr("198.51.100.1")); !errors.Is(err, ErrKey) {
		t.Errorf("from elsewhere, when it is known: %v", err)
	}
	if _, _, err := o.a.Sites.List(ctx, p, DefaultName, "", 10); err != nil {
		t.Errorf("what it may: %v", err)
	}
	if _, _, err := o.a.Domains.List(ctx, p, DefaultName, "", 10); fault.Of(err) != fault.Denied {
		t.Errorf("what it may not: %v", err)
	}
	seen, err := o.a.OrgAPIKeys.Get(ctx, o.root, DefaultName, "ci")
	if err != nil || seen.UsedAt == nil || seen.UsedFrom != "192.0.2.9" || seen.Secret != "" {
		t.Errorf("%+v, %v", seen, err)
	}
	for what, s := range map[string]APIKeySpec{
		"of the cluster in an organization": {Organization: DefaultName, Permissions: []string{"nodes:read"}},
		"unknown":                           {Permissions: []string{"nodes:paint"}},
		"no network":                        {Allow: []string{"192.0.2.1/24"}},
	} {
		if _, err := o.a.CreateAPIKey(ctx, o.root, "x", s); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A key that nobody owns and that says nothing does what all such keys did: it configures, and no more.
	old, err := o.a.CreateAPIKey(ctx, o.root, "old", APIKeySpec{Organization: DefaultName})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = o.a.Authenticate(ctx, old.Secret, here); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.a.Sites.Create(ctx, p, DefaultName, "home", SiteSpec{Pool: DefaultName}); err != nil {
		t.Errorf("an old key writes: %v", err)
	}
	if _, _, err := o.a.Members.List(ctx, p, DefaultName, "", 10); err != nil {
		t.Errorf("an old key reads: %v", err)
	}
	if _, err := o.a.CreateAPIKey(ctx, p, "x", APIKeySpec{Organization: DefaultName}); fault.Of(err) != fault.Denied {
		t.Errorf("an old key makes keys: %v", err)
	}
}

// The first wall is switched off: the caller passes every check of package access. What another organization has is
// not there all the same.
func TestT37FirstWallOff(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	if _, _, err := o.a.Sites.Create(ctx, o.root, DefaultName, "home", SiteSpec{Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.a.Organizations.Create(ctx, o.root, "", "rival", OrganizationSpec{}); err != nil {
		t.Fatal(err)
	}
	var rival model.OrgID
	o.exec(func(tx *store.Tx) error {
		v, err := tx.GetOrganizationByName(ctx, "rival")
		if err == nil {
			rival = v.ID
		}
		return err
	})
	o.a.see = func(access.Principal) store.As { return store.As{Actor: "test", Orgs: []model.OrgID{rival}} }
	for what, err := range map[string]error{
		"list":     third(o.a.Sites.List(ctx, o.root, DefaultName, "", 10)),
		"get":      second(o.a.Sites.Get(ctx, o.root, DefaultName, "home")),
		"put":      fourth(o.a.Sites.Put(ctx, o.root, DefaultName, "home", SiteSpec{Pool: DefaultName, Tunnels: 1})),
		"delete":   second(o.a.Sites.Delete(ctx, o.root, DefaultName, "home")),
		"services": third(o.a.Services.List(ctx, o.root, DefaultName, "", 10)),
		"members":  third(o.a.Members.List(ctx, o.root, DefaultName, "", 10)),
		"audit":    second(o.a.Audit(ctx, o.root, DefaultName, 0, 10)),
	} {
		if fault.Of(err) != fault.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys, _, err := o.a.APIKeys.List(ctx, o.root, "", "", 10); err != nil || len(keys) > 0 {
		t.Errorf("keys: %v, %v", keys, err)
	}
	if log, err := o.a.Audit(ctx, o.root, "", 0, 100); err != nil || len(log) > 0 {
		t.Errorf("audit: %v, %v", log, err)
	}
	if _, _, err := o.a.Sites.List(ctx, o.root, "rival", "", 10); err != nil {
		t.Errorf("his own: %v", err)
	}
}

// Each action is recorded with who, from where, what and how it ended.
func TestT35Recorded(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	p, _ := o.user("ann@example.org", "viewer")
	_, rev, err := o.a.Sites.Create(ctx, o.root, DefaultName, "home", SiteSpec{Pool: DefaultName})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := o.a.Sites.Put(ctx, o.root, DefaultName, "home", SiteSpec{Pool: DefaultName}); err != nil { // nothing changes
		t.Fatal(err)
	}
	if _, err := o.a.Sites.Delete(ctx, p, DefaultName, "home"); fault.Of(err) != fault.Denied {
		t.Fatal(err)
	}
	log, err := o.a.Audit(ctx, o.root, "", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range log {
		got = append(got, e.Action+" "+e.Result)
	}
	if want := []string{"user.create done", "member.create done", "session.begin done", "site.create done", "site.delete refused"}; !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	made, refused := log[3], log[4]
	if made.ActorName != "bootstrap" || made.Address != here.String() || made.ObjectName != "home" || made.Revision != uint64(rev) || made.Organization == "" {
		t.Errorf("%+v", made)
	}
	if refused.Actor != "user:"+p.User.String() || refused.Credential != p.Session.String() || refused.Revision != 0 || refused.Detail == "" {
		t.Errorf("%+v", refused)
	}
	var v audit.Verifier
	for _, e := range log {
		if err := v.Next(e); err != nil {
			t.Error(err)
		}
	}
	// The organization sees its own part, and who may not read it nothing.
	own, err := o.a.Audit(ctx, o.root, DefaultName, 0, 100)
	if err != nil || len(own) != 3 {
		t.Errorf("%d entries of the organization, %v", len(own), err)
	}
	if _, err := o.a.Audit(ctx, p, DefaultName, 0, 100); fault.Of(err) != fault.Denied {
		t.Errorf("a viewer: %v", err)
	}
}

func TestAnchors(t *testing.T) {
	db, sealer := storetest.New(t), newSealer(t)
	c, err := Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	anchor := func() *audit.Anchor {
		n, err := AnchorAudit(t.Context(), db, c.ID, c.Identity)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := anchor(); n != nil {
		t.Errorf("an empty log was anchored: %+v", n)
	}
	a := New(db, nil, nil, "")
	a.Record(t.Context(), audit.Entry{Actor: "test", Action: "x.y", Result: audit.Refused})
	n := anchor()
	cert, err := x509.ParseCertificate(pemOf(t, c.Identity.CertificatePEM()))
	if err != nil {
		t.Fatal(err)
	}
	if n == nil || n.Seq != 1 || n.Verify(cert) != nil {
		t.Fatalf("%+v", n)
	}
	if again := anchor(); again != nil {
		t.Errorf("anchored twice: %+v", again)
	}
	root, err := a.Authenticate(t.Context(), c.FirstKey, here)
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.AuditAnchors(t.Context(), root, 0, 10)
	if err != nil || len(list) != 1 || list[0].Verify(cert) != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func second[A any](_ A, err error) error                 { return err }
func third[A, B any](_ A, _ B, err error) error          { return err }
func fourth[A, B, C any](_ A, _ B, _ C, err error) error { return err }

func pemOf(t *testing.T, b []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// An organization keeps an owner, unless who administers the cluster wants otherwise.
func TestAnOrganizationKeepsAnOwner(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	ann, _ := o.user("ann@example.org", "owner")
	if _, _, _, err := o.a.Members.Put(ctx, ann, DefaultName, "ann@example.org", MemberSpec{Roles: []string{"admin"}}); fault.Of(err) != fault.Conflict {
		t.Errorf("the last owner gives it up: %v", err)
	}
	if _, err := o.a.Members.Delete(ctx, ann, DefaultName, "ann@example.org"); fault.Of(err) != fault.Conflict {
		t.Errorf("the last owner leaves: %v", err)
	}
	o.user("bob@example.org", "owner")
	if _, _, _, err := o.a.Members.Put(ctx, ann, DefaultName, "ann@example.org", MemberSpec{Roles: []string{"owner", "admin"}}); err != nil {
		t.Errorf("an owner who stays one: %v", err)
	}
	if _, err := o.a.Members.Delete(ctx, ann, DefaultName, "bob@example.org"); err != nil {
		t.Errorf("one of two: %v", err)
	}
	if _, err := o.a.Members.Delete(ctx, o.root, DefaultName, "ann@example.org"); err != nil {
		t.Errorf("by who administers the cluster: %v", err)
	}
}

// A key that was meant for an hour, or for one network, makes none that is good for longer or from elsewhere, and lets none
// of those that there are live longer.
func TestKeysMakeNoBetterKeys(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour)
	made, err := o.a.CreateAPIKey(ctx, o.root, "short", APIKeySpec{ExpiresAt: &soon, Allow: []string{"192.0.2.0/24", "2001:db8::/32"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.a.Authenticate(ctx, made.Secret, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		spec  APIKeySpec
		field string
	}{
		"forever":     {APIKeySpec{Allow: []string{"192.0.2.0/25"}}, "expires_at"},
		"longer":      {APIKeySpec{ExpiresAt: &later, Allow: []string{"192.0.2.0/25"}}, "expires_at"},
		"everywhere":  {APIKeySpec{ExpiresAt: &soon}, "allow"},
		"elsewhere":   {APIKeySpec{ExpiresAt: &soon, Allow: []string{"192.0.2.7", "198.51.100.0/24"}}, "allow[1]"},
		"wider":       {APIKeySpec{ExpiresAt: &soon, Allow: []string{"192.0.0.0/16"}}, "allow[0]"},
		"all of IPv6": {APIKeySpec{ExpiresAt: &soon, Allow: []string{"::/0"}}, "allow[0]"},
	} {
		if _, err := o.a.CreateAPIKey(ctx, p, "more", tt.spec); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), tt.field+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.a.CreateAPIKey(ctx, p, "less", APIKeySpec{ExpiresAt: &soon, Allow: []string{"192.0.2.7", "2001:db8:1::/48"}}); err != nil {
		t.Error(err)
	}
	for _, at := range []*time.Time{nil, &later} {
		if _, _, err := o.a.ChangeAPIKey(ctx, p, "", "short", "", APIKeyChange{ExpiresAt: at}); fault.Of(err) != fault.Invalid {
			t.Errorf("itself until %v: %v", at, err)
		}
	}
	if v, err := o.a.CreateAPIKey(ctx, o.root, "long", APIKeySpec{}); err != nil || v.ExpiresAt != nil {
		t.Errorf("a key without bounds makes one: %+v, %v", v, err)
	}
}

// A key of one's own is worth in an organization what the session was that it was made with: it is no way around the second
// factor that the organization wants, whenever it was made.
func TestOwnKeysHaveTheirSessionsFactors(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	plain, _ := o.user("ann@example.org", "member")
	var token string
	o.exec(func(tx *store.Tx) (err error) {
		token, _, err = o.a.NewSession(ctx, tx, SignIn{User: plain.User, Address: here, AMR: []string{"pwd", "otp"}, SecondFactor: time.Now()})
		return err
	})
	strong, err := o.a.AuthenticateSession(ctx, token, here)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, err := o.a.CreateMyAPIKey(ctx, plain, "weak", APIKeySpec{})
	if err != nil {
		t.Fatal(err)
	}
	strongKey, err := o.a.CreateMyAPIKey(ctx, strong, "strong", APIKeySpec{})
	if err != nil {
		t.Fatal(err)
	}
	ci, _, err := o.a.ServiceAccounts.Create(ctx, o.root, DefaultName, "ci", ServiceAccountSpec{Roles: []string{"viewer"}})
	if err != nil {
		t.Fatal(err)
	}
	program, err := o.a.CreateAPIKey(ctx, o.root, "of-ci", APIKeySpec{Organization: DefaultName, ServiceAccount: ci.Name})
	if err != nil {
		t.Fatal(err)
	}
	sees := func(secret string) bool {
		t.Helper()
		a := New(o.db, nil, nil, "") // which has not seen it yet
		p, err := a.Authenticate(ctx, secret, here)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = a.Sites.List(ctx, p, DefaultName, "", 10)
		if err != nil && fault.Of(err) != fault.NotFound {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, tt := range []struct {
		wanted       bool
		weak, strong bool
	}{{false, true, true}, {true, false, true}, {false, true, true}} {
		if _, err := o.a.SetSecurity(ctx, o.root, DefaultName, SecuritySpec{RequireSecondFactor: tt.wanted}); err != nil {
			t.Fatal(err)
		}
		if got := sees(weakKey.Secret); got != tt.weak {
			t.Errorf("a second factor is wanted: %v; a key made without one sees the organization: %v", tt.wanted, got)
		}
		if got := sees(strongKey.Secret); got != tt.strong {
			t.Errorf("a second factor is wanted: %v; a key made with one sees the organization: %v", tt.wanted, got)
		}
		if !sees(program.Secret) {
			t.Error("a program is asked for a second factor")
		}
	}
	if _, err := o.a.SetSecurity(ctx, o.root, DefaultName, SecuritySpec{RequireSecondFactor: true}); err != nil {
		t.Fatal(err)
	}
	again, err := New(o.db, nil, nil, "").CreateMyAPIKey(ctx, plain, "again", APIKeySpec{})
	if err == nil && sees(again.Secret) {
		t.Error("a session that is not enough makes a key that is")
	}
}

// Who is known by his id alone is written down with his name.
func TestRecordNamesUsers(t *testing.T) {
	o := newOffice(t)
	ann, _ := o.user("ann@example.com")
	for _, actor := range []string{"user:" + ann.User.String(), "user:" + (model.UserID{}).New().String(), "sign-in"} {
		o.a.Record(t.Context(), audit.Entry{Actor: actor, Action: "sign-out", Result: audit.Done})
	}
	list, err := o.a.SearchAudit(t.Context(), o.root, "", audit.Filter{Action: "sign-out"}, 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	for _, e := range list {
		if want := map[bool]string{true: "ann@example.com"}[e.Actor == "user:"+ann.User.String()]; e.ActorName != want {
			t.Errorf("%s is called %q", e.Actor, e.ActorName)
		}
	}
}
