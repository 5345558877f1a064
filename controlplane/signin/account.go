package signin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/passkey"
	"github.com/warrenedge/warren/controlplane/signin/totp"
	"github.com/warrenedge/warren/controlplane/store"
)

// recent is how long after a sign-in a user who has no password may change what he signs in with.
const recent = 10 * time.Minute

// Overview is what a user signs in with, and where he is signed in.
type Overview struct {
	Password    bool
	App         bool
	BackupCodes int // left
	Passkeys    []*model.Passkey
	Identities  []model.Identity
	Sessions    []*model.Session
	Wanted      bool // an organization of his wants a second factor, and this session has none
}

// Overview returns what there is to see on a user's own page.
func (s *Service) Overview(ctx context.Context, w *Who) (o Overview, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		o = Overview{}
		hash, err := tx.PasswordHash(ctx, w.User.ID)
		if err != nil {
			return err
		}
		o.Password = hash != ""
		if _, err = tx.GetTOTP(ctx, w.User.ID); err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		o.App = err == nil
		if o.BackupCodes, err = tx.CountBackupCodes(ctx, w.User.ID); err != nil {
			return err
		}
		if o.Passkeys, err = tx.ListPasskeys(ctx, w.User.ID); err != nil {
			return err
		}
		if o.Identities, err = tx.ListIdentities(ctx, w.User.ID); err != nil {
			return err
		}
		all, err := tx.ListSessions(ctx, w.User.ID)
		if err != nil {
			return err
		}
		o.Sessions = slices.DeleteFunc(all, func(v *model.Session) bool { return v.Ended(s.Now()) })
		rules, err := tx.SecurityOfUser(ctx, w.User.ID)
		for _, r := range rules {
			o.Wanted = o.Wanted || r.RequireSecondFactor && w.Session.SecondFactor.IsZero()
		}
		return err
	})
	return o, err
}

// himself makes sure that it is the user who wants to change what he signs in with, and nobody who found his browser
// open: by his password, or, if he has none, by having signed in just now.
func (s *Service) himself(ctx context.Context, w *Who, c Client, text string) error {
	var hash string
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		hash, err = tx.PasswordHash(ctx, w.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	if hash == "" {
		if s.Now().Sub(w.Session.Created) < recent {
			return nil
		}
		return fault.New(fault.Denied, "sign in anew first: this changes what you sign in with")
	}
	key := limits.NewKey(perAccountAndClient, "himself", w.User.ID.String())
	if err := s.take(ctx, key); err != nil {
		return err
	}
	ok, _, err := s.Hasher.Verify(ctx, hash, text)
	if err != nil {
		return err
	}
	if !ok {
		s.tell(ctx, Event{Action: "password.ask", User: w.User.ID, Client: c, Refused: "wrong password"})
		return ErrSelf
	}
	s.Limiter.Forget(ctx, key)
	return nil
}

// Confirm makes sure that it is the user who asks for what outlives his session, such as a key of his own.
func (s *Service) Confirm(ctx context.Context, w *Who, c Client, text string) error {
	return s.himself(ctx, w, c, text)
}

// ChangePassword gives a user another password and ends his other sessions. The session gets another token.
func (s *Service) ChangePassword(ctx context.Context, w *Who, c Client, old, text string) (token string, err error) {
	if err := s.himself(ctx, w, c, old); err != nil {
		return "", err
	}
	hash, err := s.newHash(ctx, text, w.User.Email, w.User.Name)
	if err != nil {
		return "", err
	}
	return s.renewing(ctx, w, c, "password.change", w.Session.AMR, w.Session.SecondFactor, func(tx *store.Tx) error {
		return s.replacePassword(ctx, tx, w.User.ID, hash, w.Session.ID)
	})
}

// renewing does something that changes what a session is worth, and gives it another token.
func (s *Service) renewing(ctx context.Context, w *Who, c Client, action string, amr []string, second time.Time, do func(*store.Tx) error) (token string, err error) {
	_, err = s.Store.Tx(ctx, actor(w.User.ID), func(tx *store.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		token, err = s.Admin.RenewSession(ctx, tx, w.Session.ID, amr, second)
		return err
	})
	e := Event{Action: action, User: w.User.ID, Client: c}
	if err != nil {
		e.Refused = fault.Of(err).String()
	}
	s.tell(ctx, e)
	return token, err
}

// doing does something to a user's account.
func (s *Service) doing(ctx context.Context, w *Who, c Client, action string, do func(*store.Tx) error) error {
	_, err := s.Store.Tx(ctx, actor(w.User.ID), do)
	e := Event{Action: action, User: w.User.ID, Client: c}
	if err != nil {
		e.Refused = fault.Of(err).String()
	}
	s.tell(ctx, e)
	return err
}

// BeginApp makes the secret of an authenticator app. It counts for nothing until FinishApp.
func (s *Service) BeginApp(ctx context.Context, w *Who, c Client, text string) error {
	if err := s.himself(ctx, w, c, text); err != nil {
		return err
	}
	sealed, err := s.Sealer.Seal(totp.NewSecret(), model.TOTPRow(w.User.ID))
	if err != nil {
		return err
	}
	return s.doing(ctx, w, c, "app.begin", func(tx *store.Tx) error { return tx.PutTOTP(ctx, w.User.ID, sealed) })
}

// App returns what an app is told that is to be confirmed: as text, and for a QR code.
func (s *Service) App(ctx context.Context, w *Who) (text, uri string, err error) {
	var v *model.TOTP
	_, err = s.Store.Tx(ctx, actor(w.User.ID), func(tx *store.Tx) (err error) {
		v, err = tx.LockTOTP(ctx, w.User.ID)
		return err
	})
	if err != nil {
		return "", "", over(err, ErrOver)
	}
	if !v.Confirmed.IsZero() {
		return "", "", fault.New(fault.Conflict, "there is an authenticator app already")
	}
	secret, err := s.Sealer.Open(v.SealedSecret, model.TOTPRow(w.User.ID))
	if err != nil {
		return "", "", err
	}
	return totp.Text(secret), totp.URI(secret, "Warren "+s.URL.Host, w.User.Email), nil
}

// FinishApp takes the first code of an app. It returns the backup codes, once, and the session's new token: from now on
// it has a second factor.
func (s *Service) FinishApp(ctx context.Context, w *Who, c Client, code string) (token string, codes []string, err error) {
	if err := s.take(ctx, limits.NewKey(perAccountAndClient, "himself", w.User.ID.String())); err != nil {
		return "", nil, err
	}
	codes, hashes := totp.NewBackupCodes(w.User.ID.String())
	token, err = s.renewing(ctx, w, c, "app.add", append(slices.Clone(w.Session.AMR), amrCode), s.Now(), func(tx *store.Tx) error {
		v, err := tx.LockTOTP(ctx, w.User.ID)
		if err != nil {
			return over(err, ErrOver)
		}
		if !v.Confirmed.IsZero() {
			return fault.New(fault.Conflict, "there is an authenticator app already")
		}
		secret, err := s.Sealer.Open(v.SealedSecret, model.TOTPRow(w.User.ID))
		if err != nil {
			return err
		}
		step, ok := totp.Verify(secret, code, s.Now(), v.LastStep)
		if !ok {
			return fault.Field("code", "it is wrong: look whether the clock of your device is right")
		}
		return errors.Join(tx.UseTOTP(ctx, w.User.ID, step, s.Now()), tx.SetBackupCodes(ctx, w.User.ID, hashes))
	})
	if err != nil {
		return "", nil, err
	}
	return token, codes, nil
}

// RemoveApp removes the authenticator app with the backup codes.
func (s *Service) RemoveApp(ctx context.Context, w *Who, c Client, text string) error {
	if err := s.himself(ctx, w, c, text); err != nil {
		return err
	}
	return s.doing(ctx, w, c, "app.remove", func(tx *store.Tx) error { return tx.DeleteTOTP(ctx, w.User.ID) })
}

// NewBackupCodes replaces the backup codes.
func (s *Service) NewBackupCodes(ctx context.Context, w *Who, c Client, text string) ([]string, error) {
	if err := s.himself(ctx, w, c, text); err != nil {
		return nil, err
	}
	codes, hashes := totp.NewBackupCodes(w.User.ID.String())
	err := s.doing(ctx, w, c, "backup-codes.new", func(tx *store.Tx) error {
		if _, err := tx.GetTOTP(ctx, w.User.ID); err != nil {
			return err
		}
		return tx.SetBackupCodes(ctx, w.User.ID, hashes)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// EndSession ends one of the user's sessions; EndOthers ends all but the one he is in.
func (s *Service) EndSession(ctx context.Context, w *Who, c Client, id model.SessionID) error {
	return s.doing(ctx, w, c, "session.end", func(tx *store.Tx) error {
		v, err := tx.GetSession(ctx, id)
		if err != nil {
			return err
		}
		if v.User != w.User.ID {
			return fault.New(fault.NotFound, "no such session")
		}
		return s.Admin.EndSession(ctx, tx, v)
	})
}

// EndOthers ends all sessions of a user but the one he is in.
func (s *Service) EndOthers(ctx context.Context, w *Who, c Client) error {
	return s.doing(ctx, w, c, "session.end-others", func(tx *store.Tx) error { return s.Admin.EndSessions(ctx, tx, w.User.ID, w.Session.ID) })
}

func passkeyUser(u *model.User, keys []*model.Passkey) passkey.User {
	out := passkey.User{Handle: u.ID.UUID[:], Email: u.Email, Name: u.Name}
	for _, k := range keys {
		out.Keys = append(out.Keys, passkey.Key{ID: k.Credential, Record: k.Record})
	}
	return out
}
