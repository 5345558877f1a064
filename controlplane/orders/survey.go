package orders

import (
	"context"
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
		next.Delegated, next.Provable, next.Problem, next.Found, next.NextCheck = delegated, provable, "", now, now.Add(againElse)
		if delegated {
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

// opened reports whether more can be proved of a domain than before.
func opened(was, is *model.DomainFinding) bool {
	return was != nil && (!was.Delegated && is.Delegated || slices.ContainsFunc(is.Provable, func(n string) bool { return !slices.Contains(was.Provable, n) }))
}

func (s *Survey) tx(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := s.w.Store.Tx(ctx, actor, fn)
	return err
}
