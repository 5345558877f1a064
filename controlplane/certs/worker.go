package certs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// every is how often the worker looks although nothing changed.
const every = 30 * time.Second

// Worker renews certificates, and makes those of services that were written past the API. Several replicas
// may run one: who comes second finds nothing to do.
type Worker struct {
	store  *store.Store
	issuer *Issuer
	world  *model.Current
	log    *slog.Logger
	issued *prometheus.CounterVec
}

// NewWorker makes a Worker; Run does the work.
func NewWorker(s *store.Store, i *Issuer, world *model.Current, log *slog.Logger, reg prometheus.Registerer) *Worker {
	w := &Worker{store: s, issuer: i, world: world, log: log, issued: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_certificates_issued_total", Help: "Certificates made by the worker, by result."}, []string{"result"})}
	reg.MustRegister(w.issued)
	return w
}

// String names the task.
func (w *Worker) String() string { return "certificates" }

// Run looks after every change and every 30 s until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		m := w.world.Get()
		w.look(ctx, m)
		next, cancel := context.WithTimeout(ctx, every)
		_, _ = w.world.Wait(next, m.Revision()+1)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (w *Worker) look(ctx context.Context, m *model.Model) {
	for _, s := range Due(m, time.Now()) {
		_, err := w.store.Tx(ctx, "worker:certificates", func(tx *store.Tx) error { return w.renew(ctx, tx, s.ID) })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.issued.WithLabelValues("failed").Inc()
			w.log.Warn("certificate not made", "service", s.ID.String(), "err", err)
			continue
		}
		w.issued.WithLabelValues("ok").Inc()
		w.log.Info("certificate made", "service", s.ID.String())
	}
}

// renew looks again in the transaction: the service may have changed, or another replica was quicker.
func (w *Worker) renew(ctx context.Context, tx *store.Tx, id model.ServiceID) error {
	s, err := tx.GetService(ctx, id)
	if err != nil {
		return err
	}
	if err := w.issuer.Ensure(ctx, tx, s, time.Now()); err != nil {
		return err
	}
	have, err := tx.ListCertificatesNamed(ctx, s.Org, s.Hostname)
	if err != nil || len(have) == 0 {
		return err
	}
	for _, old := range Superseded(have, time.Now()) {
		if err := tx.DeleteCertificate(ctx, old.ID); err != nil {
			return err
		}
	}
	return nil
}
