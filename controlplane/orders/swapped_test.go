package orders

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Somebody swaps the sealed keys of two orders while the authority has their requests: neither opens, so no certificate of either is
// published, and both are ordered anew with keys of their own.
func TestSwappedKeysOfOrdersAreRefused(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.proxy.Set(acmetest.Faults{Fail: 1, Only: []acmetest.Kind{acmetest.Download}})
	_, end := r.run(t, r.options("a"))
	names := []string{"o1.test", "o2.test"}
	for _, n := range names {
		r.publish(t, n)
	}
	newest := func(tx *store.Tx) (out []*model.Order, err error) {
		for _, m := range r.managed(t, tx) {
			os, err := tx.ListOrdersOf(t.Context(), m.ID, 1)
			if err != nil || len(os) == 0 {
				return nil, err
			}
			out = append(out, os[0])
		}
		return out, nil
	}
	var before []*model.Order
	r.until(t, "both have requested", 30*time.Second, func(tx *store.Tx) (bool, error) {
		var err error
		before, err = newest(tx)
		return len(before) == len(names) && !slices.ContainsFunc(before, func(o *model.Order) bool { return o.State != model.OrderFinalized }), err
	})
	end()
	r.swap(t, before[0], before[1])
	r.proxy.Set(acmetest.Faults{})
	w, _ := r.run(t, r.options("b"))
	r.until(t, "both are refused", 30*time.Second, func(tx *store.Tx) (bool, error) {
		now, err := newest(tx)
		for _, o := range now {
			if o.State != model.OrderFailed {
				return false, err
			}
			if _, err := tx.GetCertificate(t.Context(), o.Certificate); fault.Of(err) != fault.NotFound {
				t.Errorf("%v has a certificate, %v", o.Names, err)
			}
			m, err := tx.GetManagedCertificate(t.Context(), o.Managed)
			if err != nil || o.Problem == "" || m.LastProblem != o.Problem || !m.Certificate.IsZero() || !m.NextAttempt.After(time.Now()) {
				t.Errorf("%v: %q; %+v, %v", o.Names, o.Problem, m, err)
			}
		}
		return len(now) == len(names), err
	})
	for _, o := range before {
		r.due(t, o.Managed)
	}
	w.Replan()
	for _, c := range r.served(t, len(names), 30*time.Second) {
		r.usable(t, c)
	}
}

// swap exchanges the sealed keys of two orders.
func (r *rig) swap(t *testing.T, a, b *model.Order) {
	t.Helper()
	col := store.SealedColumns[slices.IndexFunc(store.SealedColumns, func(c store.SealedColumn) bool { return c.Table == "orders" })]
	r.tx(t, func(tx *store.Tx) error {
		if err := tx.UpdateSealed(t.Context(), col, store.SealedRow{Key: a.Certificate.UUID.String(), Sealed: b.SealedKey}); err != nil {
			return err
		}
		return tx.UpdateSealed(t.Context(), col, store.SealedRow{Key: b.Certificate.UUID.String(), Sealed: a.SealedKey})
	})
}
