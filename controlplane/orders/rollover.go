package orders

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// rollovers carries changes of account keys (RFC 8555 §7.3.5) until ctx ends. The key that is to be is stored before the authority hears
// of it. Whoever takes over where another was killed asks it whose key counts: both are there.
func (w *Worker) rollovers(ctx context.Context) {
	for ctx.Err() == nil {
		var id model.IssuerID
		err := w.tx(ctx, func(tx *store.Tx) (err error) {
			now := time.Now()
			id, err = tx.ClaimRollover(ctx, now, now.Add(w.Lease))
			return err
		})
		if err == nil {
			err = w.rollover(ctx, id)
		}
		if err != nil && fault.Of(err) != fault.NotFound && ctx.Err() == nil {
			w.Log.Warn("account key not changed", "err", err)
		}
		pause(ctx, w.Every)
	}
}

func (w *Worker) tx(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := w.Store.Tx(ctx, actor, fn)
	return err
}

// changing reports whether the key of an issuer's account may be another one in a moment: a change is being asked for, or will be soon. Between two
// attempts that are far apart the key counts that the authority knows. Whose key has changed all the same is refused before anything is looked at.
func (w *Worker) changing(i *model.Issuer, now time.Time) bool {
	return i.SealedPendingKey != nil && i.RolloverNext.Before(now.Add(w.Lease+inline))
}

// rollover takes a step of one.
func (w *Worker) rollover(ctx context.Context, id model.IssuerID) error {
	i, err := w.pendingKey(ctx, id)
	if err != nil {
		return err
	}
	delay := func(d time.Duration, problem string) error {
		return w.tx(ctx, func(tx *store.Tx) error { return tx.DelayRollover(ctx, id, time.Now().Add(d), problem) })
	}
	busy := false
	err = w.Store.View(ctx, func(tx *store.Tx) (err error) { busy, err = tx.HasOrdersInValidation(ctx, id); return err })
	if err != nil {
		return err
	}
	if busy { // their challenges are answered with the old key; none begins to be looked at while it is changing
		return delay(w.Every, "")
	}
	keyPEM, err := w.Sealer.Open(i.SealedPendingKey, id.String())
	if err != nil {
		return delay(time.Hour, words(err))
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return delay(time.Hour, words(err))
	}
	a, err := w.accounts.of(ctx, i)
	if err == nil {
		err = a.ca.Rollover(ctx, key)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		wait := certs.Ladder(3, certs.Random()) // so long that orders go on meanwhile
		if acme.Class(err) == acme.Retry && i.RolloverProblem == "" {
			wait = inline
		}
		return delay(max(wait, time.Until(acme.RetryAfter(err))), words(err))
	}
	w.point("rollover finish before")
	if err := w.tx(ctx, func(tx *store.Tx) error { return tx.FinishRollover(ctx, id, time.Now()) }); err != nil {
		w.accounts.forget(id) // it signs with the new key already, and challenges are answered with the old one
		return err
	}
	w.Log.Info("account key changed", "issuer", i.Name)
	return nil
}

// pendingKey returns an issuer with the key that its account is to have, which is made if there is none.
func (w *Worker) pendingKey(ctx context.Context, id model.IssuerID) (i *model.Issuer, err error) {
	_, keyPEM, err := newKey(model.ECDSA)
	if err != nil {
		return nil, err
	}
	fresh, err := w.Sealer.Seal(keyPEM, id.String())
	if err != nil {
		return nil, err
	}
	err = w.tx(ctx, func(tx *store.Tx) error {
		if err := tx.SetPendingKey(ctx, id, fresh); err != nil {
			return err
		}
		i, err = tx.GetIssuer(ctx, id)
		return err
	})
	w.point("rollover stored")
	if err == nil && i.SealedPendingKey == nil {
		err = fault.New(fault.NotFound, "the rollover is over")
	}
	return i, err
}
