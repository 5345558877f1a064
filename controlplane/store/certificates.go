package store

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateCertificate adds a row; its ID is the caller's to make.
func (t *Tx) CreateCertificate(ctx context.Context, v *model.Certificate) error {
	return classify(t.q.InsertCertificate(ctx, db.InsertCertificateParams{
		ID:        v.ID.UUID,
		OrgID:     v.Org.UUID,
		Names:     v.Names,
		ChainPem:  v.ChainPEM,
		SealedKey: v.SealedKey,
		NotBefore: v.NotBefore,
		NotAfter:  v.NotAfter,

		ManagedID: nullID(v.Managed.UUID), IssuerID: nullID(v.Issuer.UUID), Uploaded: v.Uploaded, SupersededBy: nullID(v.SupersededBy.UUID), KeyType: string(v.KeyType),
	}), "create certificate")
}

// UpdateCertificate writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateCertificate(ctx context.Context, v *model.Certificate) (changed bool, err error) {
	old, err := t.GetCertificate(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	same.NotBefore = stored(v.NotBefore)
	same.NotAfter = stored(v.NotAfter)
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateCertificate(ctx, db.UpdateCertificateParams{
		ID:        v.ID.UUID,
		OrgID:     v.Org.UUID,
		Names:     v.Names,
		ChainPem:  v.ChainPEM,
		SealedKey: v.SealedKey,
		NotBefore: v.NotBefore,
		NotAfter:  v.NotAfter,

		ManagedID: nullID(v.Managed.UUID), IssuerID: nullID(v.Issuer.UUID), Uploaded: v.Uploaded, SupersededBy: nullID(v.SupersededBy.UUID), KeyType: string(v.KeyType),
	})
	return true, affected(n, err, "update certificate")
}

// DeleteCertificate removes a row; one that others refer to is a conflict.
func (t *Tx) DeleteCertificate(ctx context.Context, id model.CertificateID) error {
	n, err := t.q.DeleteCertificate(ctx, id.UUID)
	return affected(n, err, "delete certificate")
}

// GetCertificate returns a row by its ID.
func (t *Tx) GetCertificate(ctx context.Context, id model.CertificateID) (*model.Certificate, error) {
	r, err := t.q.GetCertificate(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "certificate")
	}
	return certificate(r), nil
}

// GetCertificates returns the rows of these IDs that are there.
func (t *Tx) GetCertificates(ctx context.Context, ids []model.CertificateID) (map[model.CertificateID]*model.Certificate, error) {
	in := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		in[i] = id.UUID
	}
	rows, err := t.q.GetCertificates(ctx, in)
	out := make(map[model.CertificateID]*model.Certificate, len(rows))
	for _, r := range rows {
		out[model.CertificateID{UUID: r.ID}] = certificate(r)
	}
	return out, classify(err, "list certificates")
}

// ListCertificates returns a page of rows ordered by ID.
func (t *Tx) ListCertificates(ctx context.Context, org model.OrgID, page Page) ([]*model.Certificate, error) {
	rows, err := t.q.ListCertificates(ctx, db.ListCertificatesParams{OrgID: org.UUID, After: page.afterID(), Most: page.limit()})
	return convert(rows, certificate), classify(err, "list certificates")
}

func certificate(r db.Certificate) *model.Certificate {
	return &model.Certificate{
		ID:        model.CertificateID{UUID: r.ID},
		Org:       model.OrgID{UUID: r.OrgID},
		Names:     r.Names,
		ChainPEM:  r.ChainPem,
		SealedKey: r.SealedKey,
		NotBefore: r.NotBefore,
		NotAfter:  r.NotAfter,

		Managed: model.ManagedCertificateID{UUID: idOrZero(r.ManagedID)}, Issuer: model.IssuerID{UUID: idOrZero(r.IssuerID)}, Uploaded: r.Uploaded,
		SupersededBy: model.CertificateID{UUID: idOrZero(r.SupersededBy)}, KeyType: model.KeyType(r.KeyType),

		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

// SupersedeCertificates says of the predecessors of a certificate that it takes their place, and of what the
// cluster's own authority made for names that it carries.
func (t *Tx) SupersedeCertificates(ctx context.Context, id model.CertificateID) error {
	_, err := t.q.SupersedeCertificates(ctx, id.UUID)
	return classify(err, "update certificates")
}

// AdoptCertificates gives what was made for a managed certificate to another one, whose certificate takes its place; zero: it has
// none.
func (t *Tx) AdoptCertificates(ctx context.Context, of, heir model.ManagedCertificateID, by model.CertificateID) error {
	_, err := t.q.AdoptCertificates(ctx, db.AdoptCertificatesParams{ManagedID: &of.UUID, Heir: &heir.UUID, SupersededBy: nullID(by.UUID)})
	return classify(err, "hand over certificates")
}

// SupersedeOwn lets certificates of the cluster's own authority give way to uploaded ones that carry all their names, until
// these end soon.
func (t *Tx) SupersedeOwn(ctx context.Context, now, soon time.Time) error {
	if _, err := t.q.RecallOwn(ctx, soon); err != nil {
		return classify(err, "update certificates")
	}
	_, err := t.q.SupersedeOwn(ctx, db.SupersedeOwnParams{Now: now, Soon: soon})
	return classify(err, "update certificates")
}

// SupersedeUnwanted lets certificates that nobody renews any more give way to those that carry their names instead.
func (t *Tx) SupersedeUnwanted(ctx context.Context, now time.Time) error {
	_, err := t.q.SupersedeUnwanted(ctx, now)
	return classify(err, "update certificates")
}

// SupersedeExpired lets uploaded certificates that end soon give way to those that carry names of theirs for longer.
func (t *Tx) SupersedeExpired(ctx context.Context, now, soon time.Time) error {
	_, err := t.q.SupersedeExpired(ctx, db.SupersedeExpiredParams{Now: now, Soon: soon})
	return classify(err, "update certificates")
}

// SupersededCertificates returns certificates whose successor all nodes have had since a moment.
func (t *Tx) SupersededCertificates(ctx context.Context, before time.Time) ([]model.CertificateID, error) {
	rows, err := t.q.SupersededCertificates(ctx, &before)
	var out []model.CertificateID
	for _, id := range rows {
		out = append(out, model.CertificateID{UUID: id})
	}
	return out, classify(err, "list superseded certificates")
}
