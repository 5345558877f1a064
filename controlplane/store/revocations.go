package store

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateRevocation adds a row. Of a certificate that is to be revoked already only a compromised key changes anything.
func (t *Tx) CreateRevocation(ctx context.Context, v *model.Revocation) error {
	_, err := t.q.InsertRevocation(ctx, db.InsertRevocationParams{
		CertificateID: v.Certificate.UUID, OrgID: v.Org.UUID, ManagedID: v.Managed.UUID, IssuerID: v.Issuer.UUID, Leaf: v.Leaf, Reason: int32(v.Reason),
		NotAfter: v.NotAfter, At: v.NextAttempt, AskedBy: v.AskedBy,
	})
	return classify(err, "create revocation")
}

// GetRevocation returns the row of a certificate.
func (t *Tx) GetRevocation(ctx context.Context, id model.CertificateID) (*model.Revocation, error) {
	r, err := t.q.GetRevocation(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "revocation")
	}
	return revocation(r), nil
}

// ListRevocationsOf returns the rows of a managed certificate's certificates, the newest first.
func (t *Tx) ListRevocationsOf(ctx context.Context, id model.ManagedCertificateID, most int) ([]*model.Revocation, error) {
	rows, err := t.q.ListRevocationsOf(ctx, db.ListRevocationsOfParams{ManagedID: id.UUID, Most: int32(most)})
	if err != nil {
		return nil, classify(err, "revocations")
	}
	out := make([]*model.Revocation, len(rows))
	for i, r := range rows {
		out[i] = revocation(r)
	}
	return out, nil
}

// ClaimRevocation returns one that is due, which nobody else asks for until a moment. NotFound: there is none.
func (t *Tx) ClaimRevocation(ctx context.Context, now, until time.Time) (*model.Revocation, error) {
	r, err := t.q.ClaimRevocation(ctx, db.ClaimRevocationParams{Now: now, Until: until})
	if err != nil {
		return nil, classify(err, "revocation")
	}
	return revocation(r), nil
}

// UpdateRevocation writes how one goes on.
func (t *Tx) UpdateRevocation(ctx context.Context, v *model.Revocation) error {
	n, err := t.q.SetRevocation(ctx, db.SetRevocationParams{CertificateID: v.Certificate.UUID, NextAttempt: v.NextAttempt, Problem: v.Problem, RevokedAt: nullTime(v.Revoked)})
	return affected(n, err, "update revocation")
}

// DeleteRevocations forgets those of certificates that ended before a moment.
func (t *Tx) DeleteRevocations(ctx context.Context, before time.Time) error {
	_, err := t.q.DeleteRevocations(ctx, before)
	return classify(err, "delete revocations")
}

// CompromiseKey writes down that others know a key, of which spki is the public half as in certificates (DER).
func (t *Tx) CompromiseKey(ctx context.Context, spki []byte) error {
	sum := sha256.Sum256(spki)
	return classify(t.q.InsertCompromisedKey(ctx, sum[:]), "create compromised key")
}

// KeyCompromised reports whether others know a key.
func (t *Tx) KeyCompromised(ctx context.Context, spki []byte) (bool, error) {
	sum := sha256.Sum256(spki)
	yes, err := t.q.IsCompromisedKey(ctx, sum[:])
	return yes, classify(err, "compromised key")
}

func revocation(r db.Revocation) *model.Revocation {
	return &model.Revocation{
		Certificate: model.CertificateID{UUID: r.CertificateID}, Org: model.OrgID{UUID: r.OrgID}, Managed: model.ManagedCertificateID{UUID: r.ManagedID},
		Issuer: model.IssuerID{UUID: r.IssuerID}, Leaf: r.Leaf, Reason: model.RevocationReason(r.Reason), NotAfter: r.NotAfter, NextAttempt: r.NextAttempt,
		Attempts: int(r.Attempts), Problem: r.Problem, AskedBy: r.AskedBy, Revoked: timeOrZero(r.RevokedAt), Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
