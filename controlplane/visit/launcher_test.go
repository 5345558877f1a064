package visit

import (
	"errors"
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/policy"
)

// A user sees what he can open, and nothing of what others have.
func TestApps(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	stranger := model.User{ID: model.UserID{}.New(), Email: "eve@example.org"}
	var pool model.PoolID
	for p := range f.World.Get().PoolsUsedBy(f.org) {
		pool = p
	}
	add := func(tx *store.Tx, name, hostname string, kind model.ServiceKind, auth *policy.Auth) error {
		s := &model.Service{ID: model.ServiceID{}.New(), Org: f.org, Name: name, Kind: kind, Hostname: hostname, Pool: pool}
		if auth != nil {
			p := &model.Policy{ID: model.PolicyID{}.New(), Org: f.org, Name: name, Otherwise: policy.Authenticate}
			p.SignIn = auth.SignIn
			if err := tx.CreatePolicy(ctx, p); err != nil {
				return err
			}
			s.Policy = p.ID
		}
		return tx.CreateService(ctx, s)
	}
	f.tx(func(tx *store.Tx) error {
		_, err := tx.BrandOrganization(ctx, f.org, brand.Brand{Name: "Acme & Co"})
		return errors.Join(err, tx.CreateUser(ctx, &stranger),
			add(tx, "members", "members.example.org", model.HTTP, &policy.Auth{SignIn: policy.SignIn{Members: true}}),
			add(tx, "staff", "staff.example.org", model.HTTP, &policy.Auth{SignIn: policy.SignIn{Groups: []string{"staff"}}}),
			add(tx, "hers", "hers.example.org", model.HTTP, &policy.Auth{SignIn: policy.SignIn{Users: []string{"alice@example.org"}}}),
			add(tx, "owners", "owners.example.org", model.HTTP, &policy.Auth{SignIn: policy.SignIn{Roles: []string{"owner"}}}),
			add(tx, "pin", "pin.example.org", model.HTTP, &policy.Auth{}),
			add(tx, "many", "*.many.example.org", model.HTTP, nil),
			add(tx, "raw", "raw.example.org", model.TLS, nil))
	})
	f.follow()
	got, err := f.Apps(ctx, f.user.ID)
	want := []App{
		{"Acme & Co", "hers", "https://hers.example.org/", false}, {"Acme & Co", "members", "https://members.example.org/", false},
		{"Acme & Co", "staff", "https://staff.example.org/", false}, {"Acme & Co", "wiki", "https://wiki.example.org/", true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %+v", err, got)
	}
	if got, err := f.Apps(ctx, stranger.ID); err != nil || len(got) > 0 {
		t.Errorf("a member of nothing sees %+v, %v", got, err)
	}
}
