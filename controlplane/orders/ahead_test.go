package orders

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// An authority whose clock is days ahead renews with certificates that nobody would take yet: the one that is good stays, the reason is told,
// and once the clock is right the renewal is done.
func TestCertificateOfTheFuture(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		v := s.publish("future.test")
		s.step()
		m := s.step()
		first := m.CertificateFor(v)
		if first == nil {
			t.Fatal("no certificate")
		}
		problem := func() (said string) {
			s.tx(func(tx *store.Tx) error {
				all, err := tx.AllManagedCertificates(t.Context())
				said = all[0].LastProblem
				return err
			})
			return said
		}
		s.ca.ahead = 3 * day
		time.Sleep(s.ca.life * 4 / 5)
		for range 3 {
			if c := s.step().CertificateFor(v); c.ID != first.ID {
				t.Fatalf("at %v the service has a certificate of %v", time.Now(), c.NotBefore)
			}
			if said := problem(); !strings.Contains(said, "not valid before") {
				t.Errorf("told %q", said)
			}
			time.Sleep(8 * time.Hour)
		}
		s.ca.ahead = 0
		s.step()
		if c := s.step().CertificateFor(v); c.ID == first.ID || c.NotBefore.After(time.Now()) || problem() != "" {
			t.Errorf("at %v the service has a certificate of %v; told %q", time.Now(), c.NotBefore, problem())
		}
	})
}
