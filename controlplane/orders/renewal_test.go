package orders

import (
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// An authority's suggestion is drawn and stored; a broken one changes nothing; one that has passed is due.
func TestRenewalInformation(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	w, _ := r.run(t, r.options("a"))
	r.publish(t, "ari.test")
	c := r.served(t, 1, 30*time.Second)["*.ari.test"]
	leaf, _ := pem.Decode(c.ChainPEM)
	p := NewPlanner(w)
	asked := func() *model.ManagedCertificate {
		t.Helper()
		var m *model.ManagedCertificate
		r.tx(t, func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(t.Context(), c.Managed)
			if err != nil {
				return err
			}
			v.ARIPollAt = time.Now().Add(-time.Second)
			return tx.UpdateManagedCertificate(t.Context(), v)
		})
		if err := p.poll(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		r.tx(t, func(tx *store.Tx) (err error) { m, err = tx.GetManagedCertificate(t.Context(), c.Managed); return err })
		return m
	}
	window := func(start, end time.Time) string {
		return fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	first := asked()
	if first.ARIStart.IsZero() || first.RenewAt.Before(first.ARIStart) || first.RenewAt.After(first.ARIEnd) || !first.NextAttempt.Equal(first.RenewAt) {
		t.Fatalf("renewal %v, window %v to %v", first.RenewAt, first.ARIStart, first.ARIEnd)
	}
	for name, answer := range map[string]string{
		"broken": "{", "HTML": "<html>", "inverted": window(c.NotAfter.Add(-time.Hour), c.NotAfter.Add(-2*time.Hour)), "far past": window(time.Unix(0, 0), time.Unix(3600, 0)),
		"zero": `{"suggestedWindow":{}}`, "beyond its end": window(c.NotBefore, c.NotAfter.Add(time.Hour)),
	} {
		if err := r.pebble.SetRenewalInfo(leaf.Bytes, answer); err != nil {
			t.Fatal(err)
		}
		if m := asked(); !m.RenewAt.Equal(first.RenewAt) || !m.NextAttempt.Equal(first.NextAttempt) || !m.ARIPollAt.After(time.Now()) {
			t.Errorf("%s: renewal moved from %v to %v", name, first.RenewAt, m.RenewAt)
		}
	}
	if n := r.proxy.NewOrders()["*.ari.test,ari.test"]; n != 1 {
		t.Errorf("%d orders after broken answers", n)
	}
	if err := r.pebble.SetRenewalInfo(leaf.Bytes, window(time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))); err != nil {
		t.Fatal(err)
	}
	if m := asked(); m.NextAttempt.After(time.Now()) {
		t.Errorf("a window that has passed is due at %v", m.NextAttempt)
	}
	r.publish(t, "wake.test")
	r.until(t, "the renewal", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all, err := tx.ListOrdersOf(t.Context(), c.Managed, 5)
		return err == nil && len(all) == 2 && all[0].State == model.OrderAcked && all[0].Replaces != "", err
	})
}
