package orders

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// window is renewal information as authorities send it.
func window(start, end time.Time) string {
	return fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, start.Format(time.RFC3339), end.Format(time.RFC3339))
}

// brokenInfo is what is no renewal information, of a certificate.
func brokenInfo(l certs.Lifetime) []func() (int, string, string) {
	say := func(status int, kind, body string) func() (int, string, string) {
		return func() (int, string, string) { return status, kind, body }
	}
	ok := func(body string) func() (int, string, string) { return say(http.StatusOK, "application/json", body) }
	return []func() (int, string, string){
		say(http.StatusNotFound, "application/problem+json", `{"type":"urn:ietf:params:acme:error:malformed","status":404}`),
		say(http.StatusInternalServerError, "application/problem+json", `{"type":"urn:ietf:params:acme:error:serverInternal","status":500}`),
		say(http.StatusBadGateway, "text/html", "<!doctype html><p>bad gateway"), say(http.StatusOK, "text/html", "<!doctype html><p>we will be back"),
		ok(`{"suggestedWindow":{}}`), ok("{"), ok(window(l.NotBefore.Add(20*day), l.NotBefore.Add(10*day))), ok(window(time.Unix(0, 0), time.Unix(3600, 0))),
		ok(window(l.NotBefore.Add(80*day), l.NotAfter.Add(day))),
	}
}

// issuedBefore makes managed certificates that were issued when time began, and are to be asked about.
func (s *simulated) issuedBefore(n int) (l certs.Lifetime, id string, ends map[string]time.Time) {
	s.t.Helper()
	ends = map[string]time.Time{}
	key, _, err := newKey(model.ECDSA)
	s.must(err)
	csr, err := request(key, []string{"of.all.test"})
	s.must(err)
	chain, err := s.ca.chain(csr)
	s.must(err)
	x, err := leaf(chain)
	s.must(err)
	id, err = acme.CertID(x)
	s.must(err)
	l = certs.Lifetime{NotBefore: x.NotBefore.UTC(), NotAfter: x.NotAfter.UTC()}
	s.tx(func(tx *store.Tx) error {
		ctx := s.t.Context()
		if err := tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: s.org.ID, Name: "ari.test", Pool: s.pool.ID}); err != nil {
			return err
		}
		for i := range n {
			names := []string{fmt.Sprintf("*.n%d.ari.test", i)}
			v := &model.Service{ID: model.ServiceID{}.New(), Org: s.org.ID, Name: fmt.Sprintf("n%d", i), Kind: model.HTTP, Hostname: names[0], Pool: s.pool.ID}
			m := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: s.org.ID, Names: names, KeyType: model.ECDSA, Wanted: true, NextAttempt: l.NotAfter}
			// The sooner one was made the sooner it ends: by that it is seen who comes first.
			c := &model.Certificate{
				ID: model.CertificateID{}.New(), Org: s.org.ID, Names: names, ChainPEM: chain, SealedKey: []byte("sealed"), NotBefore: l.NotBefore,
				NotAfter: l.NotAfter.Add(time.Duration(i-n) * time.Second), Managed: m.ID, Issuer: s.issuer.ID, KeyType: model.ECDSA,
			}
			ends[names[0]] = c.NotAfter
			next := certs.Succeed(*m, c.ID, l, true, time.Now(), float64(i)/float64(n))
			if err := errors.Join(tx.CreateService(ctx, v), tx.CreateManagedCertificate(ctx, m), tx.CreateCertificate(ctx, c), tx.UpdateManagedCertificate(ctx, &next)); err != nil {
				return err
			}
		}
		return nil
	})
	return l, id, ends
}

func (s *simulated) all() (all []*model.ManagedCertificate) {
	s.t.Helper()
	s.tx(func(tx *store.Tx) (err error) { all, err = tx.AllManagedCertificates(s.t.Context()); return err })
	return all
}

// under counts the orders that were begun and that the authority has not heard of.
func (s *simulated) under() (n int) {
	s.t.Helper()
	s.tx(func(tx *store.Tx) error {
		waiting, err := tx.CountOrdersUnderWay(s.t.Context())
		n = waiting[s.issuer.ID]
		return err
	})
	return n
}

// certificates is how many there are of which renewal information is asked for: few where every test is run, ten thousand in make bench-cert.
var certificates = flag.Int("certificates", 400, "certificates in TestRenewalInformationOfMany")

// Many certificates whose authority answers about renewal what is of no use, each in one of nine ways: no renewal moves, and
// nothing is ordered, neither now nor a second before the first of their own times. Then a window that has passed is true of some: all of them are
// renewed, as fast as the account's budget lets them and no faster, the soonest to end first, and each order says what it replaces.
func TestRenewalInformationOfMany(t *testing.T) {
	t.Parallel()
	const limit, past = 40, 100
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		s := simulate(t, dsn, begin, model.IssuerLimits{NewOrders: limit, PerDomain: 1 << 20})
		l, id, ends := s.issuedBefore(*certificates)
		storetest.Analyze(t, dsn)
		answers, given := brokenInfo(l), 0
		s.ca.info = func() (int, string, string) {
			given++
			return answers[given%len(answers)]()
		}
		before := s.all()
		for range *certificates/mostPolled + 1 {
			s.must(s.p.poll(t.Context(), time.Now()))
		}
		if given < *certificates {
			t.Errorf("asked about %d certificates", given)
		}
		soonest := l.NotAfter
		for i, m := range s.all() {
			if !m.RenewAt.Equal(before[i].RenewAt) || !m.NextAttempt.Equal(before[i].NextAttempt) {
				t.Fatalf("%v: an answer of no use moved the renewal from %v to %v, next attempt %v", m.Names, before[i].RenewAt, m.RenewAt, m.NextAttempt)
			}
			if !m.ARIPollAt.After(time.Now()) {
				t.Fatalf("%v: asked again at once", m.Names)
			}
			if m.NextAttempt.Before(soonest) {
				soonest = m.NextAttempt
			}
		}
		for _, at := range []time.Time{time.Now(), soonest.Add(-time.Second)} {
			s.must(s.p.Plan(t.Context(), s.follow(), at))
		}
		if n := s.under() + len(s.ca.orders); n != 0 {
			t.Fatalf("%d orders because of answers of no use", n)
		}

		time.Sleep(7 * time.Hour)
		told := 0
		s.ca.info = func() (int, string, string) {
			if told++; told <= past {
				return http.StatusOK, "application/json", window(time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
			}
			return http.StatusNotFound, "application/problem+json", `{"type":"urn:ietf:params:acme:error:malformed","status":404}`
		}
		s.must(s.p.poll(t.Context(), time.Now()))
		want, from := 0, time.Now()
		for want < past {
			s.step()
			want = min(past, int(limit+float64(limit)*time.Since(from).Hours()/3+1e-6))
			renewed := s.renewed(id)
			if len(renewed) != want || s.under() != 0 {
				t.Fatalf("%d orders after %v, %d wait; the budget allows %d", len(renewed), time.Since(from), s.under(), want)
			}
			s.soonestFirst(renewed, ends)
			time.Sleep(90 * time.Minute)
		}
	})
}

// renewed returns the names that the authority was asked for, and makes sure that each order says what it replaces.
func (s *simulated) renewed(replaces string) map[string]bool {
	s.t.Helper()
	names := map[string]bool{}
	for _, o := range s.ca.orders {
		if o.Replaces != replaces || names[o.Names[0]] {
			s.t.Fatalf("an order of %v replaces %q, ordered before: %v", o.Names, o.Replaces, names[o.Names[0]])
		}
		names[o.Names[0]] = true
	}
	return names
}

// soonestFirst wants that who still waits ends later than all that were renewed.
func (s *simulated) soonestFirst(renewed map[string]bool, ends map[string]time.Time) {
	s.t.Helper()
	s.tx(func(tx *store.Tx) error {
		due, err := tx.DueManagedCertificates(s.t.Context(), time.Now(), 1000)
		for _, d := range due {
			for name := range renewed {
				if ends[name].After(d.Expires) {
					s.t.Fatalf("%s, which ended at %v, was renewed before %v, which ends at %v", name, ends[name], d.Names, d.Expires)
				}
			}
		}
		return err
	})
}
