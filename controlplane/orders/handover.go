package orders

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// notPermitted is how long an issuer is passed over that CAA forbids, while another one may issue.
const notPermitted = 6 * time.Hour

// unfit is the class of an order that pre-flight speaks against.
const unfit = "pre-flight"

// refused ends an order that pre-flight speaks against. An issuer that CAA forbids is passed over. That a stand-in may not issue is no
// failure of the customer's: the certificate waits for the issuer that may.
func (t *turn) refused(r *Refusal, now time.Time) outcome {
	standIn, back := false, now.Add(notPermitted)
	if t.better != nil && t.managed.Held[t.better.ID].Why != model.HeldByCAA {
		standIn, back = true, later(certs.Back(t.managed, t.better), now.Add(time.Second))
	}
	if r.CAA {
		if out, ok := t.handOver(r.Reason, model.Hold{Until: back, Why: model.HeldByCAA}, now); ok {
			return out
		}
	}
	if !r.CAA || !standIn {
		out := t.fail(unfit, r.Reason, false, time.Time{}, now)
		out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
			return tx.RecheckDomains(ctx, t.order.Org, t.order.Names, now) // other names may have to be ordered
		})
		return out
	}
	return t.abandonUntil(r.Reason, back, now)
}

// handOver ends an order that its authority has not made, so that another issuer gets the next one, as soon as there is one that
// neither is away nor passed over; false if that is not before this one is back.
func (t *turn) handOver(why string, h model.Hold, now time.Time) (outcome, bool) {
	next := *t.managed
	next.Held = certs.Hold(next.Held, t.issuer.ID, h, now)
	at, ok := certs.Soonest(&next, t.all, now)
	if !ok || !at.Before(h.Until) {
		return outcome{}, false
	}
	out := t.abandonUntil(why, at, now)
	if t.sent {
		out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
			return t.refund(ctx, tx, budget.ForOrder(), now)
		})
	}
	out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		m, err := tx.LockManagedCertificate(ctx, t.order.Managed)
		if err != nil {
			return err
		}
		m.Held = certs.Hold(m.Held, t.issuer.ID, h, now)
		return tx.UpdateManagedCertificate(ctx, m)
	})
	return out, true
}

// abandonUntil ends an order that is nobody's failure; another one may begin at a time.
func (t *turn) abandonUntil(why string, at, now time.Time) outcome {
	out := t.to(model.OrderFailed, model.OrderAbandoned)
	out.order.Class, out.order.Problem = model.OrderAbandoned, why
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		m, err := t.cleared(ctx, tx, now)
		if err != nil {
			return err
		}
		m.NextAttempt, m.LastProblem = at, why
		return tx.UpdateManagedCertificate(ctx, m)
	}
	return out
}

// leave says why an order is better begun anew with another issuer; "": it is not. Only an order that nothing can
// have been issued for is left, and at once only if its issuer has not heard of it. One that a suspended issuer has heard of goes on.
func leave(o *model.Order, m *model.ManagedCertificate, i *model.Issuer, all []*model.Issuer, now time.Time) string {
	fresh := o.State == model.OrderPlanned && o.Intent.IsZero()
	if i.Suspended && fresh {
		return i.Name + " is suspended"
	}
	limited, silent := fresh && i.Limited[model.AskNewOrder].After(now), i.PausedUntil.After(now) && away(i, now)
	if len(o.CSR) > 0 || !limited && !silent {
		return ""
	}
	if other := certs.Choice(m, all, now); other == nil || other.ID == i.ID {
		return ""
	}
	switch {
	case limited:
		return i.Name + " takes no orders of the account until " + i.Limited[model.AskNewOrder].UTC().Format(time.RFC3339) + ": " + i.LastProblem
	case fresh:
		return i.Name + " does not answer: " + i.LastProblem
	case now.Sub(i.FailingSince) > giveUp:
		return i.Name + " has not answered for an hour: " + i.LastProblem
	}
	return ""
}

// better returns the issuer that an order would be sent to if none were paused, nil if that is the order's.
func better(m *model.ManagedCertificate, i *model.Issuer, all []*model.Issuer) *model.Issuer {
	if first := certs.Choice(m, all, endOfTime); first != nil && first.ID != i.ID {
		return first
	}
	return nil
}

var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
