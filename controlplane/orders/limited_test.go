package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// A long Retry-After of newOrder that says nothing of the names is about the account: until then no name at all is ordered there, by any replica,
// whereas orders that are there already go on.
func TestLongRetryAfterOfTheAccount(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	second, proxy := r.beside(t, "second", 2, "second.example")
	r.mute("u.test")
	for _, name := range []string{"a", "b"} {
		r.run(t, r.options(name))
	}
	r.publish(t, "u.test")
	r.until(t, "an order under way", 30*time.Second, func(tx *store.Tx) (bool, error) {
		m := r.managed(t, tx)
		if len(m) == 0 {
			return false, nil
		}
		o, err := tx.ListOrdersOf(t.Context(), m[0].ID, 1)
		return len(o) == 1 && o[0].State == model.OrderChallengesWritten, err
	})
	before := r.proxy.Requests()[acmetest.NewOrder]
	r.proxy.Next(acmetest.NewOrder, acmetest.Limit)
	r.proxy.Set(acmetest.Faults{LimitFor: 20 * time.Minute})
	begun := time.Now()
	r.publish(t, "l.test")
	got := func(names string) *model.Certificate {
		t.Helper()
		var out *model.Certificate
		r.until(t, "the certificate of "+names, 90*time.Second, func(tx *store.Tx) (bool, error) {
			for _, m := range r.managed(t, tx) {
				if m.Names[0] == names && !m.Certificate.IsZero() {
					c, err := tx.GetCertificate(t.Context(), m.Certificate)
					out = c
					return err == nil, err
				}
			}
			return false, nil
		})
		return out
	}
	if c := got("*.l.test"); c.Issuer != second.ID {
		t.Error("the certificate is not of the second issuer")
	}
	for _, apex := range []string{"m1.test", "m2.test", "m3.test"} {
		r.publish(t, apex)
		if c := got("*." + apex); c.Issuer != second.ID {
			t.Errorf("%s was ordered within the Retry-After", apex)
		}
	}
	r.mute("")
	r.tx(t, func(tx *store.Tx) error { // nodes answer again: what is there already is not held up
		all, err := tx.ListIssuers(t.Context())
		for _, i := range all {
			if d := i.Limited[model.AskNewOrder].Sub(begun); i.ID == r.issuer.ID && (d < 20*time.Minute-time.Second || d > 21*time.Minute || !i.PausedUntil.IsZero()) {
				t.Errorf("orders are limited for %v, all else until %v", d, i.PausedUntil)
			}
		}
		for c := range r.world.Get().Challenges() {
			r.dns.Add("_acme-challenge."+c.Name, string(c.Value))
		}
		return err
	})
	if c := got("*.u.test"); c.Issuer != r.issuer.ID {
		t.Error("the order under way was given up")
	}
	if n := r.proxy.Requests()[acmetest.NewOrder] - before; n != 1 {
		t.Errorf("%d newOrder at the first issuer, want the one that was refused", n)
	}
	if n := proxy.Requests()[acmetest.NewOrder]; n != 4 {
		t.Errorf("%d newOrder at the second issuer, want 4", n)
	}
	for _, v := range r.proxy.Violations() {
		if v.Kind == acmetest.NewOrder { // all else goes on
			t.Errorf("ordered within a Retry-After: %v", v)
		}
	}
}
