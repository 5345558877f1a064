package orders

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What is sealed for one order's certificate does not open as another's.
func TestSwappedKeysDoNotOpen(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.run(t, r.options("a"))
	r.publish(t, "s1.test")
	r.publish(t, "s2.test")
	all := r.served(t, 2, 30*time.Second)
	one, two := all["*.s1.test"], all["*.s2.test"]
	if _, err := r.sealer.Open(one.SealedKey, two.ID.String()); err == nil {
		t.Error("a key opens in another certificate's row")
	}
	var i *model.Issuer
	r.tx(t, func(tx *store.Tx) (err error) { i, err = tx.GetIssuer(t.Context(), r.issuer.ID); return err })
	if _, err := r.sealer.Open(i.SealedAccountKey, one.ID.String()); err == nil {
		t.Error("an account's key opens as a certificate's")
	}
	if _, err := r.sealer.Open(one.SealedKey, i.ID.String()); err == nil {
		t.Error("a certificate's key opens as an account's")
	}
	// Nor does anything open with another key-encryption key.
	other, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	s, err := authority.NewSealer(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(one.SealedKey, one.ID.String()); err == nil {
		t.Error("opens with another key-encryption key")
	}
}

// What pre-flight refuses never reaches the authority; its reason is on the certificate, and there is a next attempt,
// which a change of the domain brings forward.
func TestPreflightRefuses(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	o := r.options("a")
	pre := &allowing{say: func([]string, *model.Issuer) error { return &Refusal{Reason: "ns1.elsewhere.test is lame"} }}
	o.Preflight = pre
	r.run(t, o)
	r.publish(t, "p.test")
	r.until(t, "the refusal", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		return len(all) == 1 && all[0].LastProblem == "ns1.elsewhere.test is lame" && all[0].LadderStep == 1 && all[0].NextAttempt.After(time.Now()), nil
	})
	if n := r.proxy.Requests(); len(n) != 0 {
		t.Errorf("the authority was asked: %v", n)
	}
	pre.mu.Lock()
	pre.say = nil
	pre.mu.Unlock()
	r.tx(t, func(tx *store.Tx) error { return tx.ResetLadder(t.Context(), r.org.ID, "p.test", time.Now()) })
	r.publish(t, "wake.test")
	r.served(t, 1+1, 30*time.Second)
}

// A validation that fails ends the order in the authority's own words; the next attempt is the ladder's. It is counted, also where the answer
// to what began it was lost.
func TestFailedValidation(t *testing.T) {
	t.Run("answered", func(t *testing.T) { failValidation(t) })
	t.Run("answer lost", func(t *testing.T) { failValidation(t, acmetest.Lose, acmetest.Lose) })
}

func failValidation(t *testing.T, initiate ...acmetest.Fault) {
	t.Helper()
	r := newRig(t, acmetest.Config{})
	o := r.options("a")
	o.Gate = open{}
	r.proxy.Next(acmetest.Initiate, initiate...)
	r.run(t, o)
	r.dns.Add("_acme-challenge.f.test", "somebody else's")
	r.mute("f.test")
	r.publish(t, "f.test")
	var m *model.ManagedCertificate
	r.until(t, "the failure", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		if len(all) == 0 {
			return false, nil
		}
		m = all[0]
		return m.LadderStep == 1, nil
	})
	if !strings.Contains(m.LastProblem, "unauthorized") && !strings.Contains(m.LastProblem, "Correct value not found") {
		t.Errorf("not the authority's words: %q", m.LastProblem)
	}
	if d := time.Until(m.NextAttempt); d < 30*time.Second || d > time.Minute {
		t.Errorf("next attempt in %v, want a minute", d)
	}
	r.tx(t, func(tx *store.Tx) error {
		os, err := tx.ListOrdersOf(t.Context(), m.ID, 5)
		if err != nil {
			return err
		}
		ch, err := tx.ListChallengesOfOrder(t.Context(), os[0].ID)
		if len(ch) != 0 {
			t.Errorf("%d challenges are left", len(ch))
		}
		b, err2 := tx.ListBuckets(t.Context(), r.issuer.ID, model.BudgetFailedValidations)
		if len(b) != 1 || b[0].Key != "f.test" || b[0].Tokens > 4.5 {
			t.Errorf("failed validations left: %v", b)
		}
		set, err3 := tx.ListBuckets(t.Context(), r.issuer.ID, model.BudgetSet)
		if len(set) != 1 || set[0].Tokens < 4.9 {
			t.Errorf("certificates left for the set, of which none was issued: %v", set)
		}
		return errors.Join(err, err2, err3)
	})
}

// The first issuer is away: another one that CAA permits takes its place, one that it does not permit never does.
func TestFallback(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	second := *r.issuer
	pebble := acmetest.Start(t, acmetest.Config{DNS: r.dns.Addr})
	proxy := acmetest.StartProxy(t, pebble, 2)
	second.ID, second.Name, second.Rank, second.DirectoryURL, second.RootsPEM = model.IssuerID{}.New(), "second", 2, proxy.Directory, proxy.RootsPEM
	r.tx(t, func(tx *store.Tx) error { return tx.CreateIssuer(t.Context(), &second) })
	r.proxy.Down(true)
	o := r.options("a")
	o.Preflight = &allowing{say: func(names []string, i *model.Issuer) error {
		if i.ID == second.ID && names[0] == "*.strict.test" {
			return &Refusal{Reason: "CAA does not permit second", CAA: true}
		}
		return nil
	}}
	r.run(t, o)
	r.publish(t, "loose.test")
	r.publish(t, "strict.test")
	r.until(t, "a certificate of the second issuer", 2*time.Minute, func(tx *store.Tx) (bool, error) {
		for _, m := range r.managed(t, tx) {
			if m.Names[0] == "*.loose.test" && !m.Certificate.IsZero() {
				c, err := tx.GetCertificate(t.Context(), m.Certificate)
				return err == nil && c.Issuer == second.ID, err
			}
		}
		return false, nil
	})
	r.proxy.Down(false)
	got := r.served(t, 2, 2*time.Minute)
	if c := got["*.strict.test"]; c.Issuer != r.issuer.ID {
		t.Error("a certificate of an issuer that CAA does not permit")
	}
	if n := proxy.NewOrders()["*.strict.test,strict.test"]; n != 0 {
		t.Error("the second issuer was asked although CAA does not permit it")
	}
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			if m.LadderStep != 0 || m.LastProblem != "" {
				t.Errorf("%v: %d failures, %q", m.Names, m.LadderStep, m.LastProblem)
			}
		}
		return nil
	})
}
