package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// An authority that remembers what was proved asks for nothing: no challenge is written or waited for, and the key is a new one all the same.
func TestValidAuthorizationsAreReused(t *testing.T) {
	r := newRig(t, acmetest.Config{AuthzReuse: 100})
	w, _ := r.run(t, r.options("a"))
	r.publish(t, "known.test")
	first := r.served(t, 1, 30*time.Second)["*.known.test"]
	asked := func() int { return r.dns.Asked("_acme-challenge.known.test") }
	looked, initiated := asked(), r.proxy.Requests()[acmetest.Initiate]
	if looked == 0 || initiated != 2 {
		t.Fatalf("the first order: the DNS was asked %d times, %d challenges", looked, initiated)
	}
	r.due(t, first.Managed)
	w.Replan()
	var second *model.Certificate
	r.until(t, "the renewal", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all, err := tx.ListOrdersOf(t.Context(), first.Managed, 5)
		if err != nil || len(all) < 2 || all[0].State != model.OrderAcked {
			return false, err
		}
		events, err := tx.ListOrderEvents(t.Context(), all[0].ID)
		for _, e := range events {
			if e.State == model.OrderChallengesWritten || e.State == model.OrderInitiated {
				t.Errorf("%s: %s", e.State, e.What)
			}
		}
		if err != nil {
			return false, err
		}
		second, err = tx.GetCertificate(t.Context(), all[0].Certificate)
		return err == nil, err
	})
	r.usable(t, second)
	if asked() != looked || r.proxy.Requests()[acmetest.Initiate] != initiated {
		t.Errorf("the renewal: the DNS was asked %d times more, %d challenges", asked()-looked, r.proxy.Requests()[acmetest.Initiate]-initiated)
	}
	if n := r.proxy.NewOrders()["*.known.test,known.test"]; n != 2 {
		t.Errorf("%d orders", n)
	}
	one, err := leaf(first.ChainPEM)
	if err != nil {
		t.Fatal(err)
	}
	two, err := leaf(second.ChainPEM)
	if err != nil || string(one.RawSubjectPublicKeyInfo) == string(two.RawSubjectPublicKeyInfo) {
		t.Errorf("the renewal has the key of before, %v", err)
	}
}

// due makes a certificate due now.
func (r *rig) due(t *testing.T, id model.ManagedCertificateID) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error {
		m, err := tx.LockManagedCertificate(t.Context(), id)
		if err != nil {
			return err
		}
		m.NextAttempt = time.Now()
		return tx.UpdateManagedCertificate(t.Context(), m)
	})
}
