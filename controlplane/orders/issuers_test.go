package orders

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
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
	for _, got := range asked {
		if !slices.Equal(got, want) {
			t.Errorf("pre-flight was asked for an authority that goes under %q", got)
		}
	}
	pre.mu.Unlock()
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

// A long Retry-After is about the names: they are ordered from the next authority that CAA permits, and from this one not before its time,
// while other names are.
func TestLongRetryAfterGoesElsewhere(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	forbidden, never := r.beside(t, "forbidden", 2, "forbidden.example")
	third, proxy := r.beside(t, "third", 3, "third.example")
	r.proxy.Set(acmetest.Faults{Limit: 1, LimitFor: 20 * time.Minute, Only: []acmetest.Kind{acmetest.NewOrder}})
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
