package orders

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// beside makes another issuer, which is asked after the first.
func (s *simulated) beside(name string, rank int) *model.Issuer {
	s.t.Helper()
	ctx := s.t.Context()
	i := &model.Issuer{ID: model.IssuerID{}.New(), Name: name, DirectoryURL: localURL + "dir", Rank: rank, CAAIdentities: []string{"ca.test"}}
	_, keyPEM, err := newKey(model.ECDSA)
	s.must(err)
	s.tx(func(tx *store.Tx) error {
		sealed, err := s.sealer.Seal(keyPEM, i.ID.String())
		if err == nil {
			err = tx.CreateIssuer(ctx, i)
		}
		if err == nil {
			err = tx.SetAccountKeys(ctx, i.ID, sealed, nil)
		}
		if err == nil {
			err = tx.SetAccountURL(ctx, i.ID, localURL+"account")
		}
		if err == nil {
			err = tx.SetDirectory(ctx, i.ID, nil, time.Now())
		}
		if err == nil {
			i, err = tx.GetIssuer(ctx, i.ID)
		}
		return err
	})
	a := *s.w.accounts.open[s.issuer.ID]
	a.sealed, a.url = i.SealedAccountKey, i.AccountURL
	s.w.accounts.open[i.ID] = &a
	return i
}

// A certificate that ends before the one that it would replace is not used while that one is neither due nor revoked, and nobody wants another
// kind: that an authority has changed its mind costs nobody what he has. What is changed on purpose takes its place at once, and so does a renewal
// that is due.
func TestCertificateThatEndsSooner(t *testing.T) {
	change := func(fn func(m *model.ManagedCertificate)) func(*testing.T, *simulated, *model.ManagedCertificate) {
		return func(t *testing.T, s *simulated, m *model.ManagedCertificate) {
			s.tx(func(tx *store.Tx) error {
				fn(m)
				return tx.ConfigureManagedCertificate(t.Context(), m, time.Now())
			})
		}
	}
	for _, c := range []struct {
		name  string
		life  time.Duration
		do    func(t *testing.T, s *simulated, m *model.ManagedCertificate) // beside asking for a renewal
		stays bool
	}{
		{name: "asked for", life: 10 * day, stays: true},
		{name: "a minute sooner", life: 89*day - time.Minute, stays: true},
		{name: "at the same time", life: 89 * day},
		{name: "later", life: 90 * day},
		{name: "due", life: 10 * day, do: func(_ *testing.T, _ *simulated, m *model.ManagedCertificate) { time.Sleep(time.Until(m.RenewAt)) }},
		{name: "due by the authority", life: 10 * day, do: func(t *testing.T, s *simulated, m *model.ManagedCertificate) {
			s.tx(func(tx *store.Tx) error {
				m.RenewAt, m.ARIStart, m.ARIEnd = time.Now().Add(-time.Minute), time.Now().Add(-time.Hour), time.Now()
				m.NextAttempt = m.RenewAt
				return tx.UpdateManagedCertificate(t.Context(), m)
			})
		}},
		{name: "revoked", life: 10 * day, do: func(t *testing.T, s *simulated, m *model.ManagedCertificate) {
			s.tx(func(tx *store.Tx) error {
				c, err := tx.GetCertificate(t.Context(), m.Certificate)
				if err != nil {
					return err
				}
				return tx.CreateRevocation(t.Context(), &model.Revocation{
					Certificate: c.ID, Org: c.Org, Managed: m.ID, Issuer: c.Issuer, Leaf: []byte("der"), Reason: model.Superseded, NotAfter: c.NotAfter, NextAttempt: time.Now(),
				})
			})
		}},
		{name: "another key", life: 10 * day, do: change(func(m *model.ManagedCertificate) { m.KeyType = model.RSA })},
		{name: "another profile", life: 10 * day, do: change(func(m *model.ManagedCertificate) { m.Profile = "shortlived" })},
		{name: "another profile of the issuer", life: 10 * day, do: func(_ *testing.T, s *simulated, _ *model.ManagedCertificate) {
			s.issuer.Profiles = map[string]string{"": "shortlived"}
			s.update()
		}},
		{name: "another issuer of its own", life: 10 * day, do: func(t *testing.T, s *simulated, m *model.ManagedCertificate) {
			i := s.beside("second", 2)
			change(func(m *model.ManagedCertificate) { m.Issuer = i.ID })(t, s, m)
		}},
		{name: "another issuer by rank", life: 10 * day, do: func(_ *testing.T, s *simulated, _ *model.ManagedCertificate) {
			s.issuer.Rank = 3
			s.update()
			s.beside("second", 2)
		}},
		{name: "an issuer that stands in", life: 10 * day, stays: true, do: func(t *testing.T, s *simulated, _ *model.ManagedCertificate) {
			s.beside("second", 2)
			s.tx(func(tx *store.Tx) error { return tx.PauseIssuer(t.Context(), s.issuer.ID, time.Now().Add(30*day)) })
		}},
		{name: "one that stands in after another", life: 10 * day, stays: true, do: func(t *testing.T, s *simulated, _ *model.ManagedCertificate) {
			first := s.beside("first", 0)
			s.beside("third", 2)
			s.tx(func(tx *store.Tx) error {
				return errors.Join(tx.PauseIssuer(t.Context(), first.ID, time.Now().Add(30*day)), tx.PauseIssuer(t.Context(), s.issuer.ID, time.Now().Add(30*day)))
			})
		}},
		{name: "one that stands in after another that is suspended", life: 10 * day, do: func(t *testing.T, s *simulated, _ *model.ManagedCertificate) {
			first := s.beside("first", 0)
			s.beside("third", 2)
			s.tx(func(tx *store.Tx) error { return tx.PauseIssuer(t.Context(), first.ID, time.Now().Add(30*day)) })
			s.issuer.Suspended = true
			s.update()
		}},
		{name: "an issuer that stands in, by another profile", life: 10 * day, do: func(t *testing.T, s *simulated, m *model.ManagedCertificate) {
			s.beside("second", 2)
			s.tx(func(tx *store.Tx) error { return tx.PauseIssuer(t.Context(), s.issuer.ID, time.Now().Add(30*day)) })
			change(func(m *model.ManagedCertificate) { m.Profile = "shortlived" })(t, s, m)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn, begin := storetest.DSN(t), time.Now().Truncate(time.Second).Add(time.Second) // certificates have whole seconds
			bubbletest.Run(t, func(t *testing.T) {
				endsSooner(t, simulate(t, dsn, begin, model.IssuerLimits{}), c.life, c.stays, c.do)
			})
		})
	}
}

func endsSooner(t *testing.T, s *simulated, life time.Duration, stays bool, do func(*testing.T, *simulated, *model.ManagedCertificate)) {
	v := s.publish("sooner.test")
	s.step()
	first := s.step().CertificateFor(v)
	if first == nil {
		t.Fatal("no certificate")
	}
	managed := func() *model.ManagedCertificate { return s.all()[0] }
	s.ca.life = life
	time.Sleep(time.Until(first.NotBefore.Add(day)))
	if do != nil {
		do(t, s, managed())
	}
	s.tx(func(tx *store.Tx) error { // as who asks for a renewal
		m, err := tx.LockManagedCertificate(t.Context(), managed().ID)
		if err == nil {
			m.NextAttempt = time.Now()
			err = tx.UpdateManagedCertificate(t.Context(), m)
		}
		return err
	})
	for range 3 {
		s.step()
		time.Sleep(time.Hour)
	}
	if n := len(s.ca.orders); n != 2 {
		t.Fatalf("%d orders", n)
	}
	m, got := managed(), s.follow().CertificateFor(v)
	if !stays {
		if got.ID == first.ID || m.Certificate != got.ID || m.LastProblem != "" {
			t.Errorf("the service has what it had; %+v", m)
		}
		return
	}
	if got.ID != first.ID || m.Certificate != first.ID || !got.SupersededBy.IsZero() {
		t.Errorf("the service has %v until %v, had %v until %v", got.ID, got.NotAfter, first.ID, first.NotAfter)
	}
	if !m.NextAttempt.Equal(m.RenewAt) || !m.RenewAt.After(time.Now()) || !strings.Contains(m.LastProblem, "not used: it ends at") || !m.FailingSince.IsZero() {
		t.Errorf("next attempt %v, renewal %v, %q since %v", m.NextAttempt, m.RenewAt, m.LastProblem, m.FailingSince)
	}
	s.tx(func(tx *store.Tx) error { // what it came of is known for as long as it is there
		for range 2 {
			if _, err := tx.PruneOrders(t.Context(), time.Now().Add(365*day)); err != nil {
				return err
			}
		}
		_, err := tx.GetOrderOfCertificate(t.Context(), first.ID)
		return err
	})
	time.Sleep(time.Until(m.RenewAt))
	s.step()
	if next := s.step().CertificateFor(v); next.ID == first.ID || managed().LastProblem != "" {
		t.Errorf("once it is due the service still has what it had: %q", managed().LastProblem)
	}
}
