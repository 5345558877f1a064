package orders

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// except is a Gate that lets the challenges of one name through unseen.
type except struct {
	probing
	name string
}

func (e except) Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error {
	return e.probing.Ready(ctx, rev, slices.DeleteFunc(slices.Clone(all), func(c *model.Challenge) bool { return c.Name == e.name }))
}

// hostile is what the authority of these tests does beside rejecting half of the nonces.
var hostile = acmetest.Faults{Fail: 0.2, Lose: 0.1, HTML: 0.02, HTMLAfter: 0.02, LimitFor: 10 * time.Second}

// newHostileRig is a rig whose authority does all that, answers with 429 now and then, and says when an order is to be read again. Its limits are
// small.
func newHostileRig(t *testing.T, limits model.IssuerLimits) *rig {
	t.Helper()
	c := acmetest.Config{NonceReject: 50}
	c.RetryAfter.Order = 1
	r := newRig(t, c)
	r.issuer.Limits = limits
	r.tx(t, func(tx *store.Tx) error { return tx.UpdateIssuer(t.Context(), r.issuer) })
	r.proxy.Set(hostile)
	for _, k := range []acmetest.Kind{acmetest.NewOrder, acmetest.AuthzRead, acmetest.OrderRead, acmetest.Finalize} {
		r.proxy.Next(k, acmetest.Pass, acmetest.Limit)
	}
	r.proxy.Next(acmetest.OrderRead, acmetest.HTML, acmetest.HTMLAfter, acmetest.Fail, acmetest.Lose) // of each fault one at least
	return r
}

// three replicas carry orders. They return one of the workers.
func (r *rig) three(t *testing.T, g Gate) (w *Worker) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		o := r.options(name)
		o.Gate, o.Lease = g, 15*time.Second
		w, _ = r.run(t, o)
	}
	return w
}

// Three replicas at an authority that rejects half of the nonces, answers a fifth of the requests with 5xx, loses a tenth of its answers after the
// work was done, says 429 with Retry-After and answers with HTML: everything is issued in the end, once. No request of whatever kind comes inside a
// Retry-After. What the authority counts of certificates for a domain and for a set of names, and of failed validations, is what it allows: not
// one more.
func TestHostileAuthority(t *testing.T) {
	r := newHostileRig(t, model.IssuerLimits{NewOrders: 10000, PerDomain: 6, PerSet: 3, FailedValidations: 2}) // a third of the first three is for renewals
	r.dns.Add("_acme-challenge.f.test", "somebody else's")
	r.mute("f.test")
	w := r.three(t, except{probing{r.dns.Addr}, "f.test"})
	const plain, allowed = 6, 4
	for n := range plain {
		r.publish(t, fmt.Sprintf("h%d.test", n))
	}
	r.publish(t, "f.test")
	r.below(t, "d.test", 6)
	s := &standing{}
	r.until(t, "what may be new, and two failures", 5*time.Minute, func(tx *store.Tx) (bool, error) {
		if err := tx.ResetLadder(t.Context(), r.org.ID, "f.test", time.Now()); err != nil {
			return false, err
		}
		w.Replan()
		s.read(t, r, tx)
		return s.count("h") == plain && s.count("d") == allowed && s.waiting("d") == 2 && s.waiting("f") == 1, nil
	})
	for round := range 3 {
		before := s.certificates()
		r.renew(t, "*.h0.test", w)
		r.until(t, fmt.Sprintf("renewal %d of one set", round+1), 5*time.Minute, func(tx *store.Tx) (bool, error) {
			s.read(t, r, tx)
			return s.settled("h") && (round == 2 && s.waiting("h") == 1 || round < 2 && s.certificates()["*.h0.test"] != before["*.h0.test"]), nil
		})
	}
	before := s.certificates()
	for n := range before {
		if strings.HasSuffix(n, "d.test") {
			r.renew(t, n, w)
		}
	}
	r.until(t, "what may be renewed in one domain", 5*time.Minute, func(tx *store.Tx) (bool, error) {
		s.read(t, r, tx)
		fresh := 0
		for n, id := range s.certificates() {
			if strings.HasSuffix(n, "d.test") && id != before[n] {
				fresh++
			}
		}
		return s.settled("d") && fresh == 2 && s.waiting("d") == 2+2, nil
	})
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			if m.Certificate.IsZero() {
				continue
			}
			got, err := tx.GetCertificate(t.Context(), m.Certificate)
			if err != nil {
				return err
			}
			r.usable(t, got)
		}
		return nil
	})
	r.obeyed(t)
	spent := r.proxy.Spent()
	domains := map[string]int{}
	for set, n := range spent.Certificates {
		names := strings.Split(set, ",")
		domains[budget.Registered(names[0])] += n
		if n > r.issuer.Limits.PerSet {
			t.Errorf("%d certificates of %s", n, set)
		}
	}
	for d, n := range domains {
		if n > r.issuer.Limits.PerDomain {
			t.Errorf("%d certificates in %s", n, d)
		}
	}
	for name, n := range spent.Failed {
		if n > r.issuer.Limits.FailedValidations || strings.TrimPrefix(name, "*.") != "f.test" {
			t.Errorf("%d failed validations of %s", n, name)
		}
	}
	if set, domain, failed := spent.Certificates["*.h0.test,h0.test"], domains["d.test"], spent.Failed["f.test"]; set != 3 || domain != 6 || failed != 2 {
		t.Errorf("%d certificates of one set, %d of one domain, %d failed validations of one name: want 3, 6, 2, which is all that is allowed", set, domain, failed)
	}
	t.Log(r.proxy)
}

// What an account may order in three hours is never exceeded at such an authority, whoever of three replicas spends it. A third of it is
// for renewals, and they get it.
func TestBudgetIsKept(t *testing.T) {
	r := newHostileRig(t, model.IssuerLimits{NewOrders: 9, PerDomain: 10000})
	w := r.three(t, probing{r.dns.Addr})
	for n := range 12 {
		r.publish(t, fmt.Sprintf("b%d.test", n))
	}
	s := &standing{}
	settled := func(what string, orders int, ok func() bool) {
		t.Helper()
		r.until(t, what, 5*time.Minute, func(tx *store.Tx) (bool, error) {
			s.read(t, r, tx)
			return s.settled("b") && ok(), nil
		})
		for range 2 { // a planner finds no room
			if err := NewPlanner(w).Plan(t.Context(), r.world.Get(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		r.tx(t, func(tx *store.Tx) error { s.read(t, r, tx); return nil })
		if got := r.proxy.Spent().Orders; got != orders || !s.settled("b") {
			t.Errorf("%s: %d orders at the authority, the budget has %d; settled %v", what, got, orders, s.settled("b"))
		}
	}
	settled("six of twelve", 6, func() bool { return s.count("b") == 6 })
	before := s.certificates()
	for n := range before {
		r.renew(t, n, w)
	}
	settled("three renewals of six", 9, func() bool {
		fresh := 0
		for n, id := range s.certificates() {
			if before[n] != id {
				fresh++
			}
		}
		return fresh == 3 && s.count("b") == 6
	})
	if n := len(r.proxy.Replaced()); n != 3 {
		t.Errorf("%d orders say that they replace a certificate, want all three", n)
	}
	r.obeyed(t)
	t.Log(r.proxy)
}

// once wants that nothing was ordered or finalized twice.
func (r *rig) once(t *testing.T) {
	t.Helper()
	if d := r.proxy.Duplicates(); len(d) != 0 {
		t.Errorf("ordered twice at the same time: %v", d)
	}
	for path, n := range r.proxy.Finalized() {
		if n != 1 {
			t.Errorf("%s finalized %d times", path, n)
		}
	}
}

// obeyed wants that the authority was asked for nothing twice, nor before it wanted to be asked again, and that it did all its faults.
func (r *rig) obeyed(t *testing.T) {
	t.Helper()
	r.once(t)
	if v := r.proxy.Violations(); len(v) != 0 {
		t.Errorf("%d requests within a Retry-After: %v", len(v), v)
	}
	if v := r.proxy.EarlyPolls(); len(v) != 0 || r.proxy.Awaiting() == 0 {
		t.Errorf("%d reads before their time, of %d that were told one: %v", len(v), r.proxy.Awaiting(), v)
	}
	done := r.proxy.Done()
	for _, f := range []acmetest.Fault{acmetest.Fail, acmetest.Lose, acmetest.Limit, acmetest.HTML, acmetest.HTMLAfter} {
		if done[f] == 0 {
			t.Errorf("fault %d never happened", f)
		}
	}
}

// below makes a domain with services so deep in it that each has a certificate of its own.
func (r *rig) below(t *testing.T, apex string, n int) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error {
		err := tx.CreateDomain(t.Context(), &model.Domain{ID: model.DomainID{}.New(), Org: r.org.ID, Name: apex, Pool: r.pool.ID})
		for i := range n {
			if err == nil {
				s := &model.Service{ID: model.ServiceID{}.New(), Org: r.org.ID, Name: fmt.Sprintf("deep%d", i), Kind: model.HTTP, Hostname: fmt.Sprintf("n%d.deep.%s", i, apex), Pool: r.pool.ID}
				err = tx.CreateService(t.Context(), s)
			}
		}
		return err
	})
}

// renew is what somebody does who wants another certificate at once.
func (r *rig) renew(t *testing.T, first string, w *Worker) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			if m.Names[0] != first {
				continue
			}
			v, err := tx.LockManagedCertificate(t.Context(), m.ID)
			if err != nil {
				return err
			}
			v.NextAttempt, v.LadderStep = time.Now(), 0
			return tx.UpdateManagedCertificate(t.Context(), v)
		}
		return fmt.Errorf("no certificate of %s", first)
	})
	w.Replan()
}

// standing is how the certificates of a rig stand, by their first name.
type standing struct {
	have  map[string]model.CertificateID
	under map[string]*model.Order // not over
}

func (s *standing) read(t *testing.T, r *rig, tx *store.Tx) {
	t.Helper()
	s.have, s.under = map[string]model.CertificateID{}, map[string]*model.Order{}
	for _, m := range r.managed(t, tx) {
		if !m.Certificate.IsZero() {
			s.have[m.Names[0]] = m.Certificate
		}
		os, err := tx.ListOrdersOf(t.Context(), m.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(os) > 0 && !os[0].State.Final() {
			s.under[m.Names[0]] = os[0]
		}
	}
}

func (s *standing) certificates() map[string]model.CertificateID { return s.have }

// of reports whether a name is in a domain whose name begins so.
func of(name, prefix string) bool {
	return strings.HasPrefix(budget.Registered(name), prefix)
}

// count is how many have a certificate.
func (s *standing) count(prefix string) (n int) {
	for name := range s.have {
		if of(name, prefix) {
			n++
		}
	}
	return n
}

// waiting is how many orders wait for a budget.
func (s *standing) waiting(prefix string) (n int) {
	for name, o := range s.under {
		if of(name, prefix) && o.Class == "budget" && o.Intent.IsZero() {
			n++
		}
	}
	return n
}

// settled reports whether no order goes on before a budget has more.
func (s *standing) settled(prefix string) bool {
	n := 0
	for name := range s.under {
		if of(name, prefix) {
			n++
		}
	}
	return n == s.waiting(prefix)
}
