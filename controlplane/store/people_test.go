package store_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// people is one row of each noun of people.
type people struct {
	org     model.Organization
	user    model.User
	role    model.Role
	member  model.Membership
	group   model.Group
	session model.Session
	account model.ServiceAccount
}

func newPeople() *people {
	p := &people{org: model.Organization{ID: model.OrgID{}.New(), Name: "acme"}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	p.user = model.User{ID: model.UserID{}.New(), Email: "ann@example.org", Name: "Ann", Disabled: at}
	p.role = model.Role{ID: model.RoleID{}.New(), Org: p.org.ID, Name: "gardener", Permissions: []string{"sites:read", "sites:write"}}
	p.member = model.Membership{Org: p.org.ID, User: p.user.ID, Email: p.user.Email, Roles: []model.RoleID{model.RoleViewer, p.role.ID}}
	p.group = model.Group{ID: model.GroupID{}.New(), Org: p.org.ID, Name: "staff", Users: []model.UserID{p.user.ID}}
	p.session = model.Session{
		ID: model.SessionID{}.New(), User: p.user.ID, Hash: make([]byte, 32), Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "Firefox", AMR: []string{"pwd", "otp"},
		SecondFactor: at, Seen: at, Expires: at.Add(time.Hour),
	}
	p.account = model.ServiceAccount{ID: model.AccountID{}.New(), Org: p.org.ID, Name: "ci", Roles: []model.RoleID{model.RoleMember}}
	return p
}

func (p *people) create(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, &p.org), tx.CreateUser(ctx, &p.user), tx.CreateRole(ctx, &p.role), tx.CreateMembership(ctx, &p.member),
			tx.CreateGroup(ctx, &p.group), tx.CreateSession(ctx, &p.session), tx.CreateServiceAccount(ctx, &p.account))
	}); err != nil {
		t.Fatal(err)
	}
}

func TestPeopleRoundTrip(t *testing.T) {
	s, p, ctx := storetest.New(t), newPeople(), t.Context()
	all := store.Page{}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateOrganization(ctx, &p.org); err != nil {
			return err
		}
		endUser := check(t, noun[model.User]{
			"user", &p.user, tx.CreateUser, tx.UpdateUser,
			gets(func() (*model.User, error) { return tx.GetUser(ctx, p.user.ID) }, func() (*model.User, error) { return tx.GetUserByEmail(ctx, p.user.Email) }),
			lists(func() ([]*model.User, error) { return tx.ListUsers(ctx, all) }),
			func(v *model.User) {
				v.Email, v.Name, v.Disabled, v.ClusterRole = "bea@example.org", "", time.Time{}, model.RoleClusterViewer
			},
			func(v *model.User) { v.Disabled = v.Disabled.Add(time.Nanosecond) }, func() error { return tx.DeleteUser(ctx, p.user.ID) },
		})
		endRole := check(t, noun[model.Role]{
			"role", &p.role, tx.CreateRole, tx.UpdateRole,
			gets(func() (*model.Role, error) { return tx.GetRole(ctx, p.role.ID) }, func() (*model.Role, error) { return tx.GetRoleByName(ctx, p.org.ID, p.role.Name) },
				one(func() ([]*model.Role, error) { return tx.GetRoles(ctx, []model.RoleID{p.role.ID}) })), nil,
			func(v *model.Role) { v.Name, v.Permissions = "watcher", nil }, func(v *model.Role) {}, func() error { return tx.DeleteRole(ctx, p.role.ID) },
		})
		p.member.Email = p.user.Email
		endMember := check(t, noun[model.Membership]{
			"membership", &p.member, tx.CreateMembership, tx.UpdateMembership,
			gets(func() (*model.Membership, error) { return tx.GetMembership(ctx, p.org.ID, p.user.ID) }),
			lists(func() ([]*model.Membership, error) { return tx.ListMemberships(ctx, p.org.ID, all) }, func() ([]*model.Membership, error) { return tx.ListMembershipsOfUser(ctx, p.user.ID) }),
			func(v *model.Membership) { v.Roles = []model.RoleID{model.RoleOwner} }, nil, func() error { return tx.DeleteMembership(ctx, p.org.ID, p.user.ID) },
		})
		endGroup := check(t, noun[model.Group]{
			"group", &p.group, tx.CreateGroup, tx.UpdateGroup,
			gets(func() (*model.Group, error) { return tx.GetGroup(ctx, p.group.ID) }, func() (*model.Group, error) { return tx.GetGroupByName(ctx, p.org.ID, p.group.Name) }),
			lists(func() ([]*model.Group, error) { return tx.ListGroups(ctx, p.org.ID, all) }),
			func(v *model.Group) { v.Name, v.Users = "everybody", nil }, func(v *model.Group) { v.Users = append(v.Users, v.Users...) }, func() error { return tx.DeleteGroup(ctx, p.group.ID) },
		})
		endAccount := check(t, noun[model.ServiceAccount]{
			"service account", &p.account, tx.CreateServiceAccount, tx.UpdateServiceAccount,
			gets(func() (*model.ServiceAccount, error) { return tx.GetServiceAccount(ctx, p.account.ID) }, func() (*model.ServiceAccount, error) {
				return tx.GetServiceAccountByName(ctx, p.org.ID, p.account.Name)
			}),
			lists(func() ([]*model.ServiceAccount, error) { return tx.ListServiceAccounts(ctx, p.org.ID, all) }),
			func(v *model.ServiceAccount) {
				v.Name, v.Roles, v.Disabled = "cd", []model.RoleID{model.RoleViewer}, p.session.Seen
			}, nil,
			func() error { return tx.DeleteServiceAccount(ctx, p.account.ID) },
		})
		for _, end := range []func(){endAccount, endGroup, endMember, endRole, endUser} {
			end()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSessions(t *testing.T) {
	s, p, ctx := storetest.New(t), newPeople(), t.Context()
	p.create(t, s)
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		for what, get := range map[string]func() (*model.Session, error){
			"id":   func() (*model.Session, error) { return tx.GetSession(ctx, p.session.ID) },
			"hash": func() (*model.Session, error) { return tx.GetSessionByHash(ctx, p.session.Hash) },
			"list": one(func() ([]*model.Session, error) { return tx.ListSessions(ctx, p.user.ID) }),
		} {
			if v, err := get(); err != nil || !cmp.Equal(v, &p.session, ignoreMeta) {
				t.Errorf("%s: %v\n%s", what, err, cmp.Diff(&p.session, v, ignoreMeta))
			}
		}
		// It is not seen earlier than it was.
		for _, at := range []time.Duration{time.Minute, -time.Minute} {
			if err := tx.TouchSession(ctx, p.session.ID, p.session.Seen.Add(at), netip.MustParseAddr("::ffff:192.0.2.8")); err != nil {
				t.Error(err)
			}
		}
		v, err := tx.GetSession(ctx, p.session.ID)
		if err != nil || !v.Seen.Equal(p.session.Seen.Add(time.Minute)) || v.Address.String() != "192.0.2.8" {
			t.Errorf("touched: %+v, %v", v, err)
		}
		v.Hash = append([]byte{1}, make([]byte, 31)...)
		if err := tx.RenewSession(ctx, v); err != nil {
			t.Error(err)
		}
		if _, err := tx.GetSessionByHash(ctx, p.session.Hash); fault.Of(err) != fault.NotFound {
			t.Errorf("the token before it was renewed: %v", err)
		}
		second := p.session
		second.ID = model.SessionID{}.New()
		if err := tx.CreateSession(ctx, &second); err != nil {
			t.Error(err)
		}
		if ended, err := tx.DeleteSessions(ctx, p.user.ID, second.ID); err != nil || len(ended) != 1 || ended[0] != p.session.ID {
			t.Errorf("ended %v, %v", ended, err)
		}
		if n, err := tx.PruneSessions(ctx, second.Expires.Add(-time.Second)); err != nil || n != 0 {
			t.Errorf("%d sessions pruned before their time, %v", n, err)
		}
		if n, err := tx.PruneSessions(ctx, second.Expires); err != nil || n != 1 {
			t.Errorf("%d sessions pruned, %v", n, err)
		}
		if err := tx.DeleteSession(ctx, second.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("delete what is pruned: %v", err)
		}
		return nil
	})
	if err != nil || rev != 0 {
		t.Errorf("revision %d, %v", rev, err)
	}
}

func TestGrants(t *testing.T) {
	s, p, ctx := storetest.New(t), newPeople(), t.Context()
	p.user.ClusterRole = model.RoleClusterViewer
	p.create(t, s)
	err := s.View(ctx, func(tx *store.Tx) error {
		got, err := tx.GrantsOfUser(ctx, p.user.ID)
		if err != nil {
			return err
		}
		have := map[model.RoleID]model.Grant{}
		for _, g := range got {
			have[g.Role] = g
		}
		if len(got) != 3 || !have[model.RoleClusterViewer].Org.IsZero() || have[model.RoleViewer].Org != p.org.ID || len(have[p.role.ID].Permissions) != 2 {
			t.Errorf("%+v", got)
		}
		account, err := tx.GrantsOfServiceAccount(ctx, p.account.ID)
		if len(account) != 1 || account[0].Org != p.org.ID || account[0].Role != model.RoleMember {
			t.Errorf("%+v", account)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What somebody has can't be taken from under him, and what is built in stays.
func TestPeopleHoldTogether(t *testing.T) {
	s, p, ctx := storetest.New(t), newPeople(), t.Context()
	p.create(t, s)
	stranger := model.User{ID: model.UserID{}.New(), Email: "eve@example.org"}
	try := func(what string, kind fault.Kind, fn func(tx *store.Tx) error) {
		t.Helper()
		if _, err := s.Tx(ctx, "test", fn); err == nil || fault.Of(err) != kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	try("remove a role that somebody has", fault.Conflict, func(tx *store.Tx) error { return tx.DeleteRole(ctx, p.role.ID) })
	try("remove a role that is built in", fault.NotFound, func(tx *store.Tx) error { return tx.DeleteRole(ctx, model.RoleViewer) })
	try("change a role that is built in", fault.NotFound, func(tx *store.Tx) error {
		r, err := tx.GetRole(ctx, model.RoleViewer)
		if err != nil {
			return err
		}
		r.Permissions = []string{"sites:write"}
		_, err = tx.UpdateRole(ctx, r)
		return err
	})
	try("a group of strangers", fault.Invalid, func(tx *store.Tx) error {
		g := p.group
		g.Users = append(g.Users, stranger.ID)
		return errors.Join(tx.CreateUser(ctx, &stranger), second(tx.UpdateGroup(ctx, &g)))
	})
	try("two users of one address", fault.Conflict, func(tx *store.Tx) error {
		v := stranger
		v.Email = p.user.Email
		return tx.CreateUser(ctx, &v)
	})
	try("an address in capitals", fault.Invalid, func(tx *store.Tx) error {
		v := stranger
		v.Email = "Eve@example.org"
		return tx.CreateUser(ctx, &v)
	})
	// A user takes all that is his along.
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.user.ID) }); err != nil {
		t.Fatal(err)
	}
	err := s.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.GetSession(ctx, p.session.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("his session: %v", err)
		}
		if g, err := tx.GetGroup(ctx, p.group.ID); err != nil || len(g.Users) != 0 {
			t.Errorf("his group: %+v, %v", g, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func second[V any](_ V, err error) error { return err }
