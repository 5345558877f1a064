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
	var have map[model.CertificateID]*model.Certificate
	issuers := map[model.IssuerID]*model.Issuer{}
	err := p.w.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.ListIssuers(ctx)
		if err != nil {
			return err
		}
		for _, i := range all {
			p.w.pauses.learn(i)
			issuers[i.ID] = i
		}
		if due, err = tx.ManagedCertificatesToPoll(ctx, now, mostPolled); err != nil {
			return err
		}
		ids := make([]model.CertificateID, len(due))
		for n, m := range due {
			ids[n] = m.Certificate
		}
		have, err = tx.GetCertificates(ctx, ids)
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
			if e := p.suggestion(ctx, m, have[m.Certificate], issuers, quiet, now); e != nil && fault.Of(e) != fault.NotFound {
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

// suggestion asks the issuer of a certificate when to renew it. What can't be asked or is no answer counts as none. A certificate that
// is gone (nil) is not asked about again.
func (p *Planner) suggestion(ctx context.Context, m *model.ManagedCertificate, c *model.Certificate, issuers map[model.IssuerID]*model.Issuer, quiet *silence, now time.Time) error {
	if c == nil || issuers[c.Issuer] == nil {
		return p.tx(ctx, func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(ctx, m.ID)
			if err != nil || v.Certificate != m.Certificate {
				return err
			}
			v.ARIPollAt = time.Time{}
			return tx.UpdateManagedCertificate(ctx, v)
		})
	}
	l, err := leaf(c.ChainPEM)
	if err != nil {
		return err
	}
	got, after := p.answer(ctx, issuers[c.Issuer], l, quiet, now)
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
	if w, ok := errors.AsType[*waiting](err); ok {
		return nil, w.until
	}
	_, lost := errors.AsType[*url.Error](err)
	quiet.heard(i.ID, !lost && asking.Err() == nil)
	if err != nil {
		until := acme.RetryAfter(err)
		if acme.Class(err) == acme.RateLimited && until.Sub(now) > shortPause {
			p.w.pauses.limitAll(ctx, i.ID, model.AskRenewalInfo, until, words(err))
		}
		return nil, until
	}
	return &certs.Suggestion{Start: got.Start.UTC(), End: got.End.UTC()}, got.RetryAfter
}
