package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateManagedCertificate adds a row; its ID is the caller's to make. One of the same organization, names and
// type of key that is there already is wanted again.
func (t *Tx) CreateManagedCertificate(ctx context.Context, v *model.ManagedCertificate) error {
	return classify(t.q.InsertManagedCertificate(ctx, db.InsertManagedCertificateParams{
		ID: v.ID.UUID, OrgID: v.Org.UUID, Names: v.Names, KeyType: string(v.KeyType), Profile: v.Profile, IssuerID: nullID(v.Issuer.UUID), NextAttempt: v.NextAttempt,
	}), "create managed certificate")
}

// CreateManagedCertificates is CreateManagedCertificate for many that nobody has chosen profile or issuer of. Those of an organization that is gone
// are left out.
func (t *Tx) CreateManagedCertificates(ctx context.Context, all []*model.ManagedCertificate) error {
	var in db.InsertManagedCertificatesParams
	byName := func(a, b *model.ManagedCertificate) int {
		return cmp.Or(slices.Compare(a.Names, b.Names), bytes.Compare(a.Org.UUID[:], b.Org.UUID[:]))
	}
	for _, v := range slices.SortedFunc(slices.Values(all), byName) { // as in CreateOrders
		in.Ids, in.OrgIds, in.Names = append(in.Ids, v.ID.UUID), append(in.OrgIds, v.Org.UUID), append(in.Names, strings.Join(v.Names, " "))
		in.KeyTypes, in.NextAttempts = append(in.KeyTypes, string(v.KeyType)), append(in.NextAttempts, v.NextAttempt)
	}
	return classify(t.q.InsertManagedCertificates(ctx, in), "create managed certificate")
}

// DeleteUnused removes managed certificates that nobody has needed since a moment, and that never came to anything.
func (t *Tx) DeleteUnused(ctx context.Context, before time.Time) error {
	_, err := t.q.DeleteUnused(ctx, before)
	return classify(err, "delete managed certificates")
}

// UpdateManagedCertificate writes all of a row but what makes it the one it is: organization, names, type of key.
func (t *Tx) UpdateManagedCertificate(ctx context.Context, v *model.ManagedCertificate) error {
	n, err := t.q.UpdateManagedCertificate(ctx, db.UpdateManagedCertificateParams{
		ID: v.ID.UUID, Profile: v.Profile, IssuerID: nullID(v.Issuer.UUID), Wanted: v.Wanted, CertificateID: nullID(v.Certificate.UUID), RenewAt: nullTime(v.RenewAt),
		AriStart: nullTime(v.ARIStart), AriEnd: nullTime(v.ARIEnd), AriPollAt: nullTime(v.ARIPollAt), NextAttempt: v.NextAttempt, LadderStep: int32(v.LadderStep),
		LastProblem: v.LastProblem, FailingSince: nullTime(v.FailingSince), Held: heldJSON(v.Held),
	})
	return affected(n, err, "update managed certificate")
}

// DeleteManagedCertificate removes a row with its orders. Its certificates stay.
func (t *Tx) DeleteManagedCertificate(ctx context.Context, id model.ManagedCertificateID) error {
	n, err := t.q.DeleteManagedCertificate(ctx, id.UUID)
	return affected(n, err, "delete managed certificate")
}

// GetManagedCertificate returns a row by its ID.
func (t *Tx) GetManagedCertificate(ctx context.Context, id model.ManagedCertificateID) (*model.ManagedCertificate, error) {
	r, err := t.q.GetManagedCertificate(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "managed certificate")
	}
	return managedCertificate(r), nil
}

// LockManagedCertificate returns a row and lets nobody else write it until the transaction ends.
func (t *Tx) LockManagedCertificate(ctx context.Context, id model.ManagedCertificateID) (*model.ManagedCertificate, error) {
	r, err := t.q.LockManagedCertificate(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "managed certificate")
	}
	return managedCertificate(r), nil
}

// AllManagedCertificates returns all rows, ordered by ID.
func (t *Tx) AllManagedCertificates(ctx context.Context) ([]*model.ManagedCertificate, error) {
	rows, err := t.q.AllManagedCertificates(ctx)
	return convert(rows, managedCertificate), classify(err, "list managed certificates")
}

// ListManagedCertificates returns a page of rows ordered by ID.
func (t *Tx) ListManagedCertificates(ctx context.Context, org model.OrgID, page Page) ([]*model.ManagedCertificate, error) {
	rows, err := t.q.ListManagedCertificates(ctx, db.ListManagedCertificatesParams{OrgID: org.UUID, After: page.afterID(), Most: page.limit()})
	return convert(rows, managedCertificate), classify(err, "list managed certificates")
}

// Due is a managed certificate whose attempt is due, with the end of the certificate that there is.
type Due struct {
	*model.ManagedCertificate
	Expires time.Time // zero: there is none
}

// ListManagedProblems returns what is wanted within an apex and could not be had last.
func (t *Tx) ListManagedProblems(ctx context.Context, org model.OrgID, apex string, most int) ([]*model.ManagedCertificate, error) {
	rows, err := t.q.ListManagedProblems(ctx, db.ListManagedProblemsParams{OrgID: org.UUID, Apex: apex, Most: int32(most)})
	return convert(rows, managedCertificate), classify(err, "list managed certificates")
}

// DueManagedCertificates returns what is to be ordered and has no order under way, the soonest to expire first.
func (t *Tx) DueManagedCertificates(ctx context.Context, now time.Time, most int) ([]Due, error) {
	rows, err := t.q.DueManagedCertificates(ctx, db.DueManagedCertificatesParams{Now: now, Most: int32(most)})
	out := make([]Due, len(rows))
	for i, r := range rows {
		out[i] = Due{managedCertificate(db.ManagedCertificate{
			ID: r.ID, OrgID: r.OrgID, Names: r.Names, KeyType: r.KeyType, Profile: r.Profile, IssuerID: r.IssuerID, Wanted: r.Wanted, CertificateID: r.CertificateID,
			RenewAt: r.RenewAt, AriStart: r.AriStart, AriEnd: r.AriEnd, AriPollAt: r.AriPollAt, NextAttempt: r.NextAttempt, LadderStep: r.LadderStep,
			LastProblem: r.LastProblem, FailingSince: r.FailingSince, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Held: r.Held,
		}), timeOrZero(r.NotAfter)}
	}
	return out, classify(err, "list due certificates")
}

// ManagedCertificatesToPoll returns those whose renewal information is to be asked for.
func (t *Tx) ManagedCertificatesToPoll(ctx context.Context, now time.Time, most int) ([]*model.ManagedCertificate, error) {
	rows, err := t.q.ManagedCertificatesToPoll(ctx, db.ManagedCertificatesToPollParams{Now: &now, Most: int32(most)})
	return convert(rows, managedCertificate), classify(err, "list certificates to poll")
}

// ResetLadder lets what has failed below an apex be tried again at once, and its domain be asked about: its owner has
// changed something.
func (t *Tx) ResetLadder(ctx context.Context, org model.OrgID, apex string, now time.Time) error {
	_, err := t.q.ResetLadder(ctx, db.ResetLadderParams{OrgID: org.UUID, Apex: apex, At: now})
	if err != nil {
		return classify(err, "reset attempts")
	}
	return t.RecheckDomains(ctx, org, []string{apex}, now)
}

func heldJSON(m map[model.IssuerID]model.Hold) []byte {
	if len(m) == 0 {
		return []byte("{}")
	}
	b, _ := json.Marshal(m) // texts and times only: it can't fail
	return b
}

func managedCertificate(r db.ManagedCertificate) *model.ManagedCertificate {
	v := &model.ManagedCertificate{
		ID: model.ManagedCertificateID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Names: r.Names, KeyType: model.KeyType(r.KeyType), Profile: r.Profile,
		Issuer: model.IssuerID{UUID: idOrZero(r.IssuerID)}, Wanted: r.Wanted, Certificate: model.CertificateID{UUID: idOrZero(r.CertificateID)},
		RenewAt: timeOrZero(r.RenewAt), ARIStart: timeOrZero(r.AriStart), ARIEnd: timeOrZero(r.AriEnd), ARIPollAt: timeOrZero(r.AriPollAt),
		NextAttempt: r.NextAttempt, LadderStep: int(r.LadderStep), LastProblem: r.LastProblem, FailingSince: timeOrZero(r.FailingSince),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	if json.Unmarshal(r.Held, &v.Held) != nil || len(v.Held) == 0 { // what somebody wrote by hand and can't be read counts as nothing
		v.Held = nil
	}
	return v
}

// FindManagedCertificates returns those of an organization that carry a canonical pattern; what services need
// comes first.
func (t *Tx) FindManagedCertificates(ctx context.Context, org model.OrgID, name string) ([]*model.ManagedCertificate, error) {
	rows, err := t.q.FindManagedCertificates(ctx, db.FindManagedCertificatesParams{OrgID: org.UUID, Name: name})
	return convert(rows, managedCertificate), classify(err, "find managed certificates")
}

// ConfigureManagedCertificate writes type of key, profile and issuer, and makes the certificate due now.
func (t *Tx) ConfigureManagedCertificate(ctx context.Context, v *model.ManagedCertificate, now time.Time) error {
	n, err := t.q.ConfigureManagedCertificate(ctx, db.ConfigureManagedCertificateParams{
		ID: v.ID.UUID, KeyType: string(v.KeyType), Profile: v.Profile, IssuerID: nullID(v.Issuer.UUID), At: now,
	})
	return affected(n, err, "update managed certificate")
}
