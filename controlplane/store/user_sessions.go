package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateSession adds a row; its ID is the caller's to make.
func (t *Tx) CreateSession(ctx context.Context, v *model.Session) error {
	return classify(t.q.InsertUserSession(ctx, db.InsertUserSessionParams{
		ID: v.ID.UUID, UserID: v.User.UUID, Hash: v.Hash, Address: nullAddr(v.Address), UserAgent: v.UserAgent, Amr: notNil(v.AMR),
		SecondFactorAt: nullTime(v.SecondFactor), SeenAt: v.Seen, ExpiresAt: v.Expires,
	}), "create session")
}

// GetSession returns a row by its ID.
func (t *Tx) GetSession(ctx context.Context, id model.SessionID) (*model.Session, error) {
	r, err := t.q.GetUserSession(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "session")
	}
	return session(r), nil
}

// GetSessionByHash returns a row by the SHA-256 of its token.
func (t *Tx) GetSessionByHash(ctx context.Context, hash []byte) (*model.Session, error) {
	r, err := t.q.GetUserSessionByHash(ctx, hash)
	if err != nil {
		return nil, classify(err, "session")
	}
	return session(r), nil
}

// ListSessions returns all rows of a user, those that are over as well, by age.
func (t *Tx) ListSessions(ctx context.Context, user model.UserID) ([]*model.Session, error) {
	rows, err := t.q.ListUserSessions(ctx, user.UUID)
	return convert(rows, session), classify(err, "list sessions")
}

// TouchSession writes when and from where a session was last used, unless somebody else is at it.
func (t *Tx) TouchSession(ctx context.Context, id model.SessionID, seen time.Time, from netip.Addr) error {
	return classify(t.q.TouchUserSession(ctx, db.TouchUserSessionParams{ID: id.UUID, SeenAt: seen, Address: nullAddr(from)}), "session")
}

// RenewSession gives a session another token and another way of having signed in: the token before is worth nothing.
func (t *Tx) RenewSession(ctx context.Context, v *model.Session) error {
	n, err := t.q.RenewUserSession(ctx, db.RenewUserSessionParams{ID: v.ID.UUID, Hash: v.Hash, Amr: notNil(v.AMR), SecondFactorAt: nullTime(v.SecondFactor), SeenAt: v.Seen})
	return affected(n, err, "update session")
}

// DeleteSession ends a session.
func (t *Tx) DeleteSession(ctx context.Context, id model.SessionID) error {
	n, err := t.q.DeleteUserSession(ctx, id.UUID)
	return affected(n, err, "delete session")
}

// DeleteSessions ends all sessions of a user but one, which may be zero, and returns those that it ended.
func (t *Tx) DeleteSessions(ctx context.Context, user model.UserID, but model.SessionID) ([]model.SessionID, error) {
	ids, err := t.q.DeleteUserSessions(ctx, db.DeleteUserSessionsParams{UserID: user.UUID, But: but.UUID})
	return idsFrom[model.SessionID](ids), classify(err, "delete sessions")
}

// PruneSessions removes the rows of sessions that are over.
func (t *Tx) PruneSessions(ctx context.Context, now time.Time) (int64, error) {
	n, err := t.q.PruneUserSessions(ctx, db.PruneUserSessionsParams{Now: now, IdleSince: now.Add(-model.SessionIdle)})
	return n, classify(err, "prune sessions")
}

func session(r db.UserSession) *model.Session {
	return &model.Session{
		ID: model.SessionID{UUID: r.ID}, User: model.UserID{UUID: r.UserID}, Hash: r.Hash, Address: addrOrZero(r.Address), UserAgent: r.UserAgent, AMR: orNil(r.Amr),
		SecondFactor: timeOrZero(r.SecondFactorAt), Seen: r.SeenAt, Expires: r.ExpiresAt, Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

func nullAddr(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	a = a.Unmap().WithZone("")
	return &a
}

func addrOrZero(a *netip.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	return *a
}

func accountID(id *uuid.UUID) model.AccountID { return model.AccountID{UUID: idOrZero(id)} }
