package orders

import (
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// An authority that asks to wait for a year, by its own clock, is asked again after a week, once; what was ordered then has a next attempt all the
// time, and is issued when the authority has come to its senses.
func TestLimitOfAYear(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		var asked []time.Duration
		s.ca.ahead = -40 * day
		s.ca.limit = func() string {
			asked = append(asked, time.Since(begin))
			return time.Now().Add(s.ca.ahead).AddDate(1, 0, 0).UTC().Format(http.TimeFormat)
		}
		v := s.publish("year.test")
		for len(asked) < 2 && time.Since(begin) < 10*day {
			m := s.step()
			if m.CertificateFor(v) != nil {
				t.Fatal("there is a certificate")
			}
			s.tx(func(tx *store.Tx) error {
				all, err := tx.AllManagedCertificates(t.Context())
				for _, c := range all {
					os, err := tx.ListOrdersOf(t.Context(), c.ID, 10)
					if err != nil {
						return err
					}
					if len(os) != 1 || os[0].State.Final() || !os[0].NextAttempt.After(time.Now()) || time.Until(os[0].NextAttempt) > 7*day {
						t.Errorf("orders on day %.1f: %+v", time.Since(begin).Hours()/24, os)
					}
				}
				return err
			})
			time.Sleep(time.Hour)
		}
		if len(asked) != 2 || asked[1]-asked[0] < 7*day-time.Second || asked[1]-asked[0] > 7*day+2*time.Hour {
			t.Fatalf("asked at %v", asked)
		}
		s.ca.ahead, s.ca.limit = 0, nil
		time.Sleep(7 * day)
		s.step()
		if c := s.step().CertificateFor(v); c == nil {
			t.Error("nothing is issued in the end")
		}
	})
}

// "Retry-After: 0" with a 429 is no leave to ask without end.
func TestLimitOfNoTime(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		var asked []time.Time
		s.ca.limit = func() string {
			if asked = append(asked, time.Now()); len(asked) == 6 {
				s.ca.limit = nil
			}
			return "0"
		}
		v := s.publish("none.test")
		s.step()
		if s.step().CertificateFor(v) == nil || len(asked) != 6 {
			t.Fatalf("asked %d times", len(asked))
		}
		for i := 1; i < len(asked); i++ {
			if least := 100 * time.Millisecond << (i - 1); asked[i].Sub(asked[i-1]) < least {
				t.Errorf("asked again after %v, want %v at least", asked[i].Sub(asked[i-1]), least)
			}
		}
	})
}
