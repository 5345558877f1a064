package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// Who asks for a certificate of another kind while one is being ordered gets it next, not when that one is renewed. A renewal that is asked for
// meanwhile is the one that comes.
func TestAnotherKindMeanwhile(t *testing.T) {
	configure := func(fn func(m *model.ManagedCertificate)) func(*testing.T, *store.Tx, *model.ManagedCertificate) error {
		return func(t *testing.T, tx *store.Tx, m *model.ManagedCertificate) error {
			fn(m)
			return tx.ConfigureManagedCertificate(t.Context(), m, time.Now())
		}
	}
	for _, c := range []struct {
		name    string
		first   string // profile that is ordered
		renewal bool   // of a certificate that is better, and stays
		do      func(t *testing.T, tx *store.Tx, m *model.ManagedCertificate) error
		again   bool
		profile string // then
		key     model.KeyType
	}{
		{name: "a profile", do: configure(func(m *model.ManagedCertificate) { m.Profile = "short" }), again: true, profile: "shortlived", key: model.ECDSA},
		{name: "a profile that is the authority's word", do: configure(func(m *model.ManagedCertificate) { m.Profile = "tlsserver" }), again: true, profile: "tlsserver", key: model.ECDSA},
		{name: "no profile", first: "short", do: configure(func(m *model.ManagedCertificate) { m.Profile = "" }), again: true, key: model.ECDSA},
		{name: "a type of key", do: configure(func(m *model.ManagedCertificate) { m.KeyType = model.RSA }), again: true, key: model.RSA},
		{name: "a type of key, of what is left", renewal: true, do: configure(func(m *model.ManagedCertificate) { m.KeyType = model.RSA }), again: true, key: model.RSA},
		{name: "the same", first: "short", do: configure(func(*model.ManagedCertificate) {}), profile: "shortlived", key: model.ECDSA},
		{name: "a renewal", do: func(t *testing.T, tx *store.Tx, m *model.ManagedCertificate) error {
			m.NextAttempt = time.Now()
			return tx.UpdateManagedCertificate(t.Context(), m)
		}, key: model.ECDSA},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn, begin := storetest.DSN(t), time.Now().Truncate(time.Second).Add(time.Second)
			bubbletest.Run(t, func(t *testing.T) {
				ctx := t.Context()
				s := simulate(t, dsn, begin, model.IssuerLimits{})
				s.issuer.Profiles = map[string]string{"short": "shortlived"}
				s.update()
				managed := func() *model.ManagedCertificate { return s.all()[0] }
				change := func(fn func(tx *store.Tx, m *model.ManagedCertificate) error) {
					t.Helper()
					m := managed()
					s.tx(func(tx *store.Tx) error { return fn(tx, m) })
				}
				v := s.publish("kind.test")
				s.must(s.p.sync(ctx, certs.Wanted(s.follow(), nil), time.Now()))
				if c.first != "" {
					change(func(tx *store.Tx, m *model.ManagedCertificate) error {
						m.Profile = c.first
						return tx.UpdateManagedCertificate(ctx, m)
					})
				}
				want := 1
				if c.renewal {
					s.step()
					s.ca.life = 10 * day
					time.Sleep(day)
					change(func(tx *store.Tx, m *model.ManagedCertificate) error {
						m.NextAttempt = time.Now()
						return tx.UpdateManagedCertificate(ctx, m)
					})
					want++
				}
				s.must(s.p.Plan(ctx, s.follow(), time.Now()))
				o, err := s.db.ClaimOrder(ctx, "r", time.Minute, time.Now())
				s.must(err)
				time.Sleep(time.Second)
				change(func(tx *store.Tx, m *model.ManagedCertificate) error { return c.do(t, tx, m) })
				s.w.carry(ctx, o)
				if c.again {
					want++
				}
				for range 3 {
					s.step()
					time.Sleep(time.Minute)
				}
				if n := len(s.ca.orders); n != want {
					t.Fatalf("%d orders, want %d", n, want)
				}
				m, got := managed(), s.follow().CertificateFor(v)
				if got == nil || got.ID != m.Certificate || got.KeyType != c.key || !m.NextAttempt.Equal(m.RenewAt) || !m.RenewAt.After(time.Now()) {
					t.Errorf("the service has %+v of %+v", got, m)
				}
				s.tx(func(tx *store.Tx) error {
					made, err := tx.GetOrderOfCertificate(ctx, m.Certificate)
					if err == nil && made.Profile != c.profile {
						t.Errorf("profile %q, want %q", made.Profile, c.profile)
					}
					return err
				})
			})
		})
	}
}
