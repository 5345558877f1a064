package orders

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// The authority answers nobody for ten days, just when certificates of 45 days are to be renewed: planner and worker go on asking, at
// no moment is a service left with a certificate that has expired, nothing is parked, no order is anybody's failure, and afterwards
// all are renewed by the orders that were begun. In the middle of it the replica is another one.
func TestTenDaysWithoutAuthority(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		s.ca.life = 45 * day
		var services []*model.Service
		from, to := begin.Add(31*day), begin.Add(41*day)
		for time.Since(begin) < 50*day {
			now := time.Now()
			if len(services) < 4 && now.Sub(begin) >= time.Duration(len(services))*12*time.Hour {
				services = append(services, s.publish(fmt.Sprintf("o%d.test", len(services))))
			}
			s.ca.away = !now.Before(from) && now.Before(to)
			if away := now.Sub(from); away >= 5*day && away < 5*day+2*time.Hour {
				s.restart()
			}
			m := s.step()
			for _, v := range services {
				if c := m.CertificateFor(v); c == nil || !time.Now().Before(c.NotAfter) {
					t.Fatalf("%s is left without a certificate on day %.1f", v.Hostname, time.Since(begin).Hours()/24)
				}
			}
			pace := 6 * time.Hour
			if s.ca.away {
				pace = 2 * time.Hour
			}
			time.Sleep(pace)
		}
		if s.ca.asked < 50 {
			t.Errorf("asked %d times while it was away", s.ca.asked)
		}
		s.tx(func(tx *store.Tx) error {
			all, err := tx.AllManagedCertificates(t.Context())
			for _, v := range all {
				if v.LadderStep != 0 || v.LastProblem != "" || v.NextAttempt.IsZero() {
					t.Errorf("%v: %d failures, %q, next attempt %v", v.Names, v.LadderStep, v.LastProblem, v.NextAttempt)
				}
				os, err := tx.ListOrdersOf(t.Context(), v.ID, 10)
				if err != nil {
					return err
				}
				if len(os) != 2 || os[0].State != model.OrderAcked {
					t.Errorf("%v: %d orders, the newest is %s; want the first and one renewal", v.Names, len(os), os[0].State)
				}
			}
			return err
		})
		if n := len(s.ca.orders); n != 2*len(services) {
			t.Errorf("%d orders at the authority for %d certificates and their renewals", n, len(services))
		}
		t.Logf("asked %d times in ten days", s.ca.asked)
	})
}
