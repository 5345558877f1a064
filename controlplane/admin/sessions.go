package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// SignIn is that a user has shown who he is.
type SignIn struct {
	User         model.UserID
	Address      netip.Addr
	UserAgent    string
	AMR          []string      // how (RFC 8176)
	SecondFactor time.Time     // when he showed one; zero: he did not
	Life         time.Duration // the session's, whatever happens; zero, or more than model.SessionLife: that
}

// NewSession begins a session in a transaction of the caller, who has checked the user and his secrets in it. The
// token is shown once. A user who is disabled gets none.
func (a *Admin) NewSession(ctx context.Context, tx *store.Tx, s SignIn) (token string, v *model.Session, err error) {
	if err := tx.ShareUser(ctx, s.User); err != nil { // who disables him ends this session as well, or is before us
		return "", nil, err
	}
	u, err := tx.GetUser(ctx, s.User)
	if err != nil {
		return "", nil, err
	}
	if !u.Disabled.IsZero() {
		return "", nil, ErrSession
	}
	life := s.Life
	if life <= 0 || life > model.SessionLife {
		life = model.SessionLife
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	v = &model.Session{
		ID: model.SessionID{}.New(), User: u.ID, Address: s.Address, UserAgent: cut(s.UserAgent, model.MaxUserAgent), AMR: s.AMR, SecondFactor: s.SecondFactor,
		Seen: now, Expires: now.Add(life),
	}
	token, v.Hash = newSessionToken()
	tx.Audit(Actor(access.Principal{Session: v.ID, User: u.ID, Name: u.Email, Address: s.Address}).With("session.begin", v.ID.String(), strings.Join(s.AMR, " ")))
	return token, v, tx.CreateSession(ctx, v)
}

// RenewSession gives a session another token, in a transaction of the caller, because the user has shown more of
// himself, or is another one to the organization than he was: whoever knows the token before has nothing.
func (a *Admin) RenewSession(ctx context.Context, tx *store.Tx, id model.SessionID, amr []string, secondFactor time.Time) (token string, err error) {
	v, err := tx.GetSession(ctx, id)
	if err != nil {
		return "", err
	}
	v.AMR, v.SecondFactor, v.Seen = amr, secondFactor, time.Now().UTC()
	token, v.Hash = newSessionToken()
	return token, tx.RenewSession(ctx, v)
}

func newSessionToken() (token string, hash []byte) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails since Go 1.24
	sum := sha256.Sum256(secret)
	return sessionPrefix + base64.RawURLEncoding.EncodeToString(secret), sum[:]
}

// SessionHash is what a session's row keeps of its token.
func SessionHash(token string) ([]byte, error) {
	text, ok := strings.CutPrefix(token, sessionPrefix)
	if !ok || len(text) > 64 {
		return nil, errors.New("no session")
	}
	secret, err := parseSecret(text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(secret)
	return sum[:], nil
}

// FindSession returns the session of a token with its user, if both are good now: nothing that was known a moment
// ago counts.
func (a *Admin) FindSession(ctx context.Context, token string) (v *model.Session, u *model.User, err error) {
	hash, err := SessionHash(token)
	if err != nil {
		return nil, nil, ErrSession
	}
	err = a.store.View(ctx, func(tx *store.Tx) error {
		if v, err = tx.GetSessionByHash(ctx, hash); err != nil {
			return err
		}
		if v.Ended(time.Now()) {
			return ErrSession
		}
		u, _, err = userGrants(ctx, tx, v.User)
		return err
	})
	return v, u, err
}

// EndSession ends a session in a transaction of the caller.
func (a *Admin) EndSession(ctx context.Context, tx *store.Tx, v *model.Session) error {
	if err := tx.DeleteSession(ctx, v.ID); err != nil {
		return err
	}
	return a.ended(ctx, tx, v.User, v.ID)
}

// EndSessions ends all sessions of a user but one, which may be zero, in a transaction of the caller.
func (a *Admin) EndSessions(ctx context.Context, tx *store.Tx, user model.UserID, but model.SessionID) error {
	ids, err := tx.DeleteSessions(ctx, user, but)
	if err != nil || len(ids) == 0 {
		return err
	}
	return a.ended(ctx, tx, user, ids...)
}

// ended is called in the transaction in which sessions end, or, without any, all that was given to a user.
func (a *Admin) ended(ctx context.Context, tx *store.Tx, user model.UserID, sessions ...model.SessionID) error {
	if a.Ended == nil {
		return nil
	}
	return a.Ended(ctx, tx, user, sessions)
}

// Restated is called in the transaction in which roles, groups or names of users change.
func (a *Admin) Restated(ctx context.Context, tx *store.Tx, org model.OrgID, users ...model.UserID) error {
	if a.Changed == nil || len(users) == 0 {
		return nil
	}
	return a.Changed(ctx, tx, org, users)
}

// cut shortens a text of strangers to what may be stored.
func cut(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most])
}
