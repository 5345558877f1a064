package web

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/oidc/oidctest"
	"github.com/warrenedge/warren/controlplane/signin/passkey/passkeytest"
	"github.com/warrenedge/warren/controlplane/store"
)

var party = virtualwebauthn.RelyingParty{Name: "Warren", ID: "example.com", Origin: home}

// What a form sends is no part of an address, whichever script has not come: browsers keep those, and servers log them.
func TestNoFormSendsSecretsInItsAddress(t *testing.T) {
	r := newRig(t)
	signedIn, stranger := r.set(t), r.browser(t)
	for path, b := range map[string]*browser{"/account": signedIn, "/sign-in": stranger} {
		forms := regexp.MustCompile(`<form[^>]*>`).FindAllString(b.get(path).body, -1)
		if len(forms) == 0 {
			t.Errorf("%s has no form", path)
		}
		for _, f := range forms {
			if !strings.Contains(f, ` method="post"`) || strings.Contains(f, "data-passkey-form") && !strings.Contains(f, " hidden") {
				t.Errorf("%s: %s", path, f)
			}
		}
	}
}

func TestPasskeys(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	b.addApp() // a passkey is two factors by itself
	before := b.cookie(sessions)
	if p := b.post("/account/passkeys/options", "current", another); p.status != http.StatusForbidden {
		t.Errorf("without the password: %d", p.status)
	}
	p := b.post("/account/passkeys/options", "current", secret)
	options, err := virtualwebauthn.ParseAttestationOptions(p.body)
	if err != nil {
		t.Fatal(p.status, p.body, err)
	}
	var handle []byte
	if err := r.db.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(t.Context(), alice)
		handle = u.ID.UUID[:]
		return err
	}); err != nil {
		t.Fatal(err)
	}
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: handle})
	cred := passkeytest.Credential()
	made := virtualwebauthn.CreateAttestationResponse(party, device, cred, *options)
	if p := b.send("/account/passkeys?name=laptop", "application/json", made); p.status != 200 || b.cookie(sessions) == before {
		t.Fatalf("%d %s, or the token is the same", p.status, p.body)
	}
	if p := b.send("/account/passkeys?name=again", "application/json", made); p.status != http.StatusNotFound {
		t.Errorf("a ceremony was good twice: %d %s", p.status, p.body)
	}
	device.AddCredential(cred)

	fresh := r.browser(t)
	asked := fresh.send("/sign-in/passkey/options", "application/json", "")
	want, err := virtualwebauthn.ParseAssertionOptions(asked.body)
	if err != nil {
		t.Fatal(asked.status, asked.body, err)
	}
	said := virtualwebauthn.CreateAssertionResponse(party, device, cred, *want)
	other := r.browser(t)
	other.send("/sign-in/passkey/options", "application/json", "")
	if p := other.send("/sign-in/passkey", "application/json", said); p.status != http.StatusForbidden || other.signedIn() {
		t.Errorf("another browser's challenge: %d", p.status)
	}
	if p := fresh.send("/sign-in/passkey?next=/device", "application/json", said); p.status != 200 || !strings.Contains(p.body, `"/device"`) || !fresh.signedIn() {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p := fresh.send("/sign-in/passkey", "application/json", said); p.status != http.StatusNotFound {
		t.Errorf("an answer was good twice: %d", p.status)
	}
	if p := fresh.get("/account"); !strings.Contains(p.body, "laptop") {
		t.Error("it is not shown")
	}
}

// T33: a code of a device that is not exactly what it was given is worth nothing.
func TestDeviceLogin(t *testing.T) {
	r := newRig(t)
	b := r.set(t)
	ctx, c := t.Context(), signin.Client{}
	d, err := r.signIn.BeginDevice(ctx, c, "a laptop")
	if err != nil || !strings.HasPrefix(d.Whole, home+"/device?code=") {
		t.Fatal(d, err)
	}
	if _, err := r.signIn.Device(ctx, c, d.Code); err != signin.ErrPending {
		t.Errorf("before it is approved: %v", err)
	}
	if _, err := r.signIn.Device(ctx, c, d.Code); err != signin.ErrSlow {
		t.Errorf("at once again: %v", err)
	}
	for i := range d.Code {
		other := d.Code[:i] + flip("AAAAA" + d.Code[i:i+1])[5:] + d.Code[i+1:]
		if _, err := r.signIn.Device(ctx, c, other); err != signin.ErrExpired {
			t.Errorf("%q: %v", other, err)
		}
	}
	for _, bad := range []string{"", d.Code[:42], d.Code + "A", d.Code + d.Code, d.UserCode} {
		if _, err := r.signIn.Device(ctx, c, bad); err != signin.ErrExpired {
			t.Errorf("%q: %v", bad, err)
		}
	}
	stranger := r.browser(t)
	if p := stranger.get("/device?code=" + d.UserCode); p.at.Path != "/sign-in" || p.at.Query().Get("next") != "/device?code="+d.UserCode {
		t.Errorf("a stranger is sent to %s", p.at)
	}
	if p := b.get("/device?code=" + strings.ToLower(d.UserCode)); p.status != 200 || !strings.Contains(p.body, "a laptop") {
		t.Errorf("%d: %s", p.status, p.body)
	}
	if p := b.get("/device?code=BBBB-BBBB"); p.status != http.StatusNotFound {
		t.Errorf("another code: %d", p.status)
	}
	if p := b.post("/device", "code", d.UserCode, "answer", "approve"); p.status != 200 {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	if p := b.post("/device", "code", d.UserCode, "answer", "approve"); p.status != http.StatusNotFound {
		t.Errorf("approved twice: %d", p.status)
	}
	out, err := r.device(ctx, d.Code)
	if err != nil || out.Token == "" {
		t.Fatal(out, err)
	}
	if _, err := r.device(ctx, d.Code); err != signin.ErrExpired {
		t.Errorf("a code was good twice: %v", err)
	}
	who, err := r.signIn.Who(ctx, out.Token)
	if err != nil || who.User.Email != alice || who.Session.UserAgent != "warren a laptop" {
		t.Errorf("%+v, %v", who, err)
	}
	d, err = r.signIn.BeginDevice(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	b.post("/device", "code", d.UserCode, "answer", "deny")
	if _, err := r.device(ctx, d.Code); err != signin.ErrDenied {
		t.Errorf("denied: %v", err)
	}
}

// device asks as a device that has waited as it should.
func (r *rig) device(ctx context.Context, code string) (signin.Outcome, error) {
	r.mu.Lock()
	r.later += signin.DeviceInterval
	r.mu.Unlock()
	return r.signIn.Device(ctx, signin.Client{}, code)
}

func (r *rig) provider(t *testing.T, p *model.IdentityProvider) *model.IdentityProvider {
	t.Helper()
	p.ID, p.Name, p.Issuer, p.ClientID = model.IdentityProviderID{}.New(), "sso", r.idp.Issuer, oidctest.ClientID
	sealed, err := r.signIn.Sealer.Seal([]byte(oidctest.ClientSecret), p.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	p.SealedClientSecret = sealed
	if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.CreateIdentityProvider(t.Context(), p) }); err != nil {
		t.Fatal(err)
	}
	return p
}

// at does what a person does at the provider, and comes back.
func (r *rig) at(t *testing.T, b *browser, p *model.IdentityProvider, query, user string) reply {
	t.Helper()
	gone := b.get("/sign-in/oidc/" + p.ID.String() + query)
	to := gone.header.Get("Location")
	if !strings.HasPrefix(to, r.idp.Issuer) {
		t.Fatalf("%d: sent to %q: %s", gone.status, to, gone.body)
	}
	return b.get(r.idp.SignIn(t, to, user).String())
}

func (r *rig) org(t *testing.T, name string) model.OrgID {
	t.Helper()
	o := &model.Organization{ID: model.OrgID{}.New(), Name: name}
	if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.CreateOrganization(t.Context(), o) }); err != nil {
		t.Fatal(err)
	}
	return o.ID
}

// T32: who somebody is is the provider's subject. An address makes nobody the user who has it.
func TestT32AnIdentityIsNoMailAddress(t *testing.T) {
	r := newRig(t)
	admin := r.set(t)
	org := r.org(t, "acme")
	p := r.provider(t, &model.IdentityProvider{Provision: true, Rules: []model.ClaimRule{{Org: org, Role: model.RoleMember}}})
	r.idp.AddUser("mallory", alice, true)
	r.idp.AddUser("bob", "bob@example.org", true)
	r.idp.AddUser("carol", "", false)
	if b := r.browser(t); r.at(t, b, p, "", "mallory").status != http.StatusConflict || b.signedIn() {
		t.Error("an address signs in as its user")
	}
	if b := r.browser(t); r.at(t, b, p, "", "carol").status != http.StatusForbidden || b.signedIn() {
		t.Error("nobody vouches for an address, and yet there is a user")
	}
	b := r.browser(t)
	if got := r.at(t, b, p, "?next=/device", "bob"); got.status != 200 || !strings.Contains(got.body, "0;url=/device") || !b.signedIn() {
		t.Fatalf("%d %s", got.status, got.body)
	}
	r.idp.AddUser("bob", "renamed@example.org", true)
	again := r.browser(t)
	r.at(t, again, p, "", "bob")
	if got := again.get("/account"); !strings.Contains(got.body, "bob@example.org") {
		t.Error("bob with another address is another user")
	}
	// Who is signed in adds what he is there.
	if got := r.at(t, admin, p, "?add=1&next=/account", "mallory"); got.at.Path != "/account" {
		t.Errorf("%d at %s: %s", got.status, got.at, got.body)
	}
	linked := r.browser(t)
	r.at(t, linked, p, "", "mallory")
	if got := linked.get("/account"); !strings.Contains(got.body, alice) {
		t.Error("what was added signs nobody in")
	}
}

// B15: an answer is of the browser that asked, good once, and sends nobody elsewhere.
func TestT32TheCallbackTakesNothingFromStrangers(t *testing.T) {
	r := newRig(t)
	r.set(t)
	p := r.provider(t, &model.IdentityProvider{Provision: true, Rules: []model.ClaimRule{{Org: r.org(t, "acme"), Role: model.RoleMember}}})
	r.idp.AddUser("bob", "bob@example.org", true)
	b := r.browser(t)
	to := b.get("/sign-in/oidc/" + p.ID.String() + "?next=" + url.QueryEscape("//evil.example")).header.Get("Location")
	back := r.idp.SignIn(t, to, "bob")
	victim := r.browser(t)
	if got := victim.get(back.String()); got.status != http.StatusNotFound || victim.signedIn() {
		t.Errorf("another browser: %d", got.status)
	}
	victim.get("/sign-in/oidc/" + p.ID.String())
	if got := victim.get(back.String()); got.status != http.StatusForbidden || victim.signedIn() {
		t.Errorf("another browser with a flow of its own: %d", got.status)
	}
	if got := b.get(back.String()); got.at.String() != home+"/account" {
		t.Errorf("%d at %s: %s", got.status, got.at, got.body)
	}
	if got := b.get(back.String()); got.status != http.StatusNotFound {
		t.Errorf("an answer was good twice: %d", got.status)
	}
	b.get("/sign-in/oidc/" + p.ID.String())
	if got := b.get("/sign-in/oidc/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&state=x"); strings.Contains(got.body, "<script>alert") || got.status != http.StatusForbidden {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

// Whoever runs an organization's provider could say that anybody is anybody: it is believed of its own people alone.
func TestAnOrganizationsProviderSpeaksOfItsOwn(t *testing.T) {
	r := newRig(t)
	r.set(t)
	acme, other := r.org(t, "acme"), r.org(t, "other")
	p := r.provider(t, &model.IdentityProvider{Org: acme, Provision: true, Rules: []model.ClaimRule{
		{Org: acme, Role: model.RoleMember}, {Org: other, Role: model.RoleOwner}, {Role: model.RoleClusterAdmin}, // written by hand
	}})
	r.idp.AddUser("bob", "bob@example.org", true)
	if b := r.browser(t); !strings.Contains(b.get("/sign-in?org=acme").body, p.ID.String()) || strings.Contains(b.get("/sign-in").body, p.ID.String()) {
		t.Error("its button is not where it should be")
	}
	b := r.browser(t)
	if r.at(t, b, p, "", "bob"); !b.signedIn() {
		t.Fatal("bob is not let in")
	}
	var bob *model.User
	check := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if _, err := r.db.Tx(t.Context(), "test", fn); err != nil {
			t.Fatal(err)
		}
	}
	check(func(tx *store.Tx) (err error) {
		if bob, err = tx.GetUserByEmail(t.Context(), "bob@example.org"); err != nil {
			return err
		}
		all, err := tx.ListMembershipsOfUser(t.Context(), bob.ID)
		if len(all) != 1 || all[0].Org != acme || !bob.ClusterRole.IsZero() {
			t.Errorf("bob may %+v %v", all, bob.ClusterRole)
		}
		return err
	})
	check(func(tx *store.Tx) error {
		return tx.CreateMembership(t.Context(), &model.Membership{Org: other, User: bob.ID, Email: bob.Email, Roles: []model.RoleID{model.RoleMember}})
	})
	b = r.browser(t)
	if got := r.at(t, b, p, "", "bob"); got.status != http.StatusForbidden || b.signedIn() {
		t.Errorf("a member of another organization: %d", got.status)
	}
}

func TestInvitations(t *testing.T) {
	r := newRig(t)
	admin := r.set(t)
	org := r.org(t, "acme")
	invite := func(email string) string {
		t.Helper()
		v := &model.Invitation{ID: model.InvitationID{}.New(), Org: org, Email: email, Roles: []model.RoleID{model.RoleViewer}}
		var link string
		if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) (err error) {
			link, err = r.signIn.NewInvitation(t.Context(), tx, v)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.signIn.MailInvitation(v, "acme", link); err != nil {
			t.Fatal(err)
		}
		u := linkIn(t, r.mail.Next(t).Text)
		if u.String() != link || u.Scheme+"://"+u.Host != home {
			t.Errorf("mailed %s, want %s", u, link)
		}
		return u.Query().Get("token")
	}
	void := invite("bob@example.org")
	token := invite("bob@example.org")
	b := r.browser(t)
	for name, tok := range map[string]string{"one before": void, "altered": flip(token), "cut": token[:40]} {
		if p := b.get("/invitation?token=" + tok); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	if p := b.get("/invitation?token=" + token); p.status != 200 || !strings.Contains(p.body, "bob@example.org") {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	if p := b.post("/invitation", "token", token, "email", alice, "name", "Bob", "password", secret); p.status != 200 || !b.signedIn() {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	if p := r.browser(t).post("/invitation", "token", token, "password", secret); p.status != http.StatusNotFound {
		t.Errorf("used twice: %d", p.status)
	}
	token = invite(alice)
	if p := r.browser(t).get("/invitation?token=" + token); p.at.Path != "/sign-in" {
		t.Errorf("a user who is there is asked for another account: %s", p.at)
	}
	if p := b.post("/invitation", "token", token); p.status != http.StatusForbidden {
		t.Errorf("bob takes alice's: %d", p.status)
	}
	if p := admin.post("/invitation", "token", token); p.status != 200 || p.at.Path != "/account" {
		t.Errorf("%d: %s", p.status, p.body)
	}
	err := r.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.ListMemberships(t.Context(), org, store.Page{})
		if len(all) != 2 {
			t.Errorf("%d members", len(all))
		}
		return err
	})
	if err != nil || fault.Of(err) == fault.NotFound {
		t.Error(err)
	}
}

func TestAnOrganizationWantsASecondFactor(t *testing.T) {
	r := newRig(t)
	admin := r.set(t)
	org := r.org(t, "acme")
	var bob *browser
	{
		v := &model.Invitation{ID: model.InvitationID{}.New(), Org: org, Email: "bob@example.org", Roles: []model.RoleID{model.RoleMember}}
		var link string
		if _, err := r.db.Tx(t.Context(), "test", func(tx *store.Tx) (err error) {
			if err := tx.SetSecurity(t.Context(), model.Security{Org: org, RequireSecondFactor: true}); err != nil {
				return err
			}
			link, err = r.signIn.NewInvitation(t.Context(), tx, v)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(link)
		bob = r.browser(t)
		bob.post("/invitation", "token", u.Query().Get("token"), "password", secret)
	}
	counts := func() bool {
		t.Helper()
		p, err := r.signIn.Admin.AuthenticateSession(t.Context(), bob.cookie(sessions), signin.Client{}.Address)
		if err != nil {
			t.Fatal(err)
		}
		return p.CheckOrg(org) == nil
	}
	if counts() || !strings.Contains(bob.get("/account").body, "wants a second factor") {
		t.Error("a session without one counts")
	}
	if bob.addApp(); !counts() {
		t.Error("a session with one does not count")
	}
	_ = admin
}

// Roles that a provider's rules give go when it says something else; those that somebody has given stay.
func TestRolesFollowWhatAProviderSays(t *testing.T) {
	r := newRig(t)
	r.set(t)
	ctx, org := t.Context(), r.org(t, "acme")
	p := r.provider(t, &model.IdentityProvider{Provision: true, Rules: []model.ClaimRule{
		{Org: org, Role: model.RoleMember}, {Claim: "groups", Value: "ops", Org: org, Role: model.RoleAdmin}, {Claim: "groups", Value: "root", Role: model.RoleClusterViewer},
	}})
	r.idp.AddUser("bob", "bob@example.org", true)
	login := func(groups ...any) (roles []model.RoleID, cluster model.RoleID) {
		t.Helper()
		r.idp.Lie(oidctest.Lies{Claims: func(m map[string]any) { m["groups"] = groups }})
		b := r.browser(t)
		if r.at(t, b, p, "", "bob"); !b.signedIn() {
			t.Fatal("bob is not let in")
		}
		if err := r.db.View(ctx, func(tx *store.Tx) error {
			u, err := tx.GetUserByEmail(ctx, "bob@example.org")
			if err != nil {
				return err
			}
			m, err := tx.GetMembership(ctx, org, u.ID)
			if err != nil {
				return err
			}
			roles, cluster = m.Roles, u.ClusterRole
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return roles, cluster
	}
	has := func(when string, got []model.RoleID, want ...model.RoleID) {
		t.Helper()
		if len(got) != len(want) || slices.ContainsFunc(want, func(r model.RoleID) bool { return !slices.Contains(got, r) }) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	roles, cluster := login("ops", "root")
	if has("at first", roles, model.RoleMember, model.RoleAdmin); cluster != model.RoleClusterViewer {
		t.Errorf("in the cluster: %v", cluster)
	}
	if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(ctx, "bob@example.org")
		if err != nil {
			return err
		}
		_, err = tx.UpdateMembership(ctx, &model.Membership{Org: org, User: u.ID, Roles: append(roles, model.RoleViewer)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	roles, cluster = login("staff")
	if has("when the provider says less", roles, model.RoleMember, model.RoleViewer); !cluster.IsZero() {
		t.Errorf("in the cluster: %v", cluster)
	}
	roles, _ = login("ops")
	has("when it says more again", roles, model.RoleMember, model.RoleViewer, model.RoleAdmin)
}

// What somebody has taken by hand a provider does not give back at the next sign-in: not a role, not the membership. It does
// when somebody has given it by hand again, or when its rules gave nothing of it in the meantime.
func TestWhatWasTakenByHandStaysTaken(t *testing.T) {
	r := newRig(t)
	alice := r.set(t)
	ctx, org := t.Context(), r.org(t, "acme")
	root, err := r.signIn.Admin.AuthenticateSession(ctx, alice.cookie(sessions), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	p := r.provider(t, &model.IdentityProvider{Provision: true, Rules: []model.ClaimRule{
		{Claim: "groups", Value: "staff", Org: org, Role: model.RoleMember}, {Claim: "groups", Value: "ops", Org: org, Role: model.RoleAdmin},
		{Claim: "groups", Value: "root", Role: model.RoleClusterViewer},
	}})
	r.idp.AddUser("bob", "bob@example.org", true)
	login := func(groups ...any) {
		t.Helper()
		r.idp.Lie(oidctest.Lies{Claims: func(m map[string]any) { m["groups"] = groups }})
		b := r.browser(t)
		if r.at(t, b, p, "", "bob"); !b.signedIn() {
			t.Fatal("bob is not let in")
		}
	}
	has := func(when string, cluster bool, want ...model.RoleID) {
		t.Helper()
		if err := r.db.View(ctx, func(tx *store.Tx) error {
			u, err := tx.GetUserByEmail(ctx, "bob@example.org")
			if err != nil {
				return err
			}
			all, err := tx.ListMembershipsOfUser(ctx, u.ID)
			if err != nil {
				return err
			}
			var got []model.RoleID
			for _, m := range all {
				got = append(got, m.Roles...)
			}
			if len(got) != len(want) || slices.ContainsFunc(want, func(r model.RoleID) bool { return !slices.Contains(got, r) }) || !u.ClusterRole.IsZero() != cluster {
				t.Errorf("%s: %v and in the cluster %v, want %v, %t", when, got, u.ClusterRole, want, cluster)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	hand := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	members, users := r.signIn.Admin.Members, r.signIn.Admin.Users
	put := func(roles ...string) {
		t.Helper()
		_, _, _, err := members.Put(ctx, root, "acme", "bob@example.org", admin.MemberSpec{Roles: roles})
		hand(err)
	}
	all := []any{"staff", "ops", "root"}
	login(all...)
	has("at first", true, model.RoleMember, model.RoleAdmin)
	put("member")
	_, _, _, err = users.Put(ctx, root, "", "bob@example.org", admin.UserSpec{})
	hand(err)
	login(all...)
	has("when admin, and what he had in the cluster, are taken", false, model.RoleMember)
	put("member", "admin")
	put("member")
	login("staff")
	login(all...)
	has("when the rules gave nothing of that for once", true, model.RoleMember, model.RoleAdmin)

	_, err = members.Delete(ctx, root, "acme", "bob@example.org")
	hand(err)
	login(all...)
	has("when he was removed", true)
	_, _, err = members.Create(ctx, root, "acme", "bob@example.org", admin.MemberSpec{Roles: []string{"viewer"}})
	hand(err)
	login(all...)
	has("when he was added again", true, model.RoleViewer, model.RoleMember, model.RoleAdmin)
	_, err = members.Delete(ctx, root, "acme", "bob@example.org")
	hand(err)
	login("root")
	login(all...)
	has("when he was removed, and the rules gave nothing there for once", true, model.RoleMember, model.RoleAdmin)
}
