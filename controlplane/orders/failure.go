package orders

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	shortPause = 10 * time.Minute // a Retry-After up to it is about the account's haste, a longer one about what was asked for
	breakAfter = 5                // failures in a row, of whatever orders,
	breakTime  = 15 * time.Second // for this long: the issuer is left alone for a while
	leastPause = 10 * time.Second
	mostPause  = 5 * time.Minute
	giveUp     = time.Hour   // of an issuer that does not answer, if there is another one
	arrival    = time.Second // what was sent on a connection that broke has arrived by then, or never will
)

// failed makes an outcome of an error of the authority, or of what speaks against asking it.
func (t *turn) failed(ctx context.Context, step Step, err error) (outcome, error) {
	now := time.Now()
	t.problem(err)
	if r, ok := errors.AsType[*Refusal](err); ok {
		return t.refused(r, now), nil
	}
	if d, ok := errors.AsType[dead](err); ok {
		return t.fail("refused", words(d.error), acme.Class(d.error) == acme.Terminal, time.Time{}, now), nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok || errors.Is(err, store.ErrLeaseLost) {
		return outcome{}, err
	}
	until := acme.RetryAfter(err)
	switch class := acme.Class(err); class {
	case acme.RateLimited:
		return t.limited(ctx, step, err, until, now), nil
	case acme.AlreadyReplaced:
		out := t.undone("ordered without replaces: the authority says that it is replaced already", now)
		out.order.Replaces = ""
		return out, nil
	case acme.Refused, acme.Terminal:
		out := t.fail(class.String(), words(err), class == acme.Terminal, until, now)
		return out, nil
	case acme.Gone:
		if t.order.URL == "" {
			break
		}
		return t.fail(class.String(), words(err), false, until, now), nil
	case acme.AccountUnusable:
		out := t.undone("", now)
		out.order.Class, out.order.Problem = class.String(), words(err)
		out.what, out.wait = "the account can't be used", time.Minute
		if t.issuer.SealedPendingKey != nil || acme.OtherKey(err) {
			out.what, out.wait = "the account's key is being changed", inline+time.Second
		}
		out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
			i, err := tx.LockIssuer(ctx, t.issuer.ID)
			if err != nil || i.SealedPendingKey != nil || !bytes.Equal(i.SealedAccountKey, t.issuer.SealedAccountKey) {
				return err // the account is there: with another key than the one that was asked with
			}
			return tx.SetAccountURL(ctx, t.issuer.ID, "") // one that is gone is made again
		})
		return out, nil
	}
	if asked := t.pauses.get(t.order.Issuer); asked.After(now) { // in the middle of the step
		out := outcome{order: t.order}
		if _, unsent := errors.AsType[*waiting](err); unsent && step == Place && t.sent {
			out = t.undone("", now)
		}
		out.wait = asked.Sub(now)
		return out, nil
	}
	out := t.delayed("retry", words(err), 0)
	out.wait = backoff(out.order.Attempts, certs.Random())
	if step == Place || step == Recover { // newOrder may still be on its way
		out.wait = max(out.wait, arrival)
		if errors.Is(err, context.DeadlineExceeded) {
			out.wait = max(out.wait, t.Lease)
		}
	}
	if until.After(now.Add(out.wait)) {
		out.wait = until.Sub(now)
	}
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		return t.count(ctx, tx, words(err), now)
	}
	return out, nil
}

// backoff is how long to wait after the failure with this number, when nobody has refused anything. It stays short:
// an issuer that answers nobody is left alone for longer by all orders together.
func backoff(attempt int, random float64) time.Duration {
	d := min(200*time.Millisecond<<min(max(attempt-1, 0), 20), inline)
	return d/2 + time.Duration(random*float64(d)/2)
}

// words are what a problem is called in the row: the authority's own, bounded.
func words(err error) string {
	s := err.Error()
	if len(s) > 2000 {
		s = s[:2000]
	}
	return s
}

// delayed is the outcome of an attempt that came to nothing without anybody's refusal. The timeline gets the
// first, second, fourth, eighth… of them, and each that says something new.
func (t *turn) delayed(class, problem string, wait time.Duration) outcome {
	o := t.order
	o.Attempts++
	out := outcome{order: o, wait: wait}
	if bits.OnesCount(uint(o.Attempts)) == 1 || o.Class != class {
		out.what = "waiting"
	}
	out.order.Class, out.order.Problem = class, problem
	return out
}

// undone is the outcome of newOrder that the authority says it has not done: what it would have cost is given back.
func (t *turn) undone(what string, now time.Time) outcome {
	o := t.order
	o.Attempts++
	out := outcome{order: o, what: what}
	if o.State == model.OrderPlanned && !o.Intent.IsZero() {
		out.order.Intent = time.Time{}
		out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
			return t.refund(ctx, tx, append(budget.ForOrder(), budget.ForCertificate(o.Names)...), now)
		}
	}
	return out
}

// limited obeys a 429 to the second. Where the authority says that a long one is about these names, this order alone waits, or is sent
// elsewhere; where it does not, no name is ordered there before the time. All else is about the account: nothing is asked.
func (t *turn) limited(ctx context.Context, step Step, err error, until, now time.Time) outcome {
	if until.IsZero() {
		until = now.Add(unspecified)
	}
	problem := words(err)
	out := outcome{order: t.order}
	out.order.Attempts++
	if step == Place {
		out = t.undone("", now)
	}
	out.order.Class, out.order.Problem = acme.RateLimited.String(), problem
	out.what = "asked to wait until " + until.UTC().Format(time.RFC3339)
	out.wait = max(until.Sub(now), backoff(out.order.Attempts, certs.Random())) // "0", or a date that has passed, is no leave to ask without end
	long, named := until.Sub(now) > shortPause, acme.About(err, t.order.Names)
	if !long || !t.sent && !named {
		t.pauses.set(t.issuer.ID, until)
		out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
			return t.paused(ctx, tx, until, problem)
		})
		return out
	}
	if t.sent {
		if !named {
			t.pauses.limitAll(ctx, t.issuer.ID, model.AskNewOrder, until, problem)
		}
		if next, ok := t.handOver(problem, model.Hold{Until: until, Why: model.HeldByLimit}, now); ok {
			out = next
		}
	}
	return out
}

func (t *turn) paused(ctx context.Context, tx *store.Tx, until time.Time, problem string) error {
	i, err := tx.LockIssuer(ctx, t.issuer.ID)
	if err != nil {
		return err
	}
	i.PausedUntil, i.LastProblem = later(i.PausedUntil, until), problem // the pause is there already; what it was said with is not
	return tx.SetIssuerHealth(ctx, i)
}

// away reports whether an issuer has answered nobody for a while.
func away(i *model.Issuer, now time.Time) bool {
	return i.Failures >= breakAfter && now.Sub(i.FailingSince) >= breakTime
}

// count counts a failure of the issuer; many in a row mean that it is away.
func (t *turn) count(ctx context.Context, tx *store.Tx, problem string, now time.Time) error {
	i, err := tx.LockIssuer(ctx, t.issuer.ID)
	if err != nil {
		return err
	}
	if i.Failures++; i.FailingSince.IsZero() {
		i.FailingSince = now
	}
	i.LastProblem = problem
	if away(i, now) && t.pauses.silent(i.ID, breakTime, now) {
		i.PausedUntil = later(i.PausedUntil, now.Add(min(max(now.Sub(i.FailingSince), leastPause), mostPause)))
	}
	return tx.SetIssuerHealth(ctx, i)
}

// answered adds to an outcome that the issuer is well again.
func (t *turn) answered(out outcome) outcome {
	if t.issuer.Failures == 0 {
		return out
	}
	out.quiet = false
	out.also = out.also.and(func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		i, err := tx.LockIssuer(ctx, t.issuer.ID)
		if err != nil {
			return err
		}
		i.Failures, i.FailingSince = 0, time.Time{}
		return tx.SetIssuerHealth(ctx, i)
	})
	return out
}

// fail ends an order. The certificate's next attempt is the ladder's, or later if somebody said so.
func (t *turn) fail(class, problem string, terminal bool, until, now time.Time) outcome {
	out := t.to(model.OrderFailed, "failed")
	out.order.Class, out.order.Problem = class, problem
	random := certs.Random()
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		m, err := t.cleared(ctx, tx, now)
		if err != nil {
			return err
		}
		if t.order.State == model.OrderInitiated || t.order.State == model.OrderNodesAcked { // that it was told to look may be known to the authority alone
			if err := t.charge(ctx, tx, budget.ForValidations(t.order.Names), now); err != nil {
				return err
			}
		}
		next := certs.Fail(*m, problem, terminal, until, now, random)
		if err := t.tellFailed(ctx, tx, class, problem, next.NextAttempt, now); err != nil {
			return err
		}
		return tx.UpdateManagedCertificate(ctx, &next)
	}
	return out
}

// cleared takes back what an order that ends has published and reserved.
func (t *turn) cleared(ctx context.Context, tx *store.Tx, now time.Time) (*model.ManagedCertificate, error) {
	if !t.order.Intent.IsZero() && len(t.order.CSR) == 0 { // nothing was issued
		if err := t.refund(ctx, tx, budget.ForCertificate(t.order.Names), now); err != nil {
			return nil, err
		}
	}
	m, err := tx.LockManagedCertificate(ctx, t.order.Managed)
	if err != nil {
		return nil, err
	}
	_, err = tx.DeleteChallengesOfOrder(ctx, t.order.ID)
	return m, err
}
