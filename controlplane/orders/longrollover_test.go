package orders

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// unwilling is an authority that is asked to change an account's key.
type unwilling struct {
	CA
	asked func() error
}

func (u unwilling) Rollover(context.Context, crypto.Signer) error { return u.asked() }

// A change of the account's key that the authority puts off for days, or never makes, holds orders up only while it is asked for: until then the
// key that it knows is good.
func TestRolloverThatIsPutOff(t *testing.T) {
	t.Parallel()
	dsn, begin := storetest.DSN(t), time.Now()
	bubbletest.Run(t, func(t *testing.T) {
		ctx := t.Context()
		s := simulate(t, dsn, begin, model.IssuerLimits{})
		s.publish("off.test")
		s.must(s.p.Plan(ctx, s.follow(), time.Now()))
		o, err := s.db.ClaimOrder(ctx, "r", time.Minute, time.Now())
		s.must(err)
		o.State, o.URL = model.OrderNodesAcked, localURL+"order/9"
		s.ca.orders[o.URL] = &acme.Order{URL: o.URL, Status: acme.StatusReady, Names: o.Names}
		validates := func() bool {
			t.Helper()
			out, err := s.w.take(ctx, o, Initiate)
			s.must(err)
			if out.order.State != model.OrderReady && out.wait <= inline {
				t.Errorf("it waits for %v", out.wait)
			}
			return out.order.State == model.OrderReady
		}
		now := func() (i *model.Issuer) {
			s.tx(func(tx *store.Tx) (err error) { i, err = tx.GetIssuer(ctx, s.issuer.ID); return err })
			return i
		}
		var answer error
		asked := 0
		s.w.accounts.open[s.issuer.ID].ca = unwilling{s.w.accounts.open[s.issuer.ID].ca, func() error {
			if asked++; validates() {
				t.Error("the authority is told to look while the key changes")
			}
			return answer
		}}
		roll := func(err error) time.Duration {
			t.Helper()
			answer = err
			before := asked
			s.tx(func(tx *store.Tx) error {
				_, err := tx.ClaimRollover(ctx, time.Now(), time.Now().Add(s.w.Lease))
				return err
			})
			s.must(s.w.rollover(ctx, s.issuer.ID))
			if asked != before+1 {
				t.Fatal("the authority was not asked")
			}
			return time.Until(now().RolloverNext)
		}
		s.tx(func(tx *store.Tx) error { // the order is nobody's: what it may be looked at by is not what this is about
			if err := tx.WriteOrder(ctx, o, true); err != nil {
				return err
			}
			return tx.AskRollover(ctx, s.issuer.ID, time.Now())
		})

		if wait := roll(errors.New("no answer")); wait > inline || validates() {
			t.Errorf("after a failure: again in %v", wait)
		}
		time.Sleep(inline)
		for _, err := range []error{
			errors.New("no answer"),
			&acme.Problem{Type: "urn:ietf:params:acme:error:malformed", Status: http.StatusBadRequest},
			&acme.Problem{Type: "urn:ietf:params:acme:error:rateLimited", Status: http.StatusTooManyRequests, RetryAfter: time.Now().Add(3 * day)},
		} {
			wait := roll(err)
			if wait < 4*time.Minute || !validates() || now().SealedPendingKey == nil {
				t.Errorf("after %v: again in %v, orders are held up: %v", err, wait, !validates())
			}
			time.Sleep(wait - 10*time.Second)
			if validates() {
				t.Errorf("after %v: the authority is told to look just before the key changes", err)
			}
			time.Sleep(10 * time.Second)
		}
		roll(nil)
		if i := now(); i.SealedPendingKey != nil || !i.RolloverNext.IsZero() || i.RolledOver.IsZero() {
			t.Errorf("in the end: %+v", i)
		}
	})
}
