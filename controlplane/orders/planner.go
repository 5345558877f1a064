package orders

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	planEvery   = 30 * time.Second
	planBreath  = 250 * time.Millisecond // at least, between two plans: each reads all services
	mostDue     = 20000                  // certificates that are planned at a time
	writeAtOnce = 500                    // rows that one transaction makes
	keepOrders  = 30 * 24 * time.Hour
	loadSpan    = 24 * time.Hour // over which requests say which of several certificates is needed most
)

// Planner keeps a managed certificate for all that services need, begins the orders that are due, and asks when
// authorities suggest renewal. Any number of replicas may run one: who comes second finds nothing to do.
type Planner struct {
	w        *Worker
	patience time.Duration // with one suggestion
}

// NewPlanner makes a Planner that plans for a Worker.
func NewPlanner(w *Worker) *Planner { return &Planner{w, askSuggestion} }

// String names the task.
func (p *Planner) String() string { return "certificate plan" }

// Run plans after every change of the configuration, and every 30 s, until ctx ends.
func (p *Planner) Run(ctx context.Context) error {
	for {
		m := p.w.World.Get()
		if m.Revision() > 0 {
			if err := p.Plan(ctx, m, time.Now()); err != nil && ctx.Err() == nil {
				p.w.Log.Warn("certificates not planned", "err", err)
			}
		}
		pause(ctx, planBreath)
		p.rest(ctx, m.Revision())
		if ctx.Err() != nil {
			return nil
		}
	}
}

// rest waits for another revision, for Replan, or for planEvery.
func (p *Planner) rest(ctx context.Context, rev model.Revision) {
	next, cancel := context.WithTimeout(ctx, planEvery)
	var listening sync.WaitGroup
	listening.Go(func() {
		select {
		case <-p.w.replan:
			cancel()
		case <-next.Done():
		}
	})
	_, _ = p.w.World.Wait(next, rev+1)
	cancel()
	listening.Wait()
}

// Plan does what is to be done at a moment.
func (p *Planner) Plan(ctx context.Context, m *model.Model, now time.Time) error {
	var issuers []*model.Issuer
	var found certs.Findings
	err := p.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if issuers, err = tx.ListIssuers(ctx); err == nil {
			found, err = tx.AllDomainFindings(ctx)
		}
		return err
	})
	if err != nil || !slices.ContainsFunc(issuers, func(i *model.Issuer) bool { return !i.Internal() }) {
		return err
	}
	if err := p.sync(ctx, certs.Wanted(m, found), now); err != nil {
		return err
	}
	return p.begin(ctx, m, issuers, now)
}

// sync makes the managed certificates those that are wanted. One that nobody wants any more stays with what it
// has: it may be wanted again.
func (p *Planner) sync(ctx context.Context, wanted []certs.Want, now time.Time) error {
	var have []*model.ManagedCertificate
	err := p.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		have, err = tx.AllManagedCertificates(ctx)
		return err
	})
	if err != nil {
		return err
	}
	key := func(org model.OrgID, names []string) string { return org.String() + " " + strings.Join(names, " ") }
	missing := map[string]certs.Want{}
	for _, w := range wanted {
		missing[key(w.Org, w.Names)] = w
	}
	needed := map[string]bool{}
	for k := range missing {
		needed[k] = true
	}
	var changed []*model.ManagedCertificate
	for _, h := range have {
		k := key(h.Org, h.Names)
		delete(missing, k)
		if h.Wanted != needed[k] {
			changed = append(changed, h)
		}
	}
	var fresh []*model.ManagedCertificate
	for _, w := range wanted {
		if _, ok := missing[key(w.Org, w.Names)]; ok {
			fresh = append(fresh, &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: w.Org, Names: w.Names, KeyType: model.ECDSA, Wanted: true, NextAttempt: now})
		}
	}
	for some := range slices.Chunk(fresh, writeAtOnce) {
		if err := p.tx(ctx, func(tx *store.Tx) error { return tx.CreateManagedCertificates(ctx, some) }); err != nil {
			return err
		}
	}
	for _, h := range changed {
		err := p.tx(ctx, func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(ctx, h.ID)
			if err != nil {
				return err
			}
			if v.Wanted = needed[key(h.Org, h.Names)]; v.Wanted {
				if err := p.again(ctx, tx, v, now); err != nil {
					return err
				}
			}
			return tx.UpdateManagedCertificate(ctx, v)
		})
		if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// again makes what is wanted once more due at once, unless its certificate is still one that is served.
func (p *Planner) again(ctx context.Context, tx *store.Tx, v *model.ManagedCertificate, now time.Time) error {
	if !v.Certificate.IsZero() {
		c, err := tx.GetCertificate(ctx, v.Certificate)
		if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		if err == nil && c.SupersededBy.IsZero() && now.Before(c.NotAfter) {
			return nil
		}
	}
	v.LadderStep, v.NextAttempt = 0, now
	return nil
}

func (p *Planner) tx(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := p.w.Store.Tx(ctx, actor, fn)
	return err
}

// begin begins the orders that are due, as far as the issuers' budgets have room.
func (p *Planner) begin(ctx context.Context, m *model.Model, issuers []*model.Issuer, now time.Time) error {
	var due []store.Due
	var requests map[model.ServiceID]int64
	room := map[model.IssuerID]certs.Room{}
	err := p.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if due, err = tx.DueManagedCertificates(ctx, now, mostDue); err != nil || len(due) == 0 {
			return err
		}
		if len(due) > 1 {
			if requests, err = tx.ServiceRequests(ctx, now.Add(-loadSpan)); err != nil {
				return err
			}
		}
		waiting, err := tx.CountOrdersUnderWay(ctx)
		for _, i := range issuers {
			have, e := tx.ListBuckets(ctx, i.ID, model.BudgetNewOrders)
			err = errors.Join(err, e)
			l := budget.Limits(i.Limits)[model.BudgetNewOrders]
			b := l.Full(model.BucketKey{Kind: model.BudgetNewOrders}, now)
			if len(have) > 0 {
				b = have[0]
			}
			room[i.ID] = certs.Room{New: l.Left(b, false, now) - waiting[i.ID], Renewals: l.Left(b, true, now) - waiting[i.ID]}
		}
		return err
	})
	if err != nil {
		return err
	}
	certs.Urgent(due, certs.LoadOf(m, requests), now)
	began := 0
	for some := range slices.Chunk(certs.Pick(due, issuers, room, now), writeAtOnce) {
		n, err := p.start(ctx, some, now)
		if err != nil {
			return err
		}
		began += n
	}
	if began > 0 {
		p.w.Kick()
	}
	return nil
}

// start begins orders, and returns how many of them others had not begun yet.
func (p *Planner) start(ctx context.Context, some []certs.Start, now time.Time) (made int, err error) {
	all := make([]*model.Order, len(some))
	with := map[model.OrderID]string{}
	var before []model.CertificateID
	for i, s := range some {
		all[i] = &model.Order{
			ID: model.OrderID{}.New(), Org: s.Managed.Org, Managed: s.Managed.ID, Issuer: s.Issuer.ID, Names: s.Managed.Names, KeyType: s.Managed.KeyType,
			Profile: s.Managed.Profile, Renewal: s.Renewal, Certificate: model.CertificateID{}.New(), NextAttempt: now,
		}
		with[all[i].ID] = s.Issuer.Name
		if s.Renewal {
			before = append(before, s.Managed.Certificate)
		}
	}
	p.w.point("plan: write planned before")
	err = p.tx(ctx, func(tx *store.Tx) error {
		have, err := tx.GetCertificates(ctx, before)
		if err != nil {
			return err
		}
		for i, s := range some {
			all[i].Replaces = ""
			if c := have[s.Managed.Certificate]; s.Renewal && c != nil && c.Issuer == s.Issuer.ID {
				all[i].Replaces = replaced(c)
			}
		}
		ids, err := tx.CreateOrders(ctx, all, now)
		if err != nil {
			return err
		}
		events := make([]model.OrderEvent, len(ids))
		for i, id := range ids {
			events[i] = model.OrderEvent{Order: id, At: now, State: model.OrderPlanned, What: "planned with " + with[id]}
		}
		made = len(ids)
		return tx.AddOrderEvents(ctx, events...)
	})
	p.w.point("plan: write planned after")
	return made, err
}

// replaced is what an order says that it replaces (RFC 9773 §5); "" when the certificate has no such name.
func replaced(c *model.Certificate) string {
	l, err := leaf(c.ChainPEM)
	if err != nil {
		return ""
	}
	id, err := acme.CertID(l)
	if err != nil {
		return ""
	}
	return id
}

// Maintain asks for suggestions that are due, and removes what is no longer needed: certificates whose successor
// all nodes have had for a day, old orders, full buckets, challenges that nobody answers any more. One replica at a
// time is enough. What asks others comes last: it may use up the time that there is.
func (p *Planner) Maintain(ctx context.Context, now time.Time) error {
	return errors.Join(p.clean(ctx, now), p.poll(ctx, now), p.directories(ctx, now))
}

func (p *Planner) clean(ctx context.Context, now time.Time) error {
	return p.tx(ctx, func(tx *store.Tx) error {
		for _, step := range []func() error{
			func() error { return superseded(ctx, tx, now) },
			func() error { return removeSuperseded(ctx, tx, now.Add(-certs.Overlap)) },
			func() error { _, err := tx.PruneOrders(ctx, now.Add(-keepOrders)); return err },
			func() error { return tx.DeleteUnused(ctx, now.Add(-certs.Overlap)) },
			func() error { return superseded(ctx, tx, now) }, // once more: what others gave way to may just have gone
			func() error { _, err := tx.DeleteExpiredChallenges(ctx, now); return err },
			func() error { return tx.DeleteFullBuckets(ctx, now.Add(-budget.LongestWindow)) },
			func() error { return tx.DeletePastLimits(ctx, now) },
			func() error { return tx.DeleteRevocations(ctx, now) },
		} {
			if err := step(); err != nil { // the transaction is over: what comes after it would only hide why
				return err
			}
		}
		return nil
	})
}

// removeSuperseded deletes certificates that gave way before a moment.
func removeSuperseded(ctx context.Context, tx *store.Tx, before time.Time) error {
	old, err := tx.SupersededCertificates(ctx, before)
	if err != nil {
		return err
	}
	for _, id := range old {
		if err := fault.Ignore(tx.DeleteCertificate(ctx, id), fault.NotFound); err != nil {
			return err
		}
	}
	return nil
}
