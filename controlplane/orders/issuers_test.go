package orders

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// beside adds an issuer of a rank: a Pebble of its own.
func (r *rig) beside(t *testing.T, name string, rank int, caa ...string) (*model.Issuer, *acmetest.Proxy) {
	t.Helper()
	proxy := acmetest.StartProxy(t, acmetest.Start(t, acmetest.Config{DNS: r.dns.Addr}), uint64(rank))
	i := *r.issuer
	i.ID, i.Name, i.Rank, i.DirectoryURL, i.RootsPEM, i.CAAIdentities = model.IssuerID{}.New(), name, rank, proxy.Directory, proxy.RootsPEM, caa
	r.tx(t, func(tx *store.Tx) error { return tx.CreateIssuer(t.Context(), &i) })
	return &i, proxy
}

func (r *rig) issuerNow(t *testing.T) (i *model.Issuer) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) (err error) { i, err = tx.GetIssuer(t.Context(), r.issuer.ID); return err })
	return i
}

// An authority says itself under which domains it goes: before the first pre-flight, in zones, and again after a day. What an operator
// says counts more.
func TestDirectoryNamesTheAuthority(t *testing.T) {
	r := newRig(t, acmetest.Config{CAAIdentities: []string{"Two.Example", "not a domain", "one.example"}})
	o := r.options("a")
	var asked [][]string
	pre := &allowing{say: func(_ []string, i *model.Issuer) error {
		asked = append(asked, i.CAADomains())
		return nil
	}}
	o.Preflight = pre
	w, _ := r.run(t, o)
	r.publish(t, "d.test")
	r.served(t, 1, 30*time.Second)
	want := []string{"one.example", "two.example"}
	pre.mu.Lock()
	for n, got := range asked { // for the first time before the authority has heard anything
		if n == 0 && len(got) > 0 || n > 0 && !slices.Equal(got, want) {
			t.Errorf("pre-flight was asked for an authority that goes under %q", got)
		}
	}
	pre.mu.Unlock()
	if len(asked) < 2 {
		t.Errorf("pre-flight was asked %d times", len(asked))
	}
	if got := r.world.Get().CAAIdentities(); !slices.Equal(got, want) {
		t.Errorf("zones say %q", got)
	}
	p := NewPlanner(w)
	read := func(now time.Time) time.Time {
		t.Helper()
		if err := p.directories(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		return r.issuerNow(t).DirectoryRead
	}
	first := r.issuerNow(t).DirectoryRead
	if at := read(first.Add(23 * time.Hour)); !at.Equal(first) {
		t.Errorf("read again after %v", at.Sub(first))
	}
	if at := read(first.Add(25 * time.Hour)); at.Sub(first) != 25*time.Hour {
		t.Errorf("read at %v after a day", at.Sub(first))
	}
	r.issuer.CAAIdentities = []string{"operator.example"}
	r.tx(t, func(tx *store.Tx) error { return tx.UpdateIssuer(t.Context(), r.issuer) })
	if got := r.issuerNow(t).CAADomains(); !slices.Equal(got, []string{"operator.example"}) {
		t.Errorf("an operator's word counts as %q", got)
	}
}

// A long Retry-After that is about the names: they are ordered from the next authority that CAA permits, and from this one not before its time,
// while other names are.
func TestLongRetryAfterGoesElsewhere(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	forbidden, never := r.beside(t, "forbidden", 2, "forbidden.example")
	third, proxy := r.beside(t, "third", 3, "third.example")
	r.proxy.Set(acmetest.Faults{Limit: 1, LimitFor: 20 * time.Minute, LimitSays: "too many certificates (5) already issued for this exact set of identifiers", Only: []acmetest.Kind{acmetest.NewOrder}})
	o := r.options("a")
	o.Preflight = &allowing{say: func(_ []string, i *model.Issuer) error {
		if i.ID == forbidden.ID {
			return &Refusal{Reason: "CAA does not permit it", CAA: true}
		}
		return nil
	}}
	r.run(t, o)
	before := time.Now()
	r.publish(t, "l.test")
	c := r.served(t, 1, 30*time.Second)["*.l.test"]
	if c.Issuer != third.ID {
		t.Errorf("the certificate is of another issuer than the third")
	}
	r.tx(t, func(tx *store.Tx) error {
		m := r.managed(t, tx)[0]
		until := m.Held[r.issuer.ID].Until
		if d := until.Sub(before); d < 20*time.Minute-time.Second || d > 21*time.Minute || m.LadderStep != 0 {
			t.Errorf("the first issuer is passed over for %v, %d failures", d, m.LadderStep)
		}
		b, err := tx.ListBuckets(t.Context(), r.issuer.ID, model.BudgetNewOrders)
		if len(b) != 1 || b[0].Tokens < 9999.5 {
			t.Errorf("the first issuer has made no order, and its budget is %v", b)
		}
		if i, err := tx.GetIssuer(t.Context(), r.issuer.ID); err != nil || !i.PausedUntil.IsZero() {
			t.Errorf("the first issuer is paused for all names until %v, %v", i.PausedUntil, err)
		}
		return err
	})
	if n := r.proxy.Requests()[acmetest.NewOrder]; n != 1 {
		t.Errorf("%d newOrder at the first issuer", n)
	}
	if n := never.Requests()[acmetest.NewOrder] + proxy.Requests()[acmetest.NewOrder]; n != 1 {
		t.Errorf("%d newOrder at the others, want one at the third", n)
	}
	// Other names are still its own.
	r.proxy.Set(acmetest.Faults{})
	r.publish(t, "m.test")
	if c := r.served(t, 2, 30*time.Second)["*.m.test"]; c.Issuer != r.issuer.ID {
		t.Errorf("other names go elsewhere, too")
	}
}

// gated is a Gate that holds what is for one name until it is let through.
type gated struct {
	probing
	name string
	open chan struct{}
}

func (g gated) Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error {
	if len(all) > 0 && all[0].Name == g.name {
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.probing.Ready(ctx, rev, all)
}

// What a suspended issuer has not heard of goes elsewhere, as does all that comes later; an order under way goes on, and what is to come from it
// alone waits until it is resumed.
func TestSuspendedIssuer(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	second, _ := r.beside(t, "second", 2)
	o := r.options("a")
	gate := gated{probing{r.dns.Addr}, "under.test", make(chan struct{})}
	o.Gate = gate
	o.Preflight = &allowing{say: func(names []string, i *model.Issuer) error {
		if i.ID == r.issuer.ID && slices.Contains(names, "planned.test") {
			return errors.New("no name server answers")
		}
		return nil
	}}
	r.run(t, o)
	r.publish(t, "planned.test")
	r.publish(t, "under.test")
	of := func(tx *store.Tx, apex string) (*model.ManagedCertificate, []*model.Order, error) {
		for _, m := range r.managed(t, tx) {
			if slices.Contains(m.Names, apex) {
				all, err := tx.ListOrdersOf(t.Context(), m.ID, 5)
				return m, all, err
			}
		}
		return nil, nil, nil
	}
	r.until(t, "an order planned and one under way", time.Minute, func(tx *store.Tx) (bool, error) {
		_, planned, e0 := of(tx, "planned.test")
		_, under, e1 := of(tx, "under.test")
		return len(planned) == 1 && planned[0].Attempts > 0 && len(under) == 1 && under[0].State == model.OrderChallengesWritten, errors.Join(e0, e1)
	})
	suspend := func(yes bool) {
		t.Helper()
		r.issuer.Suspended = yes
		r.tx(t, func(tx *store.Tx) error {
			if err := tx.UpdateIssuer(t.Context(), r.issuer); err != nil || !yes {
				return err
			}
			return tx.EndPlannedOrders(t.Context(), r.issuer.ID, "pebble is suspended", time.Now())
		})
	}
	suspend(true)
	r.publish(t, "later.test")
	ended := func(apex string, from *model.Issuer) {
		t.Helper()
		r.until(t, "the certificate of "+apex, time.Minute, func(tx *store.Tx) (bool, error) {
			_, all, err := of(tx, apex)
			return len(all) > 0 && all[0].State == model.OrderAcked && all[0].Issuer == from.ID, err
		})
	}
	ended("planned.test", second)
	ended("later.test", second)
	r.tx(t, func(tx *store.Tx) error {
		m, all, err := of(tx, "planned.test")
		if len(all) != 2 || all[1].Issuer != r.issuer.ID || all[1].Class != model.OrderAbandoned || all[1].Problem != "pebble is suspended" || m.LadderStep != 0 {
			t.Errorf("what was planned with it: %d orders, the first %+v; %d failures", len(all), all[len(all)-1], m.LadderStep)
		}
		return err
	})
	close(gate.open)
	ended("under.test", r.issuer)
	asked := r.proxy.Requests()[acmetest.NewOrder]
	r.tx(t, func(tx *store.Tx) error { // renewed now, from it alone
		m, _, err := of(tx, "under.test")
		if err != nil {
			return err
		}
		m.Issuer, m.NextAttempt = r.issuer.ID, time.Now()
		return tx.UpdateManagedCertificate(t.Context(), m)
	})
	r.publish(t, "after.test") // a plan that comes to this one has seen that one
	ended("after.test", second)
	r.tx(t, func(tx *store.Tx) error {
		issuers, e0 := tx.ListIssuers(t.Context())
		m, all, e1 := of(tx, "under.test")
		if why := certs.Waits(m, issuers); len(all) != 1 || !strings.Contains(why, "is suspended") {
			t.Errorf("what is to come from it alone has %d orders and waits for %q", len(all), why)
		}
		return errors.Join(e0, e1)
	})
	if n := r.proxy.Requests()[acmetest.NewOrder]; n != asked || n != 1 {
		t.Errorf("%d newOrder at the suspended issuer, want the one that was under way", n)
	}
	suspend(false)
	r.until(t, "the renewal", time.Minute, func(tx *store.Tx) (bool, error) {
		_, all, err := of(tx, "under.test")
		return len(all) == 2 && all[0].State == model.OrderAcked && all[0].Issuer == r.issuer.ID, err
	})
}

// An order that came back to being planned, as the authority would not have it, is left once its issuer is suspended.
func TestLeavesSuspendedIssuer(t *testing.T) {
	i := &model.Issuer{ID: model.IssuerID{}.New(), Name: "le", DirectoryURL: "https://le", Suspended: true}
	m := &model.ManagedCertificate{Issuer: i.ID}
	now := time.Now()
	for _, c := range []struct {
		o    model.Order
		want string
	}{
		{model.Order{State: model.OrderPlanned}, "le is suspended"},
		{model.Order{State: model.OrderPlanned, Intent: now}, ""},
		{model.Order{State: model.OrderOrdered, Intent: now}, ""},
		{model.Order{State: model.OrderFinalized, Intent: now, CSR: []byte("x")}, ""},
	} {
		if got := leave(&c.o, m, i, []*model.Issuer{i}, now); got != c.want {
			t.Errorf("%s: %q, want %q", c.o.State, got, c.want)
		}
	}
}
