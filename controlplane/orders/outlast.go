package orders

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// outlasts returns the certificate that stays although the order has come to one, which ends sooner; nil: the new one takes its place. It stays
// while nothing but impatience speaks against it: it is not due, neither revoked nor to be, and nobody wants another kind, or one of another issuer.
func (t *turn) outlasts(ctx context.Context, tx *store.Tx, m *model.ManagedCertificate, ends, now time.Time) (*model.Certificate, error) {
	if m.Certificate.IsZero() || !m.Wanted || !now.Before(m.RenewAt) {
		return nil, nil
	}
	c, err := tx.GetCertificate(ctx, m.Certificate)
	if err != nil {
		return nil, fault.Ignore(err, fault.NotFound)
	}
	if !c.NotAfter.After(ends) || !c.SupersededBy.IsZero() || c.KeyType != t.order.KeyType || !slices.Equal(c.Names, t.order.Names) {
		return nil, nil
	}
	if _, err := tx.GetRevocation(ctx, c.ID); fault.Of(err) != fault.NotFound {
		return nil, err
	}
	made, err := tx.GetOrderOfCertificate(ctx, c.ID)
	if err != nil {
		return nil, fault.Ignore(err, fault.NotFound) // what it was ordered as is not known any more
	}
	all, err := tx.ListIssuers(ctx)
	if err != nil || t.wantedElse(m, c, made, all) {
		return nil, err
	}
	return c, nil
}

// wantedElse reports whether a certificate is to be of another issuer or profile than it is. That the order's issuer only stands in does not count,
// whether or not the certificate's own does so, too.
func (t *turn) wantedElse(m *model.ManagedCertificate, c *model.Certificate, made *model.Order, all []*model.Issuer) bool {
	if c.Issuer == t.order.Issuer {
		return made.Profile != t.order.Profile
	}
	own := slices.IndexFunc(all, func(i *model.Issuer) bool { return i.ID == c.Issuer })
	first := certs.Choice(m, all, endOfTime)
	if own < 0 || first == nil || first.ID == t.order.Issuer || certs.Choice(m, all[own:own+1], endOfTime) == nil {
		return true
	}
	word := asCalled(m, all[own])
	return word != "" && word != made.Profile
}

// asCalled is an issuer's word for the profile that a certificate is to have; "": whatever is usual there.
func asCalled(m *model.ManagedCertificate, i *model.Issuer) string {
	if word, ok := i.Profiles[m.Profile]; ok {
		return word
	}
	return m.Profile
}

// otherKind reports whether somebody has asked for a certificate of another kind since the order was planned: what it has come to is not what is
// wanted, and the next attempt is the one that was asked for.
func (t *turn) otherKind(ctx context.Context, tx *store.Tx, m *model.ManagedCertificate) (bool, error) {
	if !m.NextAttempt.After(t.order.Created) || m.NextAttempt.Equal(m.RenewAt) {
		return false, nil
	}
	if m.KeyType != t.order.KeyType || !m.Issuer.IsZero() && m.Issuer != t.order.Issuer {
		return true, nil
	}
	i, err := tx.GetIssuer(ctx, t.order.Issuer)
	if err != nil {
		return false, fault.Ignore(err, fault.NotFound)
	}
	if word := asCalled(m, i); word != "" {
		return word != t.order.Profile, nil
	}
	for ours, theirs := range i.Profiles {
		if ours != "" && theirs == t.order.Profile {
			return true, nil
		}
	}
	return false, nil
}

// leaveBe is the outcome of a certificate being better than the one that the order has come to, which is not used. The next attempt is the
// renewal of the one that stays.
func (t *turn) leaveBe(stays *model.Certificate, ends time.Time) outcome {
	why := fmt.Sprintf("not used: it ends at %s, before the certificate that is there (%s) and need not be renewed yet", ends.Format(time.RFC3339), stays.NotAfter.UTC().Format(time.RFC3339))
	out := t.to(model.OrderFailed, model.OrderAbandoned)
	out.order.Class, out.order.Problem = model.OrderAbandoned, why
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		now := time.Now()
		m, err := t.cleared(ctx, tx, now)
		if err != nil {
			return err
		}
		if c, err := t.outlasts(ctx, tx, m, ends, now); err != nil {
			return err
		} else if c == nil { // since it was looked at it is not to stay any more: the step is taken again
			return fault.New(fault.Conflict, "%s is to be replaced by now", stays.ID)
		}
		if again, err := t.otherKind(ctx, tx, m); err != nil {
			return err
		} else if !again {
			m.NextAttempt = m.RenewAt
		}
		m.LadderStep, m.LastProblem, m.FailingSince = 0, why, time.Time{}
		return tx.UpdateManagedCertificate(ctx, m)
	}
	return out
}
