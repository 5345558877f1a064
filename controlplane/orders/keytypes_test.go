package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Certificates of one set of names, with keys of two types, are ordered and renewed each for itself, and served together. When
// one type is not wanted any more, what there was of it gives way to the other.
func TestTwoTypesOfKey(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.run(t, r.options("a"))
	r.publish(t, "a.test")
	first := r.served(t, 1, 60*time.Second)["*.a.test"]
	second := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: r.org.ID, Names: first.Names, KeyType: model.RSA, NextAttempt: time.Now()}
	r.tx(t, func(tx *store.Tx) error { return tx.CreateManagedCertificate(t.Context(), second) })
	r.publish(t, "wake.test") // a change, after which there is a plan

	// both waits until the service has a certificate of each type, none of them the one that was there.
	both := func(not model.CertificateID) map[model.KeyType]*model.Certificate {
		t.Helper()
		out := map[model.KeyType]*model.Certificate{}
		r.until(t, "certificates of both types", 60*time.Second, func(*store.Tx) (bool, error) {
			clear(out)
			m := r.world.Get()
			for s := range m.ServicesNamed("www.a.test") {
				for _, c := range m.CertificatesFor(s) {
					out[c.KeyType] = c
				}
			}
			return len(out) == 2 && out[model.RSA].ID != not, nil
		})
		return out
	}
	have := both(first.ID)
	if have[model.ECDSA].ID != first.ID || !have[model.ECDSA].SupersededBy.IsZero() {
		t.Errorf("the first was replaced by the second: %v", have[model.ECDSA].ID)
	}
	r.usable(t, have[model.RSA])

	// The renewal of one is none of the other's business.
	r.until(t, "the order is over", 60*time.Second, func(tx *store.Tx) (bool, error) {
		all, err := tx.ListOrdersOf(t.Context(), second.ID, 1)
		return err == nil && all[0].State == model.OrderAcked, err
	})
	r.tx(t, func(tx *store.Tx) error {
		v, err := tx.LockManagedCertificate(t.Context(), second.ID)
		if err != nil {
			return err
		}
		v.NextAttempt = time.Now()
		return tx.UpdateManagedCertificate(t.Context(), v)
	})
	r.publish(t, "again.test")
	old := have[model.RSA]
	have = both(old.ID)
	r.tx(t, func(tx *store.Tx) error {
		was, err := tx.GetCertificate(t.Context(), old.ID)
		if err != nil || was.SupersededBy != have[model.RSA].ID || have[model.ECDSA].ID != first.ID {
			t.Errorf("after the renewal: %+v, %v", was, err)
		}
		return err
	})

	r.tx(t, func(tx *store.Tx) error {
		if err := tx.AdoptCertificates(t.Context(), second.ID, first.Managed, first.ID); err != nil {
			return err
		}
		return tx.DeleteManagedCertificate(t.Context(), second.ID)
	})
	r.until(t, "one certificate", 30*time.Second, func(tx *store.Tx) (bool, error) {
		m := r.world.Get()
		for s := range m.ServicesNamed("www.a.test") {
			if all := m.CertificatesFor(s); len(all) == 1 && all[0].ID == first.ID {
				return true, nil
			}
		}
		return false, nil
	})
	if err := NewPlanner(New(r.options("cleaner"))).clean(t.Context(), time.Now().Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(tx *store.Tx) error {
		if _, err := tx.GetCertificate(t.Context(), have[model.RSA].ID); err == nil {
			t.Error("what is not wanted any more stays")
		}
		_, err := tx.GetCertificate(t.Context(), first.ID)
		return err
	})
}
