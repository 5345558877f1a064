package orders

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	mostPolled    = 200              // suggestions that are asked for in a round
	pollAtOnce    = 8                // of them at a time
	askSuggestion = 10 * time.Second // with one
	mostSilence   = 3                // answers in a row that did not come: the authority is asked no more in the round
	pollDeferred  = 10 * time.Minute // until what was not asked then is due again
)

// poll asks authorities for the suggestions that are due (RFC 9773). One that hangs keeps up neither the others nor itself: all that was due
// is due again later.
func (p *Planner) poll(ctx context.Context, now time.Time) error {
	var due []*model.ManagedCertificate
	err := p.w.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.ListIssuers(ctx)
		if err != nil {
			return err
		}
		for _, i := range all {
			p.w.pauses.learn(i)
		}
		due, err = tx.ManagedCertificatesToPoll(ctx, now, mostPolled)
		return err
	})
	if err != nil {
		return err
	}
	quiet := &silence{in: map[model.IssuerID]int{}}
	var group errgroup.Group
	group.SetLimit(pollAtOnce)
	var mu sync.Mutex
	for _, m := range due {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if e := p.suggestion(ctx, m, quiet, now); e != nil && fault.Of(e) != fault.NotFound {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, e)
			}
			return nil
		})
	}
	_ = group.Wait()
	return err
}

// silence counts answers in a row that did not come.
type silence struct {
	mu sync.Mutex
	in map[model.IssuerID]int // guarded by mu
}

func (s *silence) heard(id model.IssuerID, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in[id]++; answered {
		s.in[id] = 0
	}
}

func (s *silence) enough(id model.IssuerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in[id] >= mostSilence
}

// suggestion asks the issuer of a certificate when to renew it. What can't be asked or is no answer counts as none.
func (p *Planner) suggestion(ctx context.Context, m *model.ManagedCertificate, quiet *silence, now time.Time) error {
	var c *model.Certificate
	var i *model.Issuer
	err := p.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.GetCertificate(ctx, m.Certificate); err == nil {
			i, err = tx.GetIssuer(ctx, c.Issuer)
		}
		return err
	})
	if err != nil {
		return err
	}
	l, err := leaf(c.ChainPEM)
	if err != nil {
		return err
	}
	got, after := p.answer(ctx, i, l, quiet, now)
	if ctx.Err() != nil {
		return nil // it was cut short, and is still due
	}
	random := certs.Random()
	return p.tx(ctx, func(tx *store.Tx) error {
		v, err := tx.LockManagedCertificate(ctx, m.ID)
		if err != nil || v.Certificate != c.ID { // another one by now
			return err
		}
		next := certs.Resuggest(*v, certs.Lifetime{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, got, after, now, random)
		return tx.UpdateManagedCertificate(ctx, &next)
	})
}

// answer is what an authority suggests, nil if nothing of use, and when to ask again.
func (p *Planner) answer(ctx context.Context, i *model.Issuer, l *x509.Certificate, quiet *silence, now time.Time) (*certs.Suggestion, time.Time) {
	if until := later(i.PausedUntil, p.w.pauses.get(i.ID)); until.After(time.Now()) {
		return nil, until
	}
	if quiet.enough(i.ID) {
		return nil, now.Add(pollDeferred)
	}
	asking, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	a, err := p.w.accounts.of(asking, i)
	if err != nil {
		return nil, time.Time{}
	}
	got, err := a.ca.RenewalInfo(asking, l)
	_, lost := errors.AsType[*url.Error](err)
	quiet.heard(i.ID, !lost && asking.Err() == nil)
	if err != nil {
		until := acme.RetryAfter(err)
		if acme.Class(err) == acme.RateLimited && until.Sub(now) > shortPause {
			p.limit(ctx, i, until, err)
		}
		return nil, until
	}
	return &certs.Suggestion{Start: got.Start.UTC(), End: got.End.UTC()}, got.RetryAfter
}

// limit has no replica ask an authority for suggestions before a time.
func (p *Planner) limit(ctx context.Context, i *model.Issuer, until time.Time, why error) {
	if !until.After(p.w.pauses.limitOf(i.ID, model.AskRenewalInfo)) {
		return // it is known
	}
	p.w.pauses.limit(i.ID, model.AskRenewalInfo, until)
	if err := p.tx(ctx, func(tx *store.Tx) error { return tx.LimitIssuer(ctx, i.ID, model.AskRenewalInfo, until, words(why)) }); err != nil && ctx.Err() == nil {
		p.w.Log.Warn("limit of an issuer not written", "issuer", i.Name, "err", err)
	}
}
