package signin

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/passkey"
	"github.com/warrenedge/warren/controlplane/store"
)

// Passkeys reports whether there are any here.
func (s *Service) Passkeys() bool { return s.passkeys != nil }

// BeginPasskey asks a browser for any passkey that it has for us.
func (s *Service) BeginPasskey(ctx context.Context, c Client) (options []byte, flow string, err error) {
	if s.passkeys == nil {
		return nil, "", ErrPasskeys
	}
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return nil, "", err
	}
	options, state, err := s.passkeys.BeginSignIn()
	if err != nil {
		return nil, "", err
	}
	flow, err = s.begin(ctx, model.FlowPasskey, model.UserID{}, state, passkey.Life)
	return options, flow, err
}

// Passkey signs a user in with what a browser said. A passkey is two factors: the device, and who it looked at.
func (s *Service) Passkey(ctx context.Context, c Client, flow string, said []byte) (out Outcome, err error) {
	if s.passkeys == nil {
		return out, ErrPasskeys
	}
	var f *model.Flow
	if _, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) (err error) {
		f, err = tx.TakeFlow(ctx, tokenHash(flow), model.FlowPasskey, s.Now())
		return err
	}); err != nil {
		return out, over(err, ErrOver)
	}
	var u *model.User
	key, err := s.passkeys.FinishSignIn(passkey.State(f.Data), said, func(handle []byte) (passkey.User, error) {
		id, err := uuid.FromBytes(handle)
		if err != nil {
			return passkey.User{}, passkey.ErrRefused
		}
		var keys []*model.Passkey
		err = s.Store.View(ctx, func(tx *store.Tx) error {
			if u, err = tx.GetUser(ctx, model.UserID{UUID: id}); err != nil {
				return err
			}
			keys, err = tx.ListPasskeys(ctx, u.ID)
			return err
		})
		if err != nil {
			return passkey.User{}, err
		}
		return passkeyUser(u, keys), nil
	})
	var id model.UserID
	if u != nil {
		id = u.ID
	}
	if err == nil {
		out, err = s.session(ctx, c, id, []string{amrKey}, s.Now(), func(tx *store.Tx) error {
			return tx.UsePasskey(ctx, id, key.ID, key.Record, s.Now())
		})
	}
	s.attempt(ctx, "passkey", id, c, err)
	return out, err
}

// BeginNewPasskey asks a browser to make a passkey.
func (s *Service) BeginNewPasskey(ctx context.Context, w *Who, c Client, text string) (options []byte, flow string, err error) {
	if s.passkeys == nil {
		return nil, "", ErrPasskeys
	}
	if err := s.himself(ctx, w, c, text); err != nil {
		return nil, "", err
	}
	var keys []*model.Passkey
	if err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		keys, err = tx.ListPasskeys(ctx, w.User.ID)
		return err
	}); err != nil {
		return nil, "", err
	}
	if len(keys) >= model.MaxPasskeys {
		return nil, "", fault.New(fault.Conflict, "%d passkeys are enough: remove one first", len(keys))
	}
	options, state, err := s.passkeys.BeginRegistration(passkeyUser(w.User, keys))
	if err != nil {
		return nil, "", err
	}
	flow, err = s.begin(ctx, model.FlowNewPasskey, w.User.ID, state, passkey.Life)
	return options, flow, err
}

// NewPasskey keeps the passkey that a browser has made. The session has a second factor from now on, and another token.
func (s *Service) NewPasskey(ctx context.Context, w *Who, c Client, flow, name string, said []byte) (token string, err error) {
	if s.passkeys == nil {
		return "", ErrPasskeys
	}
	if err := model.CheckTitle("name", name); err != nil {
		return "", err
	}
	amr := slices.Clone(w.Session.AMR)
	if !slices.Contains(amr, amrKey) {
		amr = append(amr, amrKey)
	}
	return s.renewing(ctx, w, c, "passkey.add", amr, s.Now(), func(tx *store.Tx) error {
		f, err := tx.TakeFlow(ctx, tokenHash(flow), model.FlowNewPasskey, s.Now())
		if err != nil {
			return over(err, ErrOver)
		}
		if f.User != w.User.ID {
			return ErrOver
		}
		if err := tx.LockUser(ctx, w.User.ID); err != nil {
			return err
		}
		keys, err := tx.ListPasskeys(ctx, w.User.ID)
		if err != nil {
			return err
		}
		key, err := s.passkeys.FinishRegistration(passkeyUser(w.User, keys), passkey.State(f.Data), said)
		if err != nil {
			return err
		}
		return tx.CreatePasskey(ctx, &model.Passkey{ID: model.PasskeyID{}.New(), User: w.User.ID, Credential: key.ID, Name: name, Record: key.Record})
	})
}

// RemovePasskey removes one of a user's passkeys.
func (s *Service) RemovePasskey(ctx context.Context, w *Who, c Client, text string, id model.PasskeyID) error {
	if err := s.himself(ctx, w, c, text); err != nil {
		return err
	}
	return s.doing(ctx, w, c, "passkey.remove", func(tx *store.Tx) error { return tx.DeletePasskey(ctx, w.User.ID, id) })
}
