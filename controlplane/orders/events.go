package orders

import (
	"context"
	"errors"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// issued has receivers told of a certificate that is published, once.
func (t *turn) issued(ctx context.Context, tx *store.Tx, c *model.Certificate) error {
	return t.raise(ctx, tx, model.CertificateIssued, c.ID.String(), c.ID.String(), model.CertificateEventData{
		Names: c.Names, Certificate: c.ID.String(), Managed: c.Managed.String(), Order: t.order.ID.String(), NotAfter: &c.NotAfter,
	}, time.Now())
}

// tellFailed has receivers told of an order that came to nothing, once.
func (t *turn) tellFailed(ctx context.Context, tx *store.Tx, class, problem string, next, now time.Time) error {
	return t.raise(ctx, tx, model.CertificateFailed, t.order.Managed.String(), t.order.ID.String(), model.CertificateEventData{
		Names: t.order.Names, Managed: t.order.Managed.String(), Order: t.order.ID.String(), Class: class, Problem: problem, NextAttempt: &next,
	}, now)
}

func (t *turn) raise(ctx context.Context, tx *store.Tx, typ model.EventType, object, once string, data model.CertificateEventData, now time.Time) error {
	e, err := model.NewEvent(typ, t.order.Org, object, once, data, now)
	if err != nil {
		return err
	}
	_, err = tx.RaiseEvent(ctx, e)
	return err
}

// problem counts what speaks against an order.
func (t *turn) problem(err error) {
	if _, ours := errors.AsType[*fault.Error](err); ours || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	label := acme.Label(err)
	if _, refused := errors.AsType[*Refusal](err); refused {
		label = unfit
	}
	t.problems.WithLabelValues(label).Inc()
}
