package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// tenants are two organizations with domains, and what nodes answer for names in these.
type tenants struct {
	*store.Store
	t           *testing.T
	ours, other *model.Organization
	pool        *model.Pool
	domains     map[string]*model.Domain
}

func newTenants(t *testing.T, dsn string) *tenants {
	t.Helper()
	w := &tenants{Store: storetest.Open(t, dsn), t: t, ours: &model.Organization{ID: model.OrgID{}.New(), Name: "ours"}, other: &model.Organization{ID: model.OrgID{}.New(), Name: "other"},
		pool: &model.Pool{ID: model.PoolID{}.New(), Name: "p"}, domains: map[string]*model.Domain{}}
	w.write(func(tx *store.Tx) error {
		for _, o := range []*model.Organization{w.ours, w.other} {
			if err := tx.CreateOrganization(t.Context(), o); err != nil {
				return err
			}
		}
		return tx.CreatePool(t.Context(), w.pool)
	})
	return w
}

func (w *tenants) write(fn func(*store.Tx) error) {
	w.t.Helper()
	if _, err := w.Tx(w.t.Context(), "test", fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tenants) domain(org *model.Organization, name string) {
	w.t.Helper()
	w.domains[name] = &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: name, Pool: w.pool.ID}
	w.write(func(tx *store.Tx) error { return tx.CreateDomain(w.t.Context(), w.domains[name]) })
}

// challenge is one for a name of ours.
func (w *tenants) challenge(name string) []*model.Challenge {
	return []*model.Challenge{{ID: model.ChallengeID{}.New(), Org: w.ours.ID, Order: model.OrderID{}.New(), Type: model.DNS01, Name: name, Token: "token",
		Value: model.Authorization(strings.Repeat("v", 43)), Expires: time.Now().Add(time.Hour)}}
}

// answered wants names to be those that nodes answer for, in the table and in what the feed made of it.
func (w *tenants) answered(names ...string) {
	w.t.Helper()
	b, err := w.Load(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	loaded := map[string]bool{}
	for _, c := range b.Challenges {
		loaded[c.Name] = true
	}
	fed := model.Empty()
	for {
		b, err := w.Changes(w.t.Context(), fed.Revision(), 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		if b.To == fed.Revision() {
			break
		}
		fed = fed.Apply(b)
	}
	heard := map[string]bool{}
	for c := range fed.Challenges() {
		heard[c.Name] = true
	}
	for where, have := range map[string]map[string]bool{"table": loaded, "feed": heard} {
		if got := slices.Sorted(maps.Keys(have)); !slices.Equal(got, names) {
			w.t.Errorf("%s: %v are answered, want %v", where, got, names)
		}
	}
}

// T42: with a domain goes what nodes answer for the names in it, unless another one of the organization has them as well.
func TestT42_ChallengesGoWithTheirDomain(t *testing.T) {
	w, ctx := newTenants(t, storetest.DSN(t)), t.Context()
	for _, name := range []string{"a.test", "deep.a.test", "ba.test", "c.test", "d.test"} {
		w.domain(w.ours, name)
	}
	w.domain(w.other, "z.test")
	for _, name := range []string{"a.test", "www.a.test", "x.deep.a.test", "ba.test", "c.test", "d.test"} {
		w.write(func(tx *store.Tx) error { return tx.CreateChallenges(ctx, w.challenge(name)) })
	}
	drop := func(name string) {
		t.Helper()
		w.write(func(tx *store.Tx) error { return tx.DeleteDomain(ctx, w.domains[name].ID) })
	}
	drop("z.test")
	w.answered("a.test", "ba.test", "c.test", "d.test", "www.a.test", "x.deep.a.test")
	drop("a.test")
	w.answered("ba.test", "c.test", "d.test", "x.deep.a.test")
	w.domain(w.ours, "a.test")
	drop("deep.a.test")
	w.answered("ba.test", "c.test", "d.test", "x.deep.a.test")
	drop("a.test")
	w.answered("ba.test", "c.test", "d.test")
	w.domain(w.other, "a.test") // whose it is now
	w.answered("ba.test", "c.test", "d.test")

	change := func(name string, to func(*model.Domain)) {
		t.Helper()
		to(w.domains[name])
		w.write(func(tx *store.Tx) error { _, err := tx.UpdateDomain(ctx, w.domains[name]); return err })
	}
	change("c.test", func(d *model.Domain) { d.Unproven = true })
	w.answered("ba.test", "d.test")
	change("d.test", func(d *model.Domain) { d.Org = w.other.ID })
	w.answered("ba.test")
}

// T42: one that is written while its domain goes is not left behind either, whichever of the two is first.
func TestT42_ChallengesAreNotLeftByARace(t *testing.T) {
	dsn := storetest.DSN(t)
	w, ctx := newTenants(t, dsn), t.Context()
	waits := connect(t, dsn)
	waiting := func() error {
		for range 600 {
			n := 0
			if err := waits.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())").Scan(&n); err != nil || n > 0 {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		return fmt.Errorf("neither waits for the other")
	}
	drop := func(tx *store.Tx) error { return tx.DeleteDomain(ctx, w.domains["a.test"].ID) }
	write := func(tx *store.Tx) error { return tx.CreateChallenges(ctx, w.challenge("www.a.test")) }
	for what, both := range map[string][2]func(*store.Tx) error{"the challenge first": {write, drop}, "the domain first": {drop, write}} {
		w.domain(w.ours, "a.test")
		second := make(chan error, 1)
		w.write(func(tx *store.Tx) error {
			if err := both[0](tx); err != nil {
				return err
			}
			go func() { _, err := w.Tx(ctx, "test", both[1]); second <- err }()
			return waiting()
		})
		if err := <-second; (err == nil) != (what == "the challenge first") {
			t.Errorf("%s: %v", what, err)
		}
		w.answered()
	}
}
