package orders

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// publish writes the certificate that nodes are told of, says what it takes the place of, and draws when it is
// renewed, in one revision. The row has had its id since the order was planned, so this happens once. One that would take the place of a better
// one is not published.
func (t *turn) publish(ctx context.Context) (outcome, error) {
	l, err := leaf(t.order.ChainPEM)
	if err != nil {
		return outcome{}, err
	}
	life := certs.Lifetime{NotBefore: l.NotBefore.UTC(), NotAfter: l.NotAfter.UTC()}
	var stays *model.Certificate
	err = t.Store.View(ctx, func(tx *store.Tx) error {
		m, err := tx.GetManagedCertificate(ctx, t.order.Managed)
		if err == nil {
			stays, err = t.outlasts(ctx, tx, m, life.NotAfter, time.Now())
		}
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	if stays != nil {
		return t.leaveBe(stays, life.NotAfter), nil
	}
	out := t.to(model.OrderPublished, "published, valid until "+life.NotAfter.Format(time.RFC3339))
	out.order.ChainPEM = nil // it is where it belongs
	random := certs.Random()
	out.also = func(ctx context.Context, tx *store.Tx, o *model.Order) error {
		m, err := tx.LockManagedCertificate(ctx, t.order.Managed)
		if err != nil {
			return err
		}
		c := &model.Certificate{
			ID: t.order.Certificate, Org: t.order.Org, Names: t.order.Names, ChainPEM: t.order.ChainPEM, SealedKey: t.order.SealedKey,
			NotBefore: life.NotBefore, NotAfter: life.NotAfter, Managed: t.order.Managed, Issuer: t.order.Issuer, KeyType: t.order.KeyType,
		}
		if err := tx.CreateCertificate(ctx, c); err != nil {
			return err
		}
		if err := tx.SupersedeCertificates(ctx, c.ID); err != nil {
			return err
		}
		again, err := t.otherKind(ctx, tx, m)
		if err != nil {
			return err
		}
		next := certs.Succeed(*m, c.ID, life, true, time.Now(), random)
		if again {
			next.NextAttempt = m.NextAttempt
		}
		if err := tx.UpdateManagedCertificate(ctx, &next); err != nil {
			return err
		}
		if err := superseded(ctx, tx, time.Now()); err != nil {
			return err
		}
		if err := t.issued(ctx, tx, c); err != nil {
			return err
		}
		rev, err := tx.Stamp(ctx)
		o.PublishRevision = rev
		return err
	}
	return out, nil
}

// ending is how long before its end an uploaded certificate gives way to another one: upkeep comes each minute, and nodes apply what it says
// in seconds.
const ending = 5 * time.Minute

// superseded lets certificates that nobody renews give way to others of their names.
func superseded(ctx context.Context, tx *store.Tx, now time.Time) error {
	if err := tx.SupersedeOwn(ctx, now, now.Add(ending)); err != nil {
		return err
	}
	if err := tx.SupersedeUnwanted(ctx, now); err != nil {
		return err
	}
	return tx.SupersedeExpired(ctx, now, now.Add(ending))
}

// mostBehind is how long a certificate waits for nodes that are there and do not apply it: then something is wrong with them, and neither the
// next renewal nor a revocation shall wait for its repair.
const mostBehind = time.Hour

// awaitApply waits until every node that is there has the certificate: until then its predecessor stays.
func (t *turn) awaitApply(ctx context.Context) (outcome, error) {
	behind := t.Fleet.Behind(t.order.PublishRevision)
	if len(behind) > 0 && time.Since(t.order.Updated) < inline {
		return t.again(100 * time.Millisecond), nil
	}
	var c *model.Certificate
	err := t.Store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.GetCertificate(ctx, t.order.Certificate)
		return err
	})
	if err != nil && fault.Of(err) != fault.NotFound {
		return outcome{}, err
	}
	var since time.Duration // none: somebody has removed it meanwhile
	if err == nil {
		since = time.Since(c.Created)
	}
	return t.applied(behind, since), nil
}

// applied is the outcome of some nodes being behind so long after the certificate was published.
func (t *turn) applied(behind []string, since time.Duration) outcome {
	if len(behind) == 0 {
		out := t.to(model.OrderAcked, "all nodes have the certificate")
		out.took = since
		return out
	}
	problem := fmt.Sprintf("%d nodes do not have the certificate: %s", len(behind), strings.Join(behind[:min(len(behind), 10)], ", "))
	if since < mostBehind {
		return t.delayed("nodes", problem, inline+time.Second)
	}
	out := t.to(model.OrderAcked, "nodes that do not apply the certificate are not waited for any longer")
	out.order.Class, out.order.Problem, out.left = "nodes", problem, len(behind)
	return out
}
