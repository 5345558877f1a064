package orders

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// place sends newOrder, for the first time, after pre-flight. What it costs is taken, and that it may be sent is written, before:
// who finds the row in that state looks for what came of it (recover).
func (t *turn) place(ctx context.Context) (outcome, error) {
	profile, err := t.profile(ctx)
	if err != nil {
		return outcome{}, err
	}
	now := time.Now()
	out := outcome{order: t.order, what: "about to order"}
	out.order.Profile, out.order.Intent, out.order.Class, out.order.Problem = profile, now, "", ""
	return t.pay(ctx, out, append(budget.ForOrder(), budget.ForCertificate(t.order.Names)...), now)
}

// pay writes that newOrder is about to be sent, together with what that costs, and sends it. Where a budget has not
// enough left nothing is written.
func (t *turn) pay(ctx context.Context, out outcome, cost []model.BucketKey, now time.Time) (outcome, error) {
	var until time.Time
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) (err error) {
		until, err = t.spend(ctx, tx, cost, now)
		if err == nil && !until.IsZero() {
			err = errBudget
		}
		return err
	}
	o := t.order
	if err := t.write(ctx, &o, &out); errors.Is(err, errBudget) {
		return t.delayed("budget", "the account's budget is used up until "+until.UTC().Format(time.RFC3339), until.Sub(now)), nil
	} else if err != nil {
		return outcome{}, err
	}
	t.order = o
	return t.send(ctx)
}

// methods are by which challenges the names may be proved: what pre-flight found, which is kept as long as this
// replica carries the order.
func (t *turn) methods(ctx context.Context) (Methods, error) {
	if have, ok := t.found.Load(t.order.ID); ok {
		return have.(Methods), nil
	}
	m, err := t.check(ctx)
	if err == nil {
		t.found.Store(t.order.ID, m)
	}
	return m, err
}

// check has pre-flight look, for an authority that may not be known in CAA records yet.
func (t *turn) check(ctx context.Context) (Methods, error) {
	m, err := t.Preflight.Check(ctx, t.order.Names, t.issuer)
	if err == nil {
		return m, nil
	}
	if _, ok := errors.AsType[*Refusal](err); !ok {
		err = fmt.Errorf("%w: %w", errUnseen, err)
	}
	return nil, err
}

// errUnseen is that pre-flight could not find out what it has to.
var errUnseen = errors.New("could not look before asking the authority")

// method chooses the challenge of an authorization: dns-01 if it may be, since it needs nobody's ports. have is of what type the one is that is
// written already, "" if none is: it stays that, or with next becomes the one after it, if there are several.
func (m Methods) method(a *acme.Authorization, have model.ChallengeType, next bool) *acme.Challenge {
	may := m[a.Name].Types
	if len(may) == 0 {
		may = []model.ChallengeType{model.DNS01}
	}
	var offered []*acme.Challenge
	at := 0
	for _, kind := range []model.ChallengeType{model.DNS01, model.HTTP01, model.TLSALPN01} {
		if c := a.Challenge(string(kind)); c != nil && slices.Contains(may, kind) {
			if offered = append(offered, c); kind == have {
				at = len(offered) - 1
				if next {
					at++
				}
			}
		}
	}
	if len(offered) == 0 {
		return nil
	}
	return offered[at%len(offered)]
}

var errBudget = errors.New("the budget is used up")

func (t *turn) send(ctx context.Context) (outcome, error) {
	t.sent = true
	got, err := t.account.ca.NewOrder(ctx, t.order.Names, t.order.Profile, t.order.Replaces)
	if err != nil {
		return outcome{}, err
	}
	if !slices.Equal(got.Names, t.order.Names) || got.Status != acme.StatusPending && got.Status != acme.StatusReady {
		return outcome{}, dead{fmt.Errorf("the authority answers newOrder with an order of %.255q that is %s", got.Names, got.Status)}
	}
	return t.ordered(got, "ordered"), nil
}

// ordered is the outcome of there being an order at the authority. It may be one that an earlier row has failed with, and which is pending
// there: Let's Encrypt answers newOrder with such.
func (t *turn) ordered(got *acme.Order, what string) outcome {
	out := t.to(model.OrderOrdered, what)
	out.order.URL = got.URL
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error { return tx.ReleaseOrderURL(ctx, got.URL) }
	return out
}

// mostUnknown bounds how many orders that are not in the database are looked at.
const mostUnknown = 500

// recover looks for the order that a newOrder without an answer made: it is one of the account, of the same
// names, and of no other row. The lease was held for longer than a request takes to arrive, so what is not there
// will not come. An authority that lists no orders may have made one that nobody knows: it counts as spent, and
// newOrder is sent again. Such authorities, Let's Encrypt among them, answer it with the order that is pending.
func (t *turn) recover(ctx context.Context) (outcome, error) {
	urls, err := t.account.ca.Orders(ctx)
	if errors.Is(err, acme.ErrNoOrders) {
		return t.recoverUnlisted(ctx)
	}
	if err != nil {
		return outcome{}, err
	}
	var known map[string]bool
	err = t.Store.View(ctx, func(tx *store.Tx) (err error) {
		known, err = tx.KnownOrderURLs(ctx, urls)
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	slices.Reverse(urls) // lists are mostly in the order of time
	looked := 0
	for _, url := range urls {
		if known[url] || looked == mostUnknown {
			continue
		}
		looked++
		got, err := t.account.ca.Order(ctx, url)
		if acme.Class(err) == acme.Gone {
			continue
		}
		if err != nil {
			return outcome{}, err
		}
		if t.made(got) {
			return t.ordered(got, "ordered; the answer had been lost"), nil
		}
	}
	return t.send(ctx)
}

// made reports whether an order is what newOrder for this row makes and nothing has been done with.
func (t *turn) made(got *acme.Order) bool {
	return slices.Equal(got.Names, t.order.Names) && (got.Status == acme.StatusPending || got.Status == acme.StatusReady) &&
		(got.Profile == "" || got.Profile == t.order.Profile)
}

func (t *turn) recoverUnlisted(ctx context.Context) (outcome, error) {
	out := outcome{order: t.order, what: "about to order again: what came of the first time is not known"}
	return t.pay(ctx, out, budget.ForOrder(), time.Now())
}

// profile is the authority's word for what is ordered: always one, if it has any, since it would choose for itself.
func (t *turn) profile(ctx context.Context) (string, error) {
	d, err := t.account.ca.Directory(ctx)
	if err != nil {
		return "", err
	}
	if p, ok := t.issuer.Profiles[t.order.Profile]; ok {
		return p, nil
	}
	if t.order.Profile != "" || len(d.Profiles) == 0 {
		return t.order.Profile, nil // ours is the authority's too, or there is none
	}
	for _, usual := range []string{"classic", "default"} {
		if _, ok := d.Profiles[usual]; ok {
			return usual, nil
		}
	}
	return slices.Min(slices.Collect(maps.Keys(d.Profiles))), nil
}

// spend takes a token from each bucket, or none and returns when to try again.
func (t *turn) spend(ctx context.Context, tx *store.Tx, keys []model.BucketKey, now time.Time) (time.Time, error) {
	limits := budget.Limits(t.issuer.Limits)
	have, err := tx.LockBuckets(ctx, t.issuer.ID, full(limits, keys, now), now)
	if err != nil {
		return time.Time{}, err
	}
	var until time.Time
	for i, b := range have {
		next, at, ok := limits[b.Kind].Take(b, t.order.Renewal, now)
		have[i] = next
		if !ok {
			until = later(until, at)
		}
	}
	// A name that failed as often as may be is not ordered either.
	checked, err := tx.LockBuckets(ctx, t.issuer.ID, full(limits, budget.ForValidations(t.order.Names), now), now)
	if err != nil {
		return time.Time{}, err
	}
	for _, b := range checked {
		if _, at, ok := limits[b.Kind].Take(b, true, now); !ok {
			until = later(until, at)
		}
	}
	if !until.IsZero() {
		return until, nil
	}
	return time.Time{}, put(ctx, tx, t.issuer.ID, have)
}

// refund gives tokens back for what the authority said that it has not done.
func (t *turn) refund(ctx context.Context, tx *store.Tx, keys []model.BucketKey, now time.Time) error {
	return t.change(ctx, tx, keys, 1, now)
}

// charge takes tokens for what has happened, whether or not there are any.
func (t *turn) charge(ctx context.Context, tx *store.Tx, keys []model.BucketKey, now time.Time) error {
	return t.change(ctx, tx, keys, -1, now)
}

func (t *turn) change(ctx context.Context, tx *store.Tx, keys []model.BucketKey, by float64, now time.Time) error {
	limits := budget.Limits(t.issuer.Limits)
	have, err := tx.LockBuckets(ctx, t.issuer.ID, full(limits, keys, now), now)
	if err != nil {
		return err
	}
	for i, b := range have {
		l := limits[b.Kind]
		b = l.At(b, now)
		b.Tokens = min(b.Tokens+by, float64(l.Burst))
		have[i] = b
	}
	return put(ctx, tx, t.issuer.ID, have)
}

func full(limits map[model.BudgetKind]budget.Limit, keys []model.BucketKey, now time.Time) []model.Bucket {
	out := make([]model.Bucket, len(keys))
	for i, k := range keys {
		out[i] = limits[k.Kind].Full(k, now)
	}
	return out
}

func put(ctx context.Context, tx *store.Tx, id model.IssuerID, all []model.Bucket) error {
	for _, b := range all {
		if err := tx.SetBucket(ctx, id, b); err != nil {
			return fmt.Errorf("budget %s %s: %w", b.Kind, b.Key, err)
		}
	}
	return nil
}
