// Package claims makes a domain effective for an organization once it is known to be its own, since a name that anybody could
// take by writing it down would be routed, and certified, for whoever came first.
package claims

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

const (
	every  = 10 * time.Second
	breath = time.Second // at least, between two looks
	atOnce = 4           // domains: each asks many servers
	again  = time.Minute // how soon a claim is asked about again
	weary  = time.Hour   // the same of one that is older than young
	young  = 48 * time.Hour
)

// Prover asks the DNS. why says what is missing.
type Prover interface {
	Owned(ctx context.Context, apex string, org model.OrgID) (owned bool, why string, err error)
}

// Watch looks after domains that are claimed. Any number of replicas may run one: who comes second finds nothing to do.
type Watch struct {
	store *store.Store
	world *model.Current
	with  Prover
	log   *slog.Logger
	m     metrics
}

type metrics struct{ unproven prometheus.Gauge }

// New makes a Watch; Run does the work.
func New(s *store.Store, world *model.Current, with Prover, log *slog.Logger, reg prometheus.Registerer) *Watch {
	w := &Watch{s, world, with, log, metrics{prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cp_unproven_domains", Help: "Domains that are claimed, and not known to be of those who claim them.",
	})}}
	reg.MustRegister(w.m.unproven)
	return w
}

// String names the task.
func (w *Watch) String() string { return "domain claims" }

// Run looks after every change, and every 10 s, until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		if err := w.Look(ctx, m, time.Now()); err != nil && ctx.Err() == nil {
			w.log.Warn("claims of domains not looked at", "err", err)
		}
		next, cancel := context.WithTimeout(ctx, breath)
		<-next.Done()
		cancel()
		next, cancel = context.WithTimeout(ctx, every)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Look asks about the claims that are due.
func (w *Watch) Look(ctx context.Context, m *model.Model, now time.Time) error {
	var claimed []*model.Domain
	for d := range m.Domains() {
		if d.Unproven {
			claimed = append(claimed, d)
		}
	}
	w.m.unproven.Set(float64(len(claimed)))
	if len(claimed) == 0 {
		return nil
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, d := range claimed {
		g.Go(func() error { return w.ask(each, m, d, now) })
	}
	return g.Wait()
}

// ask finds out about one claim. What the DNS says is asked outside the transactions; whether another organization has proved
// the same meanwhile is for the database to say.
func (w *Watch) ask(ctx context.Context, m *model.Model, d *model.Domain, now time.Time) error {
	mine := false
	wait := again
	if now.Sub(d.Created) > young {
		wait = weary
	}
	err := w.tx(ctx, func(tx *store.Tx) (err error) {
		mine, err = tx.ClaimDomainFinding(ctx, d.ID, nil, now, now.Add(wait))
		return err
	})
	if err != nil || !mine {
		return fault.Ignore(err, fault.NotFound, fault.Invalid)
	}
	owned, why := Given(m, d), ""
	if !owned {
		if owned, why, err = w.with.Owned(ctx, d.Name, d.Org); err != nil {
			return nil // cut short: there is a next time
		}
	}
	if owned {
		err = w.tx(ctx, func(tx *store.Tx) error { return tx.ProveDomain(ctx, d.ID, now) })
		if fault.Of(err) != fault.Conflict {
			if err == nil {
				w.log.Info("domain is proved", "domain", d.Name, "org", d.Org.String())
			}
			return fault.Ignore(err, fault.NotFound, fault.Invalid)
		}
		why = "it is within, or above, a domain of another organization"
	}
	f := &model.DomainFinding{Domain: d.ID, Delegated: true, Problem: why, NextCheck: now.Add(wait)}
	return fault.Ignore(w.tx(ctx, func(tx *store.Tx) error { return tx.SetDomainFinding(ctx, f) }), fault.NotFound, fault.Invalid)
}

// Given reports whether a claim needs no proof: the cluster's administrators answer for its organization, or that has proved a
// domain above it.
func Given(m *model.Model, d *model.Domain) bool {
	if o := m.Organization(d.Org); o != nil && o.Trusted {
		return true
	}
	above := m.DomainCovering(d.Name)
	return above != nil && above.Org == d.Org && hostname.Within(d.Name, above.Name)
}

func (w *Watch) tx(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := w.store.Tx(ctx, "worker:claims", fn)
	return err
}
