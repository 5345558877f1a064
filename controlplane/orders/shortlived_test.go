package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// A profile is always named, by our word for it, and one of six days is renewed at half of its life: never sooner, at the time that was
// drawn, by the same profile, again and again.
func TestShortLivedProfile(t *testing.T) {
	const life = 144 * time.Hour
	r := newRig(t, acmetest.Config{Profiles: map[string]acmetest.Profile{
		"long": {Description: "90 days", Validity: 90 * 24 * time.Hour}, "shortlived": {Description: "six days", Validity: life},
	}})
	r.issuer.Profiles = map[string]string{"": "long", "short": "shortlived"}
	r.tx(t, func(tx *store.Tx) error { return tx.UpdateIssuer(t.Context(), r.issuer) })
	w := New(r.options("a"))
	p := NewPlanner(w)
	plan := func(now time.Time) {
		t.Helper()
		if err := p.Plan(t.Context(), r.world.Get(), now); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(t, "s.test")
	r.until(t, "the plan", 10*time.Second, func(tx *store.Tx) (bool, error) {
		plan(time.Now())
		return len(r.managed(t, tx)) == 1, nil
	})
	// carry carries the one order that there is to its end, as it comes at any time.
	carry := func(n int) (*model.ManagedCertificate, *model.Order, *model.Certificate) {
		t.Helper()
		var m *model.ManagedCertificate
		var o *model.Order
		var c *model.Certificate
		r.until(t, "the order", 30*time.Second, func(*store.Tx) (bool, error) {
			// far ahead: an order that is planned in simulated time is due then
			if claimed, err := w.Store.ClaimOrder(t.Context(), "a", time.Minute, time.Now().Add(365*24*time.Hour)); err == nil {
				w.carry(t.Context(), claimed)
			}
			err := r.db.View(t.Context(), func(tx *store.Tx) error {
				m = r.managed(t, tx)[0]
				all, err := tx.ListOrdersOf(t.Context(), m.ID, 10)
				if err != nil || len(all) != n {
					return err
				}
				o = all[0]
				if o.State == model.OrderAcked {
					c, err = tx.GetCertificate(t.Context(), m.Certificate)
				}
				return err
			})
			return c != nil, err
		})
		return m, o, c
	}
	m, o, c := carry(1)
	if o.Profile != "long" || c.NotAfter.Sub(c.NotBefore) < 80*24*time.Hour {
		t.Errorf("the default is %q, for %v", o.Profile, c.NotAfter.Sub(c.NotBefore))
	}
	r.tx(t, func(tx *store.Tx) error {
		v := *m
		v.Profile = "short"
		return tx.ConfigureManagedCertificate(t.Context(), &v, time.Now())
	})
	plan(time.Now())
	for n := 2; n <= 5; n++ {
		m, o, c = carry(n)
		if o.Profile != "shortlived" || !o.Renewal || o.Replaces == "" {
			t.Errorf("order %d: profile %q, renewal %v, replaces %q", n, o.Profile, o.Renewal, o.Replaces)
		}
		got := c.NotAfter.Sub(c.NotBefore)
		if got < life-time.Minute || got > life+time.Minute {
			t.Fatalf("certificate %d is for %v", n, got)
		}
		if at := m.RenewAt.Sub(c.NotBefore); at < got/2 || at > got/2+got/20 || !m.NextAttempt.Equal(m.RenewAt) {
			t.Errorf("certificate %d is renewed after %v of %v, next attempt %v", n, at, got, m.NextAttempt)
		}
		plan(m.RenewAt.Add(-time.Second))
		r.tx(t, func(tx *store.Tx) error {
			all, err := tx.ListOrdersOf(t.Context(), m.ID, 10)
			if len(all) != n {
				t.Errorf("%d orders a second before the renewal, want %d", len(all), n)
			}
			return err
		})
		plan(m.RenewAt)
	}
}
