package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// From a service to its certificate; the old one stays until all nodes have the new, and its renewal says what it
// replaces.
func TestIssueAndRenew(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	fleet := &nodes{}
	o := r.options("a")
	o.Fleet = fleet
	r.run(t, o)
	r.publish(t, "a.test")
	first := r.served(t, 1, 30*time.Second)["*.a.test"]
	r.usable(t, first)
	if n := r.proxy.NewOrders()["*.a.test,a.test"]; n != 1 {
		t.Errorf("%d orders at the authority", n)
	}
	var m *model.ManagedCertificate
	r.tx(t, func(tx *store.Tx) error {
		m = r.managed(t, tx)[0]
		left, err := tx.ListOrdersOf(t.Context(), m.ID, 1)
		if err != nil {
			return err
		}
		if ch, err := tx.ListChallengesOfOrder(t.Context(), left[0].ID); err != nil || len(ch) != 0 {
			t.Errorf("%d challenges are left, %v", len(ch), err)
		}
		events, err := tx.ListOrderEvents(t.Context(), left[0].ID)
		var states []model.OrderState
		for _, e := range events {
			if len(states) == 0 || states[len(states)-1] != e.State {
				states = append(states, e.State)
			}
		}
		if len(states) != 10 || states[0] != model.OrderPlanned || states[9] != model.OrderAcked {
			t.Errorf("timeline %v", states)
		}
		life := first.NotAfter.Sub(first.NotBefore)
		if at := m.RenewAt.Sub(first.NotBefore); at < life*2/3 || at > life*3/4 || !m.NextAttempt.Equal(m.RenewAt) {
			t.Errorf("renewed at %v of %v", at, life)
		}
		return err
	})

	fleet.set("n1")
	ask := func() {
		t.Helper()
		r.tx(t, func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(t.Context(), m.ID)
			if err != nil {
				return err
			}
			v.NextAttempt = time.Now()
			return tx.UpdateManagedCertificate(t.Context(), v)
		})
	}
	ask()
	r.publish(t, "wake.test") // a change, after which there is a plan
	var renewal *model.Order
	r.until(t, "renewal is published", 30*time.Second, func(tx *store.Tx) (bool, error) {
		os, err := tx.ListOrdersOf(t.Context(), m.ID, 5)
		if err != nil || len(os) < 2 {
			return false, err
		}
		renewal = os[0]
		wake, err := tx.FindManagedCertificates(t.Context(), r.org.ID, "wake.test")
		return renewal.State == model.OrderPublished && len(wake) == 1 && !wake[0].Certificate.IsZero(), err
	})
	if !renewal.Renewal || renewal.Replaces == "" {
		t.Errorf("renewal %v replaces %q", renewal.Renewal, renewal.Replaces)
	}
	p := NewPlanner(New(r.options("cleaner")))
	clean := func(now time.Time) {
		t.Helper()
		if err := p.clean(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	clean(time.Now().Add(100 * 24 * time.Hour)) // whatever the time: a node does not have the new one
	r.tx(t, func(tx *store.Tx) error {
		old, err := tx.GetCertificate(t.Context(), first.ID)
		if err != nil || old.SupersededBy != renewal.Certificate {
			t.Errorf("the old certificate while a node is behind: %+v, %v", old, err)
		}
		return err
	})
	// Who asks for another one meanwhile gets it as soon as that is over, whatever the authority suggests meanwhile.
	ask()
	if err := p.poll(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	p = NewPlanner(New(r.options("passes it over")))
	if err := p.Plan(t.Context(), r.world.Get(), time.Now()); err != nil {
		t.Fatal(err)
	}
	fleet.set()
	r.until(t, "what was asked for meanwhile", planEvery/2, func(tx *store.Tx) (bool, error) {
		os, err := tx.ListOrdersOf(t.Context(), m.ID, 5)
		return os[0].ID != renewal.ID && os[0].State == model.OrderAcked, err
	})
	next := r.served(t, 2, 30*time.Second)["*.a.test"]
	r.usable(t, next)
	clean(time.Now())
	r.tx(t, func(tx *store.Tx) error { _, err := tx.GetCertificate(t.Context(), first.ID); return err })
	clean(time.Now().Add(25 * time.Hour))
	r.tx(t, func(tx *store.Tx) error {
		if _, err := tx.GetCertificate(t.Context(), first.ID); err == nil {
			t.Error("the old certificate is still there a day after all nodes have the new one")
		}
		_, err := tx.GetCertificate(t.Context(), next.ID)
		return err
	})
}

// Where _acme-challenge of a domain is an alias, challenges are written where it leads to.
func TestAliasedChallenge(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.tx(t, func(tx *store.Tx) error {
		return tx.CreateDomain(t.Context(), &model.Domain{ID: model.DomainID{}.New(), Org: r.org.ID, Name: "ours.test", Pool: r.pool.ID})
	})
	r.dns.Alias("_acme-challenge.a.test", "_acme-challenge.a.ours.test")
	o := r.options("a")
	o.Preflight = &allowing{methods: Methods{"a.test": {Types: []model.ChallengeType{model.DNS01}, At: "a.ours.test"}}}
	r.run(t, o)
	r.publish(t, "a.test")
	r.usable(t, r.served(t, 1, 30*time.Second)["*.a.test"])
}
