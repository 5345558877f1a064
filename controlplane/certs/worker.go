package certs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	every  = 30 * time.Second // how often the worker looks although nothing changed
	breath = time.Second      // at least, between two looks: each reads all services
)

// Worker renews certificates of the cluster's own authority, and makes those of services that were written past the API. Several replicas
// may run one: who comes second finds nothing to do.
type Worker struct {
	store  *store.Store
	issuer *Issuer
	world  *model.Current
	log    *slog.Logger
	done   *prometheus.CounterVec
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, i *Issuer, world *model.Current, log *slog.Logger, reg prometheus.Registerer) *Worker {
	w := &Worker{store: s, issuer: i, world: world, log: log, done: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_certificate_steps_total", Help: "Certificates made or removed by the worker, by result."}, []string{"step", "result"})}
	reg.MustRegister(w.done)
	return w
}

// String names the task.
func (w *Worker) String() string { return "certificates" }

// Run looks after every change, once a second at most, and every 30 s until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		w.look(ctx, m, time.Now())
		pause(ctx, breath)
		next, cancel := context.WithTimeout(ctx, every)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (w *Worker) look(ctx context.Context, m *model.Model, now time.Time) {
	ordered, err := w.ordered(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("certificates not looked at", "err", err)
		}
		return
	}
	for _, s := range Due(m, ordered, now) {
		w.do(ctx, "made", s.Hostname, func(tx *store.Tx) error { return w.renew(ctx, tx, s.ID, now) })
	}
	for _, c := range Superseded(m, now) {
		w.do(ctx, "removed", c.Names[0], func(tx *store.Tx) error { return fault.Ignore(tx.DeleteCertificate(ctx, c.ID), fault.NotFound) })
	}
}

// ordered reports whether authorities are asked for certificates.
func (w *Worker) ordered(ctx context.Context) (yes bool, err error) {
	err = w.store.View(ctx, func(tx *store.Tx) (err error) {
		yes, err = tx.HasIssuers(ctx)
		return err
	})
	return yes, err
}

// do runs one step in a transaction of its own: one that fails leaves the others alone.
func (w *Worker) do(ctx context.Context, what, hostname string, step func(*store.Tx) error) {
	if ctx.Err() != nil {
		return
	}
	rev, err := w.store.Tx(ctx, "worker:certificates", step)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.done.WithLabelValues(what, "failed").Inc()
		w.log.Warn("certificate not "+what, "hostname", hostname, "err", err)
	case rev > 0: // else another replica was quicker
		w.done.WithLabelValues(what, "ok").Inc()
		w.log.Info("certificate "+what, "hostname", hostname, "rev", rev)
	}
}

// renew looks again in the transaction: the service may have changed, or another replica was quicker.
func (w *Worker) renew(ctx context.Context, tx *store.Tx, id model.ServiceID, now time.Time) error {
	s, err := tx.GetService(ctx, id)
	if err != nil {
		return fault.Ignore(err, fault.NotFound)
	}
	return w.issuer.Ensure(ctx, tx, s, now)
}
