package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What an issuer has not heard of ends when it is suspended, whoever carries it; nothing is planned with it afterwards.
func TestPlannedOrdersOfAnIssuerEnd(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	planned := w.order()
	if !w.plan(t, planned) {
		t.Fatal("not planned")
	}
	sent := w.order()
	sent.Names, sent.Intent = []string{"sent.example"}, orderTime
	if !w.plan(t, sent) {
		t.Fatal("not planned")
	}
	carried := map[model.OrderID]*model.Order{}
	for range 2 {
		o, err := w.s.ClaimOrder(ctx, "a", time.Minute, orderTime)
		if err != nil {
			t.Fatal(err)
		}
		carried[o.ID] = o
	}
	carried[sent.ID].Intent = orderTime
	w.tx(t, func(tx *store.Tx) error { return tx.WriteOrder(ctx, carried[sent.ID], false) })
	w.issuer.Suspended = true
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.UpdateIssuer(ctx, w.issuer), tx.EndPlannedOrders(ctx, w.issuer.ID, "le is suspended", orderTime.Add(time.Second)))
	})
	carried[planned.ID].Intent = orderTime
	if _, err := w.s.Tx(ctx, "a", func(tx *store.Tx) error { return tx.WriteOrder(ctx, carried[planned.ID], false) }); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("an order that has ended was about to be sent: %v", err)
	}
	w.tx(t, func(tx *store.Tx) error {
		got, e0 := tx.GetOrder(ctx, planned.ID)
		if got.State != model.OrderFailed || got.Class != model.OrderAbandoned || got.Problem != "le is suspended" || !got.Finished.Equal(orderTime.Add(time.Second)) {
			t.Errorf("the planned order: %+v", got)
		}
		events, e1 := tx.ListOrderEvents(ctx, planned.ID)
		if len(events) != 1 || events[0].State != model.OrderFailed || events[0].Problem != "le is suspended" {
			t.Errorf("its timeline: %v", events)
		}
		m, e2 := tx.GetManagedCertificate(ctx, w.managed.ID)
		if !m.NextAttempt.Equal(orderTime.Add(time.Second)) || m.LadderStep != 0 {
			t.Errorf("its certificate is due at %v, %d failures", m.NextAttempt, m.LadderStep)
		}
		on, e3 := tx.GetOrder(ctx, sent.ID)
		if on.State != model.OrderPlanned || !on.Finished.IsZero() {
			t.Errorf("the order that may have been sent: %s", on.State)
		}
		yes, e4 := tx.HasIssuers(ctx)
		if yes {
			t.Error("certificates are ordered from a suspended issuer")
		}
		return errors.Join(e0, e1, e2, e3, e4)
	})
	late := w.order()
	late.Names = []string{"late.example"}
	if w.plan(t, late) {
		t.Error("an order of a suspended issuer was planned")
	}
}

// An issuer stays as long as it is needed. What is over leaves with it, but for what is told of orders.
func TestIssuerIsDeletedWhenNothingNeedsIt(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	now := orderTime
	o := w.order()
	w.plan(t, o)
	c := &model.Certificate{ID: o.Certificate, Org: w.org.ID, Managed: w.managed.ID, Issuer: w.issuer.ID, Names: w.managed.Names, ChainPEM: []byte("c"), SealedKey: []byte("k"),
		NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour), KeyType: model.ECDSA}
	w.managed.Issuer = w.issuer.ID
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.CreateCertificate(ctx, c), tx.UpdateManagedCertificate(ctx, w.managed), tx.CreateRevocation(ctx, &model.Revocation{
			Certificate: c.ID, Org: w.org.ID, Managed: w.managed.ID, Issuer: w.issuer.ID, Leaf: []byte("l"), NotAfter: c.NotAfter, NextAttempt: now,
		}))
	})
	use := func(now time.Time) (u store.IssuerUse) {
		t.Helper()
		w.tx(t, func(tx *store.Tx) (err error) { u, err = tx.IssuerUse(ctx, w.issuer.ID, now); return err })
		u.ValidUntil = u.ValidUntil.UTC()
		return u
	}
	want := store.IssuerUse{Orders: 1, Certificates: 1, ValidUntil: c.NotAfter, Revocations: 1, Pinned: 1, PinnedName: "*.example.org"}
	if diff := cmp.Diff(want, use(now)); diff != "" {
		t.Error(diff)
	}
	refused := func(why string) {
		t.Helper()
		if _, err := w.s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.DeleteIssuer(ctx, w.issuer.ID, now) }); err == nil {
			t.Errorf("deleted with %s", why)
		}
	}
	refused("an order under way")
	got, err := w.s.ClaimOrder(ctx, "a", time.Minute, now)
	if err != nil {
		t.Fatal(err)
	}
	got.State, got.Finished = model.OrderAcked, now
	w.managed.Wanted = false
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.WriteOrder(ctx, got, true), tx.UpdateManagedCertificate(ctx, w.managed))
	})
	refused("a valid certificate")
	now = c.NotAfter
	if u := use(now); u.Orders+u.Certificates+u.Revocations+u.Pinned != 0 {
		t.Errorf("needed after the end of its certificate: %+v", u)
	}
	w.tx(t, func(tx *store.Tx) error { return tx.DeleteIssuer(ctx, w.issuer.ID, now) })
	w.tx(t, func(tx *store.Tx) error {
		if _, err := tx.GetCertificate(ctx, c.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("its certificate: %v", err)
		}
		if _, err := tx.GetRevocation(ctx, c.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("its revocation: %v", err)
		}
		told, err := tx.GetOrder(ctx, o.ID)
		if err != nil || !told.Issuer.IsZero() || told.State != model.OrderAcked {
			t.Errorf("what is told of its order: %+v, %v", told, err)
		}
		m, err := tx.GetManagedCertificate(ctx, w.managed.ID)
		if err != nil || !m.Issuer.IsZero() {
			t.Errorf("what nobody needs is of issuer %v, %v", m.Issuer, err)
		}
		return nil
	})
}
