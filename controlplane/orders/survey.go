package orders

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Surveyor finds out how the names of a domain can be proved.
type Surveyor interface {
	// Survey reports whether apex and wildcard can be proved in the DNS, and if they can't, which of the hostnames can be
	// by themselves. An error says that it could not be found out.
	Survey(ctx context.Context, d *model.Domain, hostnames []string) (delegated bool, provable []string, err error)
}

const (
	surveyEvery  = 10 * time.Second
	surveyBreath = time.Second // at least, between two looks at all services
	surveyAtOnce = 4           // domains: each asks many servers
	surveyClaim  = time.Minute // how long nobody else asks about a domain

	// How soon a domain is asked about again. An order of its names that pre-flight refuses has it asked at once.
	againDelegated = 12 * time.Hour
	againElse      = 10 * time.Minute
	againSilent    = time.Minute

	mostRefused = 100         // certificates of a domain that are looked for
	reopenLimit = surveyClaim // for asking about those of a domain
)

// Survey keeps what is known of domains, from which follows what is ordered for them. Any number of replicas may run one: who comes
// second finds nothing to do.
type Survey struct {
	w    *Worker
	with Surveyor
}

// NewSurvey makes a Survey for what a Worker orders.
func NewSurvey(w *Worker, with Surveyor) *Survey { return &Survey{w, with} }

// String names the task.
func (s *Survey) String() string { return "domain survey" }

// Run asks about domains that are new or due until ctx ends.
func (s *Survey) Run(ctx context.Context) error {
	for {
		m := s.w.World.Get()
		if m.Revision() > 0 {
			if err := s.Look(ctx, m); err != nil && ctx.Err() == nil {
				s.w.Log.Warn("domains not surveyed", "err", err)
			}
		}
		pause(ctx, surveyBreath)
		next, cancel := context.WithTimeout(ctx, surveyEvery)
		_, _ = s.w.World.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Look asks about the domains that are due now.
func (s *Survey) Look(ctx context.Context, m *model.Model) error {
	var have map[model.DomainID]*model.DomainFinding
	ordered := false
	err := s.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if ordered, err = tx.HasIssuers(ctx); err == nil && ordered {
			have, err = tx.AllDomainFindings(ctx)
		}
		return err
	})
	if err != nil || !ordered {
		return err
	}
	now := time.Now()
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(surveyAtOnce)
	for id, names := range certs.Hostnames(m) {
		if f := have[id]; f == nil || !now.Before(f.NextCheck) || !f.Delegated && !slices.Equal(f.Asked, names) {
			g.Go(func() error { return s.ask(each, m.Domain(id), names, f) })
		}
	}
	return g.Wait()
}

// ask asks about one domain. What can't be found out leaves what is known.
func (s *Survey) ask(ctx context.Context, d *model.Domain, names []string, known *model.DomainFinding) error {
	now, mine := time.Now(), false
	err := s.tx(ctx, func(tx *store.Tx) (err error) {
		mine, err = tx.ClaimDomainFinding(ctx, d.ID, names, now, now.Add(surveyClaim))
		return err
	})
	if err != nil || !mine {
		return fault.Ignore(err, fault.NotFound, fault.Invalid)
	}
	next := model.DomainFinding{Domain: d.ID, Delegated: true}
	if known != nil {
		next = *known
	}
	delegated, provable, err := s.with.Survey(ctx, d, names)
	if ctx.Err() != nil {
		return nil
	}
	now = time.Now()
	if err != nil {
		next.Problem, next.NextCheck = words(err), now.Add(againSilent)
	} else {
		waits, err := s.reopen(ctx, d, now)
		if err != nil {
			return err
		}
		next.Delegated, next.Provable, next.Problem, next.Found, next.NextCheck = delegated, provable, "", now, now.Add(againElse)
		if delegated && !waits {
			next.NextCheck = now.Add(againDelegated)
		}
	}
	if err := s.tx(ctx, func(tx *store.Tx) error {
		if opened(known, &next) { // its owner has changed something: what failed is tried at once
			if err := tx.ResetLadder(ctx, d.Org, d.Name, now); err != nil {
				return err
			}
		}
		return tx.SetDomainFinding(ctx, &next)
	}); err != nil {
		return fault.Ignore(err, fault.NotFound, fault.Invalid)
	}
	if known == nil || known.ByName() != next.ByName() || !slices.Equal(known.Provable, next.Provable) {
		s.w.Log.Info("domain surveyed", "domain", d.Name, "delegated", next.Delegated, "provable", len(next.Provable), "problem", next.Problem)
		s.w.Replan()
	}
	return nil
}

// reopen has certificates of a domain ordered at once whose last order pre-flight has refused, and to which it has nothing to say any more:
// somebody has mended his DNS, or the way to our nodes. It reports whether there are such that were refused. One that was refused just now has to wait:
// a DNS that says now this, now that would have it ordered without end.
func (s *Survey) reopen(ctx context.Context, d *model.Domain, now time.Time) (waits bool, err error) {
	var refused []*model.ManagedCertificate
	var issuers []*model.Issuer
	err = s.w.Store.View(ctx, func(tx *store.Tx) error {
		waits, refused = false, nil
		all, err := tx.ListManagedProblems(ctx, d.Org, d.Name, mostRefused)
		if err != nil {
			return err
		}
		for _, m := range all {
			last, err := tx.ListOrdersOf(ctx, m.ID, 1)
			if err != nil {
				return err
			}
			if len(last) == 0 || last[0].State != model.OrderFailed || last[0].Class != unfit {
				continue
			}
			waits = true
			if m.NextAttempt.After(now) && now.Sub(last[0].Finished) >= againElse {
				refused = append(refused, m)
			}
		}
		issuers, err = tx.ListIssuers(ctx)
		return err
	})
	if err != nil || len(refused) == 0 {
		return waits, err
	}
	asking, cancel := context.WithTimeout(ctx, reopenLimit)
	defer cancel()
	rand.Shuffle(len(refused), func(i, j int) { refused[i], refused[j] = refused[j], refused[i] }) // there may not be time for all
	for _, m := range refused {
		if !s.passes(asking, m, issuers) {
			continue
		}
		if err := s.tx(ctx, func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(ctx, m.ID)
			if err != nil || !v.NextAttempt.Equal(m.NextAttempt) {
				return err // somebody else has said when
			}
			v.LadderStep, v.NextAttempt = 0, now
			return tx.UpdateManagedCertificate(ctx, v)
		}); err != nil && fault.Of(err) != fault.NotFound {
			return waits, err
		}
		s.w.Log.Info("ordered at once: nothing speaks against it any more", "names", m.Names, "before", m.LastProblem)
		s.w.Replan()
	}
	return waits, nil
}

// passes reports whether pre-flight lets an issuer be asked for a certificate now.
func (s *Survey) passes(ctx context.Context, m *model.ManagedCertificate, issuers []*model.Issuer) bool {
	return slices.ContainsFunc(issuers, func(i *model.Issuer) bool {
		if certs.Choice(m, []*model.Issuer{i}, time.Now()) == nil {
			return false
		}
		_, err := s.w.Preflight.Check(ctx, m.Names, i)
		return err == nil
	})
}

// opened reports whether more can be proved of a domain than before.
func opened(was, is *model.DomainFinding) bool {
	return was != nil && (!was.Delegated && is.Delegated || slices.ContainsFunc(is.Provable, func(n string) bool { return !slices.Contains(was.Provable, n) }))
}

func (s *Survey) tx(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := s.w.Store.Tx(ctx, actor, fn)
	return err
}
