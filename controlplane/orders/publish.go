package orders

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// publish writes the certificate that nodes are told of, says what it takes the place of, and draws when it is
// renewed, in one revision. The row has had its id since the order was planned, so this happens once.
func (t *turn) publish(ctx context.Context) (outcome, error) {
	l, err := leaf(t.order.ChainPEM)
	if err != nil {
		return outcome{}, err
	}
	life := certs.Lifetime{NotBefore: l.NotBefore.UTC(), NotAfter: l.NotAfter.UTC()}
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
		next := certs.Succeed(*m, c.ID, life, true, time.Now(), random)
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
	if err := tx.SupersedeUnwanted(ctx, now); err != nil {
		return err
	}
	return tx.SupersedeExpired(ctx, now, now.Add(ending))
}

// awaitApply waits until every node that is there has the certificate: until then its predecessor stays.
func (t *turn) awaitApply() (outcome, error) {
	behind := t.Fleet.Behind(t.order.PublishRevision)
	if len(behind) == 0 {
		return t.to(model.OrderAcked, "all nodes have the certificate"), nil
	}
	since := time.Since(t.order.Updated)
	if since < inline {
		return t.again(100 * time.Millisecond), nil
	}
	return t.delayed("nodes", fmt.Sprintf("%d nodes do not have the certificate: %s", len(behind), strings.Join(behind[:min(len(behind), 10)], ", ")), inline+time.Second), nil
}
