package store_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

var orderTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// orderWorld has an issuer and a managed certificate beside the rows of world.
type orderWorld struct {
	*world
	s       *store.Store
	dsn     string
	issuer  *model.Issuer
	managed *model.ManagedCertificate
}

func newOrderWorld(t *testing.T) *orderWorld {
	t.Helper()
	w, dsn := newWorld(t), storetest.DSN(t)
	s := storetest.Open(t, dsn)
	w.create(t, s)
	o := &orderWorld{w, s, dsn, &model.Issuer{
		ID: model.IssuerID{}.New(), Name: "le", DirectoryURL: "https://acme.example/directory", Contacts: []string{"mailto:a@b.example"}, EABKeyID: "kid", SealedEABKey: []byte("s"),
		RootsPEM: []byte("pem"), Rank: 7, Profiles: map[string]string{"": "classic", "short": "shortlived"}, CAAIdentities: []string{"acme.example"}, Limits: model.IssuerLimits{NewOrders: 9},
	}, &model.ManagedCertificate{
		ID: model.ManagedCertificateID{}.New(), Org: w.org.ID, Names: []string{"*.example.org", "example.org"}, KeyType: model.ECDSA, Wanted: true, NextAttempt: orderTime,
	}}
	o.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.CreateIssuer(t.Context(), o.issuer), tx.CreateManagedCertificate(t.Context(), o.managed))
	})
	return o
}

func (w *orderWorld) tx(t *testing.T, fn func(*store.Tx) error) {
	t.Helper()
	if _, err := w.s.Tx(t.Context(), "test", fn); err != nil {
		t.Fatal(err)
	}
}

func (w *orderWorld) order() *model.Order {
	return &model.Order{
		ID: model.OrderID{}.New(), Org: w.org.ID, Managed: w.managed.ID, Issuer: w.issuer.ID, Names: w.managed.Names, KeyType: model.ECDSA, Profile: "classic",
		Renewal: true, Replaces: "aki.serial", Certificate: model.CertificateID{}.New(), State: model.OrderPlanned, NextAttempt: orderTime,
	}
}

func (w *orderWorld) plan(t *testing.T, o *model.Order) (made bool) {
	t.Helper()
	w.tx(t, func(tx *store.Tx) (err error) {
		all, err := tx.CreateOrders(t.Context(), []*model.Order{o}, orderTime)
		made = len(all) == 1 && all[0] == o.ID
		return err
	})
	return made
}

func TestIssuersRoundTrip(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	get := func() *model.Issuer {
		t.Helper()
		var v *model.Issuer
		w.tx(t, func(tx *store.Tx) (err error) { v, err = tx.GetIssuer(ctx, w.issuer.ID); return err })
		return v
	}
	if diff := cmp.Diff(w.issuer, get(), ignoreMeta); diff != "" {
		t.Error(diff)
	}
	w.issuer.Suspended = true
	w.issuer.Name, w.issuer.Rank, w.issuer.Profiles, w.issuer.EABKeyID, w.issuer.SealedEABKey = "zero", 1, nil, "", nil
	w.issuer.AccountURL, w.issuer.SealedAccountKey, w.issuer.SealedPendingKey = "https://acme.example/acct/1", []byte("k"), []byte("p")
	w.issuer.PausedUntil, w.issuer.FailingSince, w.issuer.Failures, w.issuer.LastProblem = orderTime, orderTime, 3, "busy"
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.UpdateIssuer(ctx, w.issuer), tx.SetAccountKeys(ctx, w.issuer.ID, []byte("k"), []byte("p")),
			tx.SetAccountURL(ctx, w.issuer.ID, w.issuer.AccountURL), tx.SetIssuerHealth(ctx, w.issuer))
	})
	if diff := cmp.Diff(w.issuer, get(), ignoreMeta); diff != "" {
		t.Error(diff)
	}
	moved := *w.issuer
	moved.DirectoryURL = "https://other.example/directory"
	_, err := w.s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.UpdateIssuer(ctx, &moved) })
	if fault.Of(err) != fault.NotFound {
		t.Errorf("the directory of an issuer was changed: %v", err)
	}
	for name, change := range map[string]func(*model.Issuer){
		"directory_url": func(v *model.Issuer) { v.DirectoryURL = "http://acme.example/" },
		"rank":          func(v *model.Issuer) { v.Rank = 1001 },
		"eab_key":       func(v *model.Issuer) { v.EABKeyID = "kid" },
		"name":          func(v *model.Issuer) { v.Name = "internal" },
	} {
		bad := moved
		bad.ID, bad.Name = bad.ID.New(), "bad"
		change(&bad)
		_, err := w.s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateIssuer(ctx, &bad) })
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Field != name {
			t.Errorf("bad %s: %v", name, err)
		}
	}
	w.tx(t, func(tx *store.Tx) error {
		all, err := tx.ListIssuers(ctx)
		if len(all) != 2 || all[0].ID != w.issuer.ID || !all[1].Internal() {
			t.Errorf("issuers %v", all)
		}
		if fault.Of(tx.DeleteIssuer(ctx, all[1].ID, orderTime)) != fault.NotFound {
			t.Error("the cluster's own issuer was deleted")
		}
		return errors.Join(err, tx.DeleteIssuer(ctx, w.issuer.ID, orderTime))
	})
}

// An account and a set of names have one order under way.
func TestOrdersAreSingleFlight(t *testing.T) {
	w := newOrderWorld(t)
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			o := w.order()
			_, err := w.s.Tx(t.Context(), "test", func(tx *store.Tx) error {
				all, err := tx.CreateOrders(t.Context(), []*model.Order{o}, orderTime)
				made.Add(int64(len(all)))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d orders of the same names under way", n)
	}
}

// A lease has one holder; who lost it can write nothing more, and a heartbeat keeps it.
func TestOrderLease(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	o := w.order()
	if !w.plan(t, o) {
		t.Fatal("not planned")
	}
	if _, err := w.s.ClaimOrder(ctx, "early", time.Minute, orderTime.Add(-time.Second)); fault.Of(err) != fault.NotFound {
		t.Errorf("claimed before it was due: %v", err)
	}
	const ttl = time.Hour
	end := func() { // of the lease: the database's clock says so, and a slow machine gets no other result
		t.Helper()
		if _, err := connect(t, w.dsn).Exec(ctx, "UPDATE orders SET lease_until = clock_timestamp()"); err != nil {
			t.Fatal(err)
		}
	}
	a, err := w.s.ClaimOrder(ctx, "a", ttl, orderTime)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, a, ignoreMeta, cmp.FilterPath(func(p cmp.Path) bool {
		return strings.HasPrefix(p.String(), "Lease") || p.String() == "Fence"
	}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	if _, err := w.s.ClaimOrder(ctx, "b", ttl, orderTime); fault.Of(err) != fault.NotFound {
		t.Errorf("claimed twice: %v", err)
	}
	for range 2 { // nobody else has it yet
		end()
		if err := w.s.HoldOrder(ctx, o.ID, a.Fence, ttl); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.s.ClaimOrder(ctx, "b", ttl, orderTime); fault.Of(err) != fault.NotFound {
		t.Errorf("claimed in spite of heartbeats: %v", err)
	}
	end()
	b, err := w.s.ClaimOrder(ctx, "b", time.Minute, orderTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.s.HoldOrder(ctx, o.ID, a.Fence, ttl); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("heartbeat with a stale token: %v", err)
	}
	a.State, a.URL = model.OrderOrdered, "https://acme.example/order/stale"
	_, err = w.s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.WriteOrder(ctx, a, false); err != nil {
			return err
		}
		return tx.AddOrderEvents(ctx, model.OrderEvent{Order: o.ID, At: orderTime, State: a.State, What: "x"})
	})
	if !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("write with a stale token: %v", err)
	}
	b.State, b.URL, b.CSR, b.SealedKey, b.ChainPEM, b.Attempts, b.Class, b.Problem = model.OrderFinalized, "https://acme.example/order/1", []byte("csr"), []byte("key"), []byte("pem"), 2, "c", "p"
	b.ChallengeRevision, b.PublishRevision, b.Intent, b.NextAttempt, b.Replaces = 4, 5, orderTime, orderTime.Add(time.Hour), ""
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.WriteOrder(ctx, b, true), tx.AddOrderEvents(ctx, model.OrderEvent{Order: o.ID, At: orderTime, State: b.State, What: "finalized", Problem: "none"}))
	})
	w.tx(t, func(tx *store.Tx) error {
		got, err := tx.GetOrder(ctx, o.ID)
		want := *b
		want.LeaseHolder, want.LeaseUntil = "", time.Time{}
		if diff := cmp.Diff(&want, got, ignoreMeta); diff != "" {
			t.Error(diff)
		}
		events, err2 := tx.ListOrderEvents(ctx, o.ID)
		if diff := cmp.Diff([]model.OrderEvent{{Order: o.ID, At: orderTime, State: model.OrderFinalized, What: "finalized", Problem: "none"}}, events); diff != "" {
			t.Error(diff)
		}
		known, err3 := tx.KnownOrderURLs(ctx, []string{b.URL, a.URL})
		if !known[b.URL] || known[a.URL] {
			t.Errorf("known URLs %v", known)
		}
		return errors.Join(err, err2, err3)
	})
	c, err := w.s.ClaimOrder(ctx, "c", time.Minute, orderTime.Add(time.Hour))
	if err != nil || c.Fence <= b.Fence {
		t.Fatalf("claimed after release: %v, fence %d after %d", err, c.Fence, b.Fence)
	}
	c.State, c.Finished = model.OrderAcked, orderTime
	w.tx(t, func(tx *store.Tx) error { return tx.WriteOrder(ctx, c, false) })
	if _, err := w.s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.WriteOrder(ctx, c, false) }); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("an order that is over was written: %v", err)
	}
	if _, err := w.s.ClaimOrder(ctx, "d", ttl, orderTime.Add(48*time.Hour)); fault.Of(err) != fault.NotFound {
		t.Errorf("claimed an order that is over: %v", err)
	}
	if !w.plan(t, w.order()) {
		t.Error("no new order after the end of the old one")
	}
}

func TestDueManagedCertificates(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	cert := func(at time.Duration) *model.Certificate {
		return &model.Certificate{
			ID: model.CertificateID{}.New(), Org: w.org.ID, Names: []string{"x.example.org"}, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: orderTime, NotAfter: orderTime.Add(at),
			Issuer: w.issuer.ID,
		}
	}
	late, soon := cert(9*time.Hour), cert(3*time.Hour)
	add := func(name string, c *model.Certificate, due time.Time) *model.ManagedCertificate {
		m := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: w.org.ID, Names: []string{name}, KeyType: model.RSA, Wanted: true, NextAttempt: due}
		w.tx(t, func(tx *store.Tx) error {
			if err := tx.CreateManagedCertificate(ctx, m); err != nil {
				return err
			}
			if c != nil {
				m.Certificate, c.Managed = c.ID, m.ID
				if err := tx.CreateCertificate(ctx, c); err != nil {
					return err
				}
			}
			m.RenewAt, m.ARIStart, m.ARIEnd, m.ARIPollAt, m.LadderStep, m.LastProblem, m.FailingSince = due, due, due, due, 3, "p", due
			return tx.UpdateManagedCertificate(ctx, m)
		})
		return m
	}
	third, second := add("late.example.org", late, orderTime), add("soon.example.org", soon, orderTime)
	add("later.example.org", nil, orderTime.Add(time.Minute))
	gone := add("gone.example.org", nil, orderTime)
	gone.Wanted = false
	busy := add("busy.example.org", nil, orderTime)
	o := w.order()
	o.Managed, o.Names = busy.ID, busy.Names
	w.plan(t, o)
	w.tx(t, func(tx *store.Tx) error {
		if err := tx.UpdateManagedCertificate(ctx, gone); err != nil {
			return err
		}
		due, err := tx.DueManagedCertificates(ctx, orderTime, 10)
		if len(due) != 3 || due[0].ID != w.managed.ID || due[1].ID != second.ID || due[2].ID != third.ID || !due[1].Expires.Equal(soon.NotAfter) {
			t.Errorf("due: %v", due)
		} else if diff := cmp.Diff(second, due[1].ManagedCertificate, ignoreMeta); diff != "" {
			t.Error(diff)
		}
		polls, err2 := tx.ManagedCertificatesToPoll(ctx, orderTime, 10)
		if len(polls) != 3 {
			t.Errorf("%d to poll", len(polls))
		}
		return errors.Join(err, err2)
	})
	// Its owner changed something: what failed is due at once, other organizations' and names' attempts stay.
	w.tx(t, func(tx *store.Tx) error {
		return errors.Join(tx.ResetLadder(ctx, w.org.ID, "later.example.org", orderTime.Add(time.Second)), tx.ResetLadder(ctx, model.OrgID{}.New(), "example.org", orderTime))
	})
	w.tx(t, func(tx *store.Tx) error {
		due, err := tx.DueManagedCertificates(ctx, orderTime.Add(time.Second), 10)
		if len(due) != 4 {
			t.Errorf("%d due after the reset", len(due))
		}
		for _, d := range due {
			if want := 0; d.Names[0] == "soon.example.org" && d.LadderStep == want {
				t.Error("the ladder of another name was reset")
			}
		}
		return err
	})
}

// A new certificate takes the place of its predecessors and of what the cluster's own authority made for names
// that it carries; what was uploaded, or carries others, stays.
func TestSupersedeCertificates(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	cert := func(change func(*model.Certificate), names ...string) *model.Certificate {
		c := &model.Certificate{ID: model.CertificateID{}.New(), Org: w.org.ID, Names: names, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: orderTime, NotAfter: orderTime.Add(time.Hour)}
		change(c)
		w.tx(t, func(tx *store.Tx) error { return tx.CreateCertificate(ctx, c) })
		return c
	}
	own := func(*model.Certificate) {}
	ordered := func(c *model.Certificate) { c.Managed, c.Issuer = w.managed.ID, w.issuer.ID }
	gone := []*model.Certificate{cert(ordered, "*.example.org", "example.org"), cert(own, "example.org"), cert(own, "www.example.org"), cert(own, "*.example.org")}
	stay := []*model.Certificate{cert(own, "a.b.example.org"), cert(own, "*.b.example.org"), cert(func(c *model.Certificate) { c.Uploaded = true }, "example.org"), cert(own, "other.org", "example.org")}
	next := cert(ordered, "*.example.org", "example.org")
	o := w.order()
	o.Certificate = next.ID
	w.plan(t, o)
	w.tx(t, func(tx *store.Tx) error { return tx.SupersedeCertificates(ctx, next.ID) })
	w.tx(t, func(tx *store.Tx) error {
		for _, c := range gone {
			if got, err := tx.GetCertificate(ctx, c.ID); err != nil || got.SupersededBy != next.ID {
				t.Errorf("%v stays: %v", c.Names, err)
			}
		}
		for _, c := range append(stay, next) {
			if got, err := tx.GetCertificate(ctx, c.ID); err != nil || !got.SupersededBy.IsZero() {
				t.Errorf("%v is superseded: %v", c.Names, err)
			}
		}
		if ids, err := tx.SupersededCertificates(ctx, orderTime.Add(time.Hour)); err != nil || len(ids) != 0 {
			t.Errorf("to be removed before the nodes have the new one: %v, %v", ids, err)
		}
		return nil
	})
	held, err := w.s.ClaimOrder(ctx, "a", time.Minute, orderTime)
	if err != nil {
		t.Fatal(err)
	}
	held.State, held.Finished = model.OrderAcked, orderTime.Add(time.Minute)
	w.tx(t, func(tx *store.Tx) error { return tx.WriteOrder(ctx, held, true) })
	w.tx(t, func(tx *store.Tx) error {
		for at, want := range map[time.Duration]int{0: 0, time.Minute: len(gone)} {
			if ids, err := tx.SupersededCertificates(ctx, orderTime.Add(at)); err != nil || len(ids) != want {
				t.Errorf("%v after the nodes have it: %d to be removed, %v", at, len(ids), err)
			}
		}
		return nil
	})
}

func TestBuckets(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	keys := []model.Bucket{{BucketKey: model.BucketKey{Kind: model.BudgetNewOrders}, Tokens: 300}, {BucketKey: model.BucketKey{Kind: model.BudgetDomain, Key: "example.org"}, Tokens: 50}}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := w.s.Tx(ctx, "test", func(tx *store.Tx) error {
				all, err := tx.LockBuckets(ctx, w.issuer.ID, keys, orderTime)
				for _, b := range all {
					b.Tokens--
					err = errors.Join(err, tx.SetBucket(ctx, w.issuer.ID, b))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.tx(t, func(tx *store.Tx) error {
		got, err := tx.ListBuckets(ctx, w.issuer.ID, model.BudgetDomain)
		if diff := cmp.Diff([]model.Bucket{{BucketKey: keys[1].BucketKey, Tokens: 40, At: orderTime}}, got); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, tx.DeleteFullBuckets(ctx, orderTime.Add(time.Second)))
	})
	w.tx(t, func(tx *store.Tx) error {
		got, err := tx.ListBuckets(ctx, w.issuer.ID, model.BudgetNewOrders)
		if len(got) != 0 {
			t.Errorf("%v left", got)
		}
		return err
	})
}
