package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// turn is one step of an order.
type turn struct {
	*Worker
	order   model.Order // a copy: what becomes of it is the outcome's
	issuer  *model.Issuer
	better  *model.Issuer // for which the order's stands in; nil: it is the first choice
	managed *model.ManagedCertificate
	all     []*model.Issuer
	account *account
	sent    bool // newOrder was, so that what the authority says is its answer
}

// take takes a step. An error is one of this side: nothing is written, and the step is taken again when the lease
// has ended.
func (w *Worker) take(ctx context.Context, o *model.Order, step Step) (outcome, error) {
	t := &turn{Worker: w, order: *o}
	switch step { // those that ask nobody outside
	case AwaitNodes:
		return t.awaitNodes(ctx)
	case MakeKey:
		return t.makeKey()
	case Publish:
		return t.publish(ctx)
	case AwaitApply:
		return t.awaitApply(ctx)
	}
	var all []*model.Issuer
	var m *model.ManagedCertificate
	var lost []string
	err := w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if m, err = tx.GetManagedCertificate(ctx, o.Managed); err == nil {
			all, err = tx.ListIssuers(ctx)
		}
		if err == nil {
			lost, err = tx.NamesOutsideDomains(ctx, o.Org, o.Names)
		}
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	i := slices.IndexFunc(all, func(i *model.Issuer) bool { return i.ID == o.Issuer })
	if i < 0 {
		return outcome{}, fault.New(fault.NotFound, "the order's issuer is gone")
	}
	t.issuer, t.managed, t.all = all[i], m, all
	t.better = better(m, t.issuer, all)
	now := time.Now()
	if len(lost) > 0 && step != Collect { // what is issued is taken
		return t.abandonUntil(lost[0]+" is in no domain of the organization any more", now.Add(time.Minute), now), nil
	}
	if why := leave(o, m, t.issuer, all, now); why != "" {
		return t.abandonUntil(why, now, now), nil
	}
	t.pauses.learn(t.issuer)
	until := t.pauses.get(o.Issuer)
	if step == Place {
		until = later(until, t.pauses.limitOf(o.Issuer, model.AskNewOrder))
	}
	if until.After(now) {
		return outcome{order: t.order, wait: until.Sub(now), quiet: true}, nil
	}
	if step == Initiate && t.changing(t.issuer, now) { // authorities compare with the key of the moment
		return outcome{order: t.order, wait: inline + time.Second}, nil
	}
	out, err := t.ask(ctx, step)
	switch {
	case errors.Is(err, errUnseen):
		return t.delayed(unfit, err.Error(), time.Second), nil
	case err == nil:
		return t.answered(out), nil
	}
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	return t.failed(ctx, step, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask takes a step that asks the authority.
func (t *turn) ask(ctx context.Context, step Step) (out outcome, err error) {
	if step == Place { // before the authority hears anything; CAA records once it has said what it is called there
		if err := t.introduce(ctx); err != nil {
			return outcome{}, err
		}
		if _, err := t.methods(ctx); err != nil {
			return outcome{}, err
		}
	}
	if t.account, err = t.accounts.of(ctx, t.issuer); err != nil {
		return outcome{}, err
	}
	switch step {
	case Place:
		return t.place(ctx)
	case Recover:
		return t.recover(ctx)
	case Challenge:
		return t.challenge(ctx)
	case Initiate:
		return t.initiate(ctx)
	case Validate:
		return t.validate(ctx)
	case Finalize:
		return t.finalize(ctx)
	case Collect:
		return t.collect(ctx)
	}
	return outcome{}, fmt.Errorf("no such step: %s", step)
}

// to is the outcome of coming to a state.
func (t *turn) to(s model.OrderState, what string) outcome {
	o := t.order
	o.State, o.Class, o.Problem = s, "", ""
	return outcome{order: o, what: what}
}

// again is the outcome of having to wait for others.
func (t *turn) again(d time.Duration) outcome {
	return outcome{order: t.order, wait: d, quiet: true}
}

// dead is what an order came to at its authority, in the authority's words.
type dead struct{ error }

func (d dead) Unwrap() error { return d.error }

// look reads the order and says what its status means.
func (t *turn) look(ctx context.Context) (*acme.Order, Verdict, error) {
	cur, err := t.account.ca.Order(ctx, t.order.URL)
	if err != nil {
		return nil, Verdict{}, err
	}
	v := Judge(&t.order, cur.Status)
	if v.Dead {
		return cur, v, dead{t.why(ctx, cur)}
	}
	return cur, v, nil
}

// why finds the authority's words about an order that is dead: they may be on the authorization only.
func (t *turn) why(ctx context.Context, cur *acme.Order) error {
	for _, url := range cur.Authorizations {
		if cur.Status != acme.StatusInvalid {
			break
		}
		if a, err := t.account.ca.Authorization(ctx, url); err == nil && a.Err() != nil {
			return a.Err()
		}
	}
	if cur.Error != nil {
		return cur.Error
	}
	return fmt.Errorf("the authority says that the order is %s", cur.Status)
}

// authorizations reads all authorizations of an order at once, and makes sure that they are about its names: the
// authority decides nothing else that we publish.
func (t *turn) authorizations(ctx context.Context, cur *acme.Order) ([]*acme.Authorization, error) {
	all := make([]*acme.Authorization, len(cur.Authorizations))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, url := range cur.Authorizations {
		g.Go(func() (err error) {
			all[i], err = t.account.ca.Authorization(each, url)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, a := range all {
		if !slices.ContainsFunc(t.order.Names, func(n string) bool { return strings.TrimPrefix(n, "*.") == a.Name }) {
			return nil, dead{fmt.Errorf("the authority asks for a proof of %.255q, which was not ordered", a.Name)}
		}
		if a.Status != acme.StatusPending && a.Status != acme.StatusValid {
			if err := a.Err(); err != nil {
				return nil, dead{err}
			}
			return nil, dead{fmt.Errorf("the authorization of %s is %s", a.Name, a.Status)}
		}
	}
	return all, nil
}

// makeKey makes a new key and its request, which are stored before the authority sees either.
func (t *turn) makeKey() (outcome, error) {
	key, keyPEM, err := newKey(t.order.KeyType)
	if err != nil {
		return outcome{}, err
	}
	out := t.to(model.OrderReady, "key made")
	if out.order.CSR, err = request(key, t.order.Names); err != nil {
		return outcome{}, err
	}
	if out.order.SealedKey, err = t.Sealer.Seal(keyPEM, t.order.Certificate.String()); err != nil {
		return outcome{}, err
	}
	return out, nil
}

func (t *turn) finalize(ctx context.Context) (outcome, error) {
	cur, v, err := t.look(ctx)
	if err != nil {
		return outcome{}, err
	}
	if v.State == model.OrderReady {
		if cur, err = t.account.ca.Finalize(ctx, cur, t.order.CSR); acme.Class(err) == acme.OrderNotReady {
			return t.again(time.Second), nil // read it again
		} else if err != nil {
			return outcome{}, err
		}
		if cur.Status == acme.StatusInvalid {
			return outcome{}, dead{t.why(ctx, cur)}
		}
	}
	out := t.to(model.OrderFinalized, "request sent")
	out.wait = max(0, time.Until(cur.RetryAfter))
	return out, nil
}

func (t *turn) collect(ctx context.Context) (outcome, error) {
	cur, v, err := t.look(ctx)
	switch {
	case err != nil:
		return outcome{}, err
	case v.Wait:
		return t.again(t.patience(cur.RetryAfter)), nil
	case v.State == model.OrderReady:
		return t.to(model.OrderReady, "the request did not arrive"), nil
	}
	chain, _, err := t.account.ca.Certificate(ctx, cur.Certificate)
	if err != nil {
		return outcome{}, err
	}
	keyPEM, err := t.Sealer.Open(t.order.SealedKey, t.order.Certificate.String())
	if err != nil {
		return outcome{}, dead{err}
	}
	if _, err := check(chain, keyPEM, t.order.Names, time.Now()); err != nil {
		return outcome{}, dead{fmt.Errorf("what the authority issued is of no use: %w", err)}
	}
	out := t.to(model.OrderDownloaded, "certificate downloaded")
	out.order.ChainPEM = chain
	return out, nil
}

// patience is how long to wait for an authority: until the time that it named, else longer the longer it takes.
func (t *turn) patience(at time.Time) time.Duration {
	d := min(max(time.Since(t.order.Updated)/4, 150*time.Millisecond), inline)
	if !at.IsZero() {
		d = max(time.Until(at), 50*time.Millisecond)
	}
	return d
}
