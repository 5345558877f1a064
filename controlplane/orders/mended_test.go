package orders

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// refusing is an authority that refuses orders.
type refusing struct {
	CA
	asked int
}

func (r *refusing) NewOrder(context.Context, []string, string, string) (*acme.Order, error) {
	r.asked++
	return nil, &acme.Problem{Type: "urn:ietf:params:acme:error:unauthorized", Status: http.StatusForbidden}
}

// What pre-flight has refused for hours is ordered soon after its reason is gone, whatever rung of the ladder it was on, and not more often than
// that while it is not. What the authority itself has refused waits for its time.
func TestMendedDNSIsFound(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		ctx := t.Context()
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		pre, surveying := s.w.Preflight.(*allowing), false
		look := NewSurvey(s.w, &registrar{delegated: map[string]bool{"late.test": true}})
		s.publish("late.test")
		pass := func(d time.Duration, until func(m *model.ManagedCertificate) bool) (took time.Duration) {
			t.Helper()
			for ; took < d; took += time.Minute {
				m := s.step()
				surveying = true
				s.must(look.Look(ctx, m))
				surveying = false
				var all []*model.ManagedCertificate
				s.tx(func(tx *store.Tx) (err error) { all, err = tx.AllManagedCertificates(ctx); return err })
				if len(all) == 1 && until != nil && until(all[0]) {
					return took
				}
				time.Sleep(time.Minute)
			}
			return took
		}
		orders := func() (n int) {
			s.tx(func(tx *store.Tx) error {
				all, err := tx.AllManagedCertificates(ctx)
				if err != nil {
					return err
				}
				os, err := tx.ListOrdersOf(ctx, all[0].ID, 100)
				n = len(os)
				return err
			})
			return n
		}
		high := func(m *model.ManagedCertificate) bool {
			return m.LadderStep >= 8 && time.Until(m.NextAttempt) > 3*time.Hour
		}

		pre.say = func([]string, *model.Issuer) error { return &Refusal{Reason: "ns1.late.test is lame"} }
		pass(8*time.Hour, high)
		if n := orders(); n != 8 {
			t.Fatalf("%d orders were begun until the eighth rung", n)
		}
		pass(time.Hour, nil)
		if n := orders(); n != 8 {
			t.Errorf("%d more orders while nothing has changed", n-8)
		}

		// Who asks for the survey is told that all is well, who asks for the order is not: no order a minute comes of that.
		pre.say = func([]string, *model.Issuer) error {
			if surveying {
				return nil
			}
			return &Refusal{Reason: "ns1.late.test is lame"}
		}
		pass(3*time.Hour, nil)
		if n := orders() - 8; n < 4 || n > 3*15 {
			t.Errorf("%d orders in three hours of a DNS that says now this, now that", n)
		}

		// It is mended, and the authority refuses: from then on the ladder counts.
		ca := s.w.accounts.open[s.issuer.ID]
		bad := &refusing{CA: ca.ca}
		pre.say, ca.ca = nil, bad
		if took := pass(time.Hour, func(*model.ManagedCertificate) bool { return bad.asked > 0 }); took > againElse+2*time.Minute {
			t.Errorf("ordered %v after its reason was gone", took)
		}
		pass(8*time.Hour, high)
		n := bad.asked
		pass(time.Hour, nil)
		if bad.asked != n {
			t.Errorf("%d orders more of what the authority has refused", bad.asked-n)
		}
	})
}
