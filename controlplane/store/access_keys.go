package store

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// SetSignInURL writes where browsers sign in, "" for nowhere.
func (t *Tx) SetSignInURL(ctx context.Context, url string) error {
	_, err := t.q.UpdateSignInURL(ctx, url)
	return classify(err, "write the sign-in URL")
}

// LockAccessKeys returns the keys of access tokens, ordered by ID, and lets nobody else change any until the
// transaction ends.
func (t *Tx) LockAccessKeys(ctx context.Context) ([]*model.AccessKey, error) {
	if err := t.q.LockAccessKeys(ctx); err != nil {
		return nil, classify(err, "lock access keys")
	}
	rows, err := t.q.AllAccessKeys(ctx)
	return convert(rows, accessKey), classify(err, "list access keys")
}

// CreateAccessKey adds a row; its ID is the caller's to make.
func (t *Tx) CreateAccessKey(ctx context.Context, v *model.AccessKey) error {
	return classify(t.q.InsertAccessKey(ctx, db.InsertAccessKeyParams{ID: v.ID.UUID, State: string(v.State), PublicKey: v.Public, SealedKey: v.SealedKey}), "create access key")
}

// MoveAccessKey writes the state of a row.
func (t *Tx) MoveAccessKey(ctx context.Context, id model.AccessKeyID, state model.AccessKeyState) error {
	n, err := t.q.UpdateAccessKey(ctx, db.UpdateAccessKeyParams{ID: id.UUID, State: string(state)})
	return affected(n, err, "update access key")
}

// DeleteAccessKey removes a row.
func (t *Tx) DeleteAccessKey(ctx context.Context, id model.AccessKeyID) error {
	n, err := t.q.DeleteAccessKey(ctx, id.UUID)
	return affected(n, err, "delete access key")
}

// Revoke ends what rests on a session, or, if that is empty, what a subject was given until now.
func (t *Tx) Revoke(ctx context.Context, session, subject string) error {
	if session != "" {
		subject = ""
	}
	err := t.q.InsertAccessRevocation(ctx, db.InsertAccessRevocationParams{ID: model.RevocationID{}.New().UUID, Session: session, Subject: subject})
	return classify(err, "revoke")
}

// Stale says that what tokens say of subjects, users or organizations, may not be true any more: who holds one from before
// now has it renewed first. Whoever writes what tokens say keeps new ones from being signed meanwhile: see LockUser and
// LockOrganization.
func (t *Tx) Stale(ctx context.Context, subjects ...string) error {
	if len(subjects) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(subjects))
	for i := range ids {
		ids[i] = model.RevocationID{}.New().UUID
	}
	return classify(t.q.InsertStaleSubjects(ctx, db.InsertStaleSubjectsParams{Ids: ids, Subjects: subjects}), "make stale")
}

// PruneAccess removes revocations from before a moment, codes from before another, and visitors whose time is over.
func (t *Tx) PruneAccess(ctx context.Context, revocations, codes time.Time) (int64, error) {
	total, err := t.q.PruneAccessRevocations(ctx, revocations)
	if err != nil {
		return 0, classify(err, "prune revocations")
	}
	for _, prune := range []func(context.Context, time.Time) (int64, error){t.q.PruneAccessCodes, t.q.PruneMailCodes} {
		n, err := prune(ctx, codes)
		if err != nil {
			return 0, classify(err, "prune codes")
		}
		total += n
	}
	now, err := t.q.Now(ctx)
	if err != nil {
		return 0, classify(err, "prune visitors")
	}
	n, err := t.q.PruneVisitors(ctx, now)
	return total + n, classify(err, "prune visitors")
}

// Now is the time of the database, which all replicas share.
func (t *Tx) Now(ctx context.Context) (time.Time, error) {
	now, err := t.q.Now(ctx)
	return now, classify(err, "read the time")
}

func accessKey(r db.AccessKey) *model.AccessKey {
	return &model.AccessKey{
		ID: model.AccessKeyID{UUID: r.ID}, State: model.AccessKeyState(r.State), Public: ed25519.PublicKey(r.PublicKey), SealedKey: r.SealedKey,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

func accessRevocation(r db.AccessRevocation) *model.AccessRevocation {
	return &model.AccessRevocation{
		ID: model.RevocationID{UUID: r.ID}, Session: r.Session, Subject: r.Subject, Stale: r.Stale, Before: r.Before,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}
