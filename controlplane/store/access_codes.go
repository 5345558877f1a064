package store

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// AccessCode is what a code lets in: one session, in one browser, to one host.
type AccessCode struct {
	Host, Binding string
	Session       uuid.UUID // a user's, or, with Mail, that of who was mailed a code
	Mail          string
}

// CreateAccessCode keeps what a code stands for.
func (t *Tx) CreateAccessCode(ctx context.Context, code string, v AccessCode) error {
	hash := sha256.Sum256([]byte(code))
	return classify(t.q.InsertAccessCode(ctx, db.InsertAccessCodeParams{
		Hash: hash[:], Host: v.Host, Binding: v.Binding, SessionID: v.Session, Mail: v.Mail,
	}), "create access code")
}

// TakeAccessCode returns what a code stands for, once. Good is false if it is older than life.
func (t *Tx) TakeAccessCode(ctx context.Context, code string, life time.Duration) (v AccessCode, good bool, err error) {
	hash := sha256.Sum256([]byte(code))
	r, err := t.q.TakeAccessCode(ctx, db.TakeAccessCodeParams{Hash: hash[:], Life: interval(life)})
	if err != nil {
		return AccessCode{}, false, classify(err, "access code")
	}
	return AccessCode{Host: r.Host, Binding: r.Binding, Session: r.SessionID, Mail: r.Mail}, r.Good, nil
}

// MailCode is a one-time code that was mailed.
type MailCode struct {
	ID                  model.MailCodeID
	Hash                []byte // SHA-256 of id and code
	Mail, Host, Binding string
	Tries               int // this one included
	Good                bool
}

// CreateMailCode keeps a code that is to be mailed.
func (t *Tx) CreateMailCode(ctx context.Context, v *MailCode) error {
	return classify(t.q.InsertMailCode(ctx, db.InsertMailCodeParams{ID: v.ID.UUID, Hash: v.Hash, Mail: v.Mail, Host: v.Host, Binding: v.Binding}), "create mail code")
}

// TryMailCode counts an attempt at a code and returns it. Good is false if it is older than life.
func (t *Tx) TryMailCode(ctx context.Context, id model.MailCodeID, life time.Duration) (*MailCode, error) {
	r, err := t.q.TryMailCode(ctx, db.TryMailCodeParams{ID: id.UUID, Life: interval(life)})
	if err != nil {
		return nil, classify(err, "mail code")
	}
	return &MailCode{ID: id, Hash: r.Hash, Mail: r.Mail, Host: r.Host, Binding: r.Binding, Tries: int(r.Tries), Good: r.Good}, nil
}

// DeleteMailCode removes a code, which need not be there.
func (t *Tx) DeleteMailCode(ctx context.Context, id model.MailCodeID) error {
	return classify(t.q.DeleteMailCode(ctx, id.UUID), "delete mail code")
}

func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}
