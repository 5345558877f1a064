package signin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/signin/totp"
	"github.com/warrenedge/warren/controlplane/store"
)

// Ways of having signed in (RFC 8176 where it has a word).
const (
	amrPassword = "pwd"
	amrCode     = "otp"
	amrKey      = "hwk"
	amrBackup   = "backup"
	amrProvider = "oidc"
)

// account is what a sign-in with a password has to know of a user; the zero value is of nobody.
type account struct {
	user *model.User
	hash string
	app  bool
}

func (s *Service) account(ctx context.Context, email string) (a account, err error) {
	email, err = model.CanonicalEmail(email)
	if err != nil {
		return account{}, nil
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		a = account{}
		u, err := tx.GetUserByEmail(ctx, email)
		if fault.Of(err) == fault.NotFound {
			return nil
		} else if err != nil {
			return err
		}
		if !u.Disabled.IsZero() {
			return nil // as if he were not there
		}
		a.user = u
		if a.hash, err = tx.PasswordHash(ctx, u.ID); err != nil {
			return err
		}
		_, err = tx.GetTOTP(ctx, u.ID)
		a.app = err == nil
		if fault.Of(err) == fault.NotFound {
			return nil
		}
		return err
	})
	return a, err
}

func loginKeys(email string, c Client) []limits.Key {
	if canon, err := model.CanonicalEmail(email); err == nil {
		email = canon
	}
	return []limits.Key{
		limits.NewKey(perAccountAndClient, "login", email, limits.Client(c.Address)),
		limits.NewKey(perAccount, "account", email), limits.NewKey(perClient, "client", limits.Client(c.Address)),
	}
}

// Password signs a user in with his password, or, if he has an authenticator app, goes on to that. Each attempt costs
// one hash, whoever it is for.
func (s *Service) Password(ctx context.Context, c Client, email, text string) (out Outcome, err error) {
	keys := loginKeys(email, c)
	if err := s.take(ctx, keys...); err != nil {
		return out, err
	}
	var a account
	ok, stale, err := s.Hasher.VerifyFound(ctx, text, func() (string, error) {
		a, err = s.account(ctx, email)
		return a.hash, err
	})
	if err != nil {
		return out, err
	}
	if !ok {
		id := model.UserID{}
		if a.user != nil {
			id = a.user.ID
		}
		s.attempt(ctx, "password", id, c, ErrWrong)
		return out, ErrWrong
	}
	if stale {
		s.refresh(ctx, a, text)
	}
	if a.app {
		out.Flow, err = s.begin(ctx, model.FlowSecondFactor, a.user.ID, nil, secondFactorLife)
		return out, err
	}
	out, err = s.session(ctx, c, a.user.ID, []string{amrPassword}, time.Time{}, nil)
	s.attempt(ctx, "password", a.user.ID, c, err)
	if err == nil {
		s.Limiter.Forget(ctx, keys[:2]...)
	}
	return out, err
}

// refresh makes a hash with the parameters of today. That it could not be made or written keeps nobody out.
func (s *Service) refresh(ctx context.Context, a account, text string) {
	hash, err := s.Hasher.Hash(ctx, text)
	if err == nil {
		_, err = s.Store.Tx(ctx, actor(a.user.ID), func(tx *store.Tx) error { return tx.RefreshPassword(ctx, a.user.ID, a.hash, hash) })
	}
	if err != nil {
		s.Log.Warn("password hash not renewed", "err", err)
	}
}

// SecondFactor goes on with a code of the user's app, or one of his backup codes.
func (s *Service) SecondFactor(ctx context.Context, c Client, flow, code string) (Outcome, error) {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return Outcome{}, err
	}
	hash := tokenHash(flow)
	var f *model.Flow
	_, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) (err error) {
		f, err = tx.TryFlow(ctx, hash, model.FlowSecondFactor, codeAttempts, s.Now())
		return err
	})
	if err != nil {
		return Outcome{}, over(err, ErrOver)
	}
	// Beginning again gives other attempts: those of one account are bounded however often that is done.
	if err := s.take(ctx, limits.NewKey(perAccount, "code", f.User.String())); err != nil {
		return Outcome{}, err
	}
	amr := []string{amrPassword, amrCode}
	out, err := s.session(ctx, c, f.User, amr, s.Now(), func(tx *store.Tx) error {
		if _, err := tx.TakeFlow(ctx, hash, model.FlowSecondFactor, s.Now()); err != nil {
			return over(err, ErrOver)
		}
		way, err := s.useCode(ctx, tx, f.User, code)
		amr[1] = way
		return err
	})
	s.attempt(ctx, "code", f.User, c, err)
	if err == nil {
		s.Limiter.Forget(ctx, limits.NewKey(perAccount, "code", f.User.String()))
	}
	return out, err
}

// useCode uses a code up, in a transaction that nobody else's use of a code of this user can be beside.
func (s *Service) useCode(ctx context.Context, tx *store.Tx, u model.UserID, code string) (way string, err error) {
	v, err := tx.LockTOTP(ctx, u)
	if err != nil {
		return "", over(err, ErrCode)
	}
	if v.Confirmed.IsZero() {
		return "", ErrCode
	}
	if !totp.IsCode(code) {
		used, err := tx.UseBackupCode(ctx, u, totp.BackupHash(u.String(), code))
		if err == nil && !used {
			err = ErrCode
		}
		return amrBackup, err
	}
	secret, err := s.Sealer.Open(v.SealedSecret, model.TOTPRow(u))
	if err != nil {
		return "", err
	}
	step, ok := totp.Verify(secret, code, s.Now(), v.LastStep)
	if !ok {
		return "", ErrCode
	}
	return amrCode, tx.UseTOTP(ctx, u, step, s.Now())
}

// session begins a session after before has checked what is to be checked in the same transaction.
func (s *Service) session(ctx context.Context, c Client, u model.UserID, amr []string, second time.Time, before func(*store.Tx) error) (out Outcome, err error) {
	_, err = s.Store.Tx(ctx, actor(u), func(tx *store.Tx) error {
		if before != nil {
			if err := before(tx); err != nil {
				return err
			}
		}
		return s.newSession(ctx, tx, c, u, amr, second, &out)
	})
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}

func (s *Service) newSession(ctx context.Context, tx *store.Tx, c Client, u model.UserID, amr []string, second time.Time, out *Outcome) error {
	token, v, err := s.Admin.NewSession(ctx, tx, admin.SignIn{User: u, Address: c.Address, UserAgent: c.UserAgent, AMR: amr, SecondFactor: second})
	if err != nil {
		return err
	}
	out.Token, out.Expires = token, v.Expires
	return nil
}

// newHash checks and hashes a password that somebody has chosen.
func (s *Service) newHash(ctx context.Context, text string, about ...string) (string, error) {
	if err := password.Check("password", text, about...); err != nil {
		return "", err
	}
	return s.Hasher.Hash(ctx, text)
}
