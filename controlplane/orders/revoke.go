package orders

import (
	"context"
	"crypto"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// revocations asks authorities to revoke what is to be revoked (RFC 8555 §7.6) until ctx ends. Asking twice is no harm: what is revoked
// already counts as done.
func (w *Worker) revocations(ctx context.Context) {
	for ctx.Err() == nil {
		var r *model.Revocation
		err := w.tx(ctx, func(tx *store.Tx) (err error) {
			now := time.Now()
			r, err = tx.ClaimRevocation(ctx, now, now.Add(w.Lease))
			return err
		})
		if err == nil {
			err = w.revoke(ctx, r)
		} else if fault.Of(err) == fault.NotFound {
			pause(ctx, w.Every)
			continue
		}
		if err != nil && fault.Of(err) != fault.NotFound && ctx.Err() == nil {
			w.Log.Warn("certificate not revoked", "err", err)
			pause(ctx, w.Every)
		}
	}
}

// revoke takes one as far as it comes now.
func (w *Worker) revoke(ctx context.Context, r *model.Revocation) error {
	var i *model.Issuer
	why := ""
	err := w.Store.View(ctx, func(tx *store.Tx) (err error) {
		if i, err = tx.GetIssuer(ctx, r.Issuer); err == nil && r.Reason != model.KeyCompromise {
			why, err = unreplaced(ctx, tx, r)
		}
		return err
	})
	if err != nil {
		return err
	}
	now := time.Now()
	if until := later(i.PausedUntil, w.pauses.get(i.ID)); why == "" && until.After(now) {
		r.NextAttempt = until
		return w.tx(ctx, func(tx *store.Tx) error { return tx.UpdateRevocation(ctx, r) })
	}
	if why != "" {
		r.Problem, r.NextAttempt = why, now.Add(inline)
		return w.tx(ctx, func(tx *store.Tx) error { return tx.UpdateRevocation(ctx, r) })
	}
	a, err := w.accounts.of(ctx, i)
	if err == nil {
		err = a.ca.Revoke(ctx, r.Leaf, int(r.Reason))
	}
	if k := acme.Class(err); err != nil && a != nil && r.Reason == model.KeyCompromise && (k == acme.Refused || k == acme.AccountUnusable) {
		if key := w.keyOf(ctx, r); key != nil { // whoever has the key may: the account is another one by now
			err = a.ca.RevokeWithKey(ctx, r.Leaf, int(r.Reason), key)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	now = time.Now()
	if err != nil {
		wait := certs.Ladder(r.Attempts, certs.Random())
		if acme.Class(err) == acme.Retry {
			wait = backoff(r.Attempts, certs.Random())
		}
		r.Problem, r.NextAttempt = words(err), later(now.Add(wait), acme.RetryAfter(err))
	} else {
		r.Problem, r.Revoked = "", now
		w.Log.Info("certificate revoked", "cert", r.Certificate.String(), "issuer", i.Name, "reason", int(r.Reason))
	}
	return w.tx(ctx, func(tx *store.Tx) error { return tx.UpdateRevocation(ctx, r) })
}

// unreplaced says why a certificate has to stay good: what takes its place is not on all nodes yet. "": it need not.
func unreplaced(ctx context.Context, tx *store.Tx, r *model.Revocation) (string, error) {
	m, err := tx.GetManagedCertificate(ctx, r.Managed)
	if err != nil || !m.Wanted {
		return "", fault.Ignore(err, fault.NotFound)
	}
	if m.Certificate != r.Certificate {
		o, err := tx.GetOrderOfCertificate(ctx, m.Certificate)
		if fault.Of(err) == fault.NotFound || err == nil && o.State == model.OrderAcked { // an order goes when it has been over for long
			return "", nil
		}
		return "nodes do not have the certificate yet that takes its place", err
	}
	if m.LastProblem != "" {
		return "another certificate has to take its place first: " + m.LastProblem, nil
	}
	return "another certificate has to take its place first", nil
}

// keyOf opens the private key of a certificate; nil if it is not there.
func (w *Worker) keyOf(ctx context.Context, r *model.Revocation) crypto.Signer {
	var c *model.Certificate
	err := w.Store.View(ctx, func(tx *store.Tx) (err error) { c, err = tx.GetCertificate(ctx, r.Certificate); return err })
	if err != nil {
		return nil
	}
	keyPEM, err := w.Sealer.Open(c.SealedKey, c.ID.String())
	if err != nil {
		return nil
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil
	}
	return key
}
