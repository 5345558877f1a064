package orders

import (
	"context"
	"errors"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// inline is up to how long an order keeps its lease while it waits.
const inline = 5 * time.Second

// outcome is what came of a step.
type outcome struct {
	order model.Order // as it is to be written
	what  string      // the line in the timeline; "": none
	wait  time.Duration
	also  also // nil: nothing
	quiet bool // nothing has changed: nothing to write unless the wait is long

	took time.Duration // until all nodes had the certificate; zero: that is not what has happened
	left int           // nodes that were not waited for any longer
}

// also is what is written in the same transaction, before the order, which it may complete. It may run twice.
type also func(ctx context.Context, tx *store.Tx, o *model.Order) error

// and runs one after the other.
func (a also) and(b also) also {
	if a == nil {
		return b
	}
	return func(ctx context.Context, tx *store.Tx, o *model.Order) error {
		if err := a(ctx, tx, o); err != nil {
			return err
		}
		return b(ctx, tx, o)
	}
}

// carry takes steps of an order until it is over, waits for long, or the lease is lost.
func (w *Worker) carry(ctx context.Context, o *model.Order) {
	log := w.Log.With("order", o.ID.String(), "names", o.Names)
	held, stop := w.hold(ctx, o)
	defer stop()
	defer w.found.Delete(o.ID)
	for {
		if ctx.Err() != nil { // between two steps, so that who comes next need not wait for the lease to end
			w.release(o)
			return
		}
		step := Next(o)
		out, err := w.take(held, o, step)
		if err == nil && out.quiet && out.wait <= inline {
			pause(held, out.wait)
			continue
		}
		if err == nil {
			err = w.write(held, o, &out)
		}
		switch {
		case err != nil && (errors.Is(err, store.ErrLeaseLost) || errors.Is(context.Cause(held), store.ErrLeaseLost)):
			log.Info("order is carried by another replica", "step", step)
			return
		case err != nil:
			if ctx.Err() == nil {
				w.steps.WithLabelValues(string(step), "failed").Inc()
				log.Warn("step of an order not taken", "step", step, "err", err)
			}
			return // the lease ends by itself: what was asked of the authority has arrived by then
		}
		w.steps.WithLabelValues(string(step), "ok").Inc()
		if o.State.Final() {
			w.over(o, &out)
			if o.Class == model.OrderAbandoned || w.dueAgain(ctx, o) {
				w.Replan() // another issuer may be asked, or somebody asked for another certificate meanwhile
			}
			log.Info("order is over", "state", o.State, "problem", o.Problem)
			if out.left > 0 {
				log.Warn("nodes that are connected do not apply a certificate", "cert", o.Certificate.String(), "problem", o.Problem)
			}
			return
		}
		if out.wait > inline {
			return
		}
		pause(held, out.wait)
	}
}

// over counts an order that has come to its end.
func (w *Worker) over(o *model.Order, out *outcome) {
	w.ended.WithLabelValues(string(o.State)).Inc()
	if out.took > 0 {
		w.spread.Observe(out.took.Seconds())
	}
	if out.left > 0 {
		w.forsaken.Inc()
	}
}

// write writes an outcome, and with a long wait gives the lease back. o becomes what was written.
func (w *Worker) write(ctx context.Context, o *model.Order, out *outcome) error {
	now := time.Now()
	out.order.NextAttempt = now.Add(out.wait)
	if out.order.State != o.State {
		out.order.Attempts = 0
	}
	if out.order.State.Final() {
		out.order.Finished = now
	}
	point := string(Next(o)) + ": write " + string(out.order.State)
	w.point(point + " before")
	var written model.Order
	_, err := w.Store.Tx(ctx, actor, func(tx *store.Tx) error {
		written = out.order // fn may run twice
		written.Updated = now
		if out.also != nil {
			if err := out.also(ctx, tx, &written); err != nil {
				return err
			}
		}
		if out.what != "" {
			e := model.OrderEvent{Order: o.ID, At: now, State: written.State, What: out.what, Problem: written.Problem}
			if err := tx.AddOrderEvents(ctx, e); err != nil {
				return err
			}
		}
		return tx.WriteOrder(ctx, &written, out.wait > inline)
	})
	if err != nil {
		return err
	}
	w.point(point + " after")
	*o = written
	if out.wait > inline && w.Alarm != nil {
		if err := w.Alarm.Wake(ctx, o.NextAttempt); err != nil && ctx.Err() == nil {
			w.Log.Warn("nobody is woken for an order", "order", o.ID.String(), "err", err)
		}
	}
	return nil
}

func (w *Worker) point(name string) {
	if w.at != nil {
		w.at(name)
	}
}

// hold keeps the lease by heartbeats. The context that it returns ends when the lease may be lost, early enough
// for the authority to have done by then what it was asked last; by what is in it each request makes sure that the lease is not another's.
func (w *Worker) hold(ctx context.Context, o *model.Order) (context.Context, context.CancelFunc) {
	held, cancel := context.WithCancelCause(context.WithValue(ctx, leaseKey{}, lease{o.ID, o.Fence}))
	safe := w.Lease * 2 / 3
	id, fence := o.ID, o.Fence
	done := make(chan struct{})
	go func() {
		defer close(done)
		alive := time.Now()
		beat := time.NewTicker(w.Lease / 6)
		defer beat.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-beat.C:
			}
			now := time.Now()
			left, end := context.WithDeadline(held, alive.Add(safe))
			err := w.Store.HoldOrder(left, id, fence, w.Lease)
			end()
			if err == nil {
				alive = now
			}
			if errors.Is(err, store.ErrLeaseLost) || time.Since(alive) >= safe {
				cancel(store.ErrLeaseLost)
				return
			}
		}
	}()
	return held, func() { cancel(nil); <-done }
}

// dueAgain reports whether the certificate of an order that is over is due: the planner has passed it over while the
// order was under way.
func (w *Worker) dueAgain(ctx context.Context, o *model.Order) (due bool) {
	_ = w.Store.View(ctx, func(tx *store.Tx) error { // else the planner finds it when it looks again by itself
		m, err := tx.GetManagedCertificate(ctx, o.Managed)
		due = err == nil && m.Wanted && !m.NextAttempt.After(time.Now())
		return err
	})
	return due
}

// release gives the lease back although ctx has ended.
func (w *Worker) release(o *model.Order) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := w.Store.Tx(ctx, actor, func(tx *store.Tx) error { return tx.WriteOrder(ctx, o, true) })
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		w.Log.Info("lease of an order not given back: it ends by itself", "order", o.ID.String(), "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
