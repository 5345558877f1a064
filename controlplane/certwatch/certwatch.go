// Package certwatch tells of certificates that come to their end.
package certwatch

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	every      = time.Minute
	keepEvents = 90 * 24 * time.Hour // above the longest warning: one that is forgotten would be given again
	mostEnding = 5000                // certificates that are looked at in a minute; those that end first go first
)

// Watcher raises the events of certificates that come to their end, and measures how all are doing. Any number of
// replicas may run one: an event is a row with a unique key.
type Watcher struct {
	store   *store.Store
	log     *slog.Logger
	metrics *metrics
}

// New makes a Watcher; Run does the work.
func New(s *store.Store, log *slog.Logger, reg prometheus.Registerer) *Watcher {
	return &Watcher{s, log, newMetrics(reg)}
}

// String names the task.
func (w *Watcher) String() string { return "certificate watch" }

// Run looks every minute until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := w.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.log.Warn("certificates not watched", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look does what is to be done at a moment.
func (w *Watcher) look(ctx context.Context, now time.Time) error {
	var ending []*store.Ending
	err := w.store.View(ctx, func(tx *store.Tx) (err error) {
		horizon := now.AddDate(0, 0, certs.Warnings[0])
		if ending, err = tx.EndingCertificates(ctx, now, horizon, mostEnding); err != nil {
			return err
		}
		return w.metrics.read(ctx, tx, ending, now)
	})
	if err != nil {
		return err
	}
	for _, e := range ending {
		if ctx.Err() != nil {
			return nil
		}
		if err := w.warn(ctx, e, now); err != nil {
			return err
		}
	}
	_, err = w.store.Tx(ctx, "worker:certwatch", func(tx *store.Tx) error { return tx.PruneEvents(ctx, now.Add(-keepEvents)) })
	return err
}

// warn raises the event of a warning that is due, unless that was done.
func (w *Watcher) warn(ctx context.Context, e *store.Ending, now time.Time) error {
	c := &e.Certificate
	life := certs.Lifetime{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	up := certs.Upkeep{RenewAt: e.RenewAt, Failing: !e.Failing.IsZero()}
	if c.Managed.IsZero() && c.Issuer.IsZero() && !c.Uploaded { // the cluster's own authority renews it
		up.RenewAt = certs.RenewAt(c)
	}
	days := up.Due(life, now)
	if days == 0 {
		return nil
	}
	left := c.NotAfter.Sub(now).Hours() / 24
	data := model.CertificateEventData{
		Names: c.Names, Certificate: c.ID.String(), Managed: c.Managed.String(), NotAfter: &c.NotAfter, DaysLeft: &left, Threshold: days, Problem: e.LastProblem,
	}
	if !e.NextAttempt.IsZero() {
		data.NextAttempt = &e.NextAttempt
	}
	once := c.ID.String() + " " + strconv.Itoa(days)
	event, err := model.NewEvent(model.CertificateExpiring, c.Org, c.ID.String(), once, data, now)
	if err != nil {
		return err
	}
	var made bool
	_, err = w.store.Tx(ctx, "worker:certwatch", func(tx *store.Tx) (err error) {
		made, err = tx.RaiseEvent(ctx, event)
		return err
	})
	if made && err == nil {
		w.log.Warn("certificate comes to its end", "names", c.Names, "not_after", c.NotAfter, "problem", e.LastProblem)
	}
	return err
}
