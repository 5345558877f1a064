package signin

import (
	"context"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// WhoIs returns the user who calls the API with a session, if that is good now.
func (s *Service) WhoIs(ctx context.Context, p access.Principal) (w *Who, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		w = new(Who)
		if w.Session, err = tx.GetSession(ctx, p.Session); err != nil {
			return over(err, admin.ErrSession)
		}
		if w.Session.Ended(s.Now()) {
			return admin.ErrSession
		}
		w.User, err = tx.GetUser(ctx, w.Session.User)
		if err == nil && !w.User.Disabled.IsZero() {
			return admin.ErrSession
		}
		return err
	})
	return w, err
}

// RenamePasskey gives one of a user's passkeys another name.
func (s *Service) RenamePasskey(ctx context.Context, w *Who, c Client, id model.PasskeyID, name string) error {
	if err := model.CheckTitle("name", name); err != nil {
		return err
	}
	return s.doing(ctx, w, c, "passkey.rename", func(tx *store.Tx) error { return tx.RenamePasskey(ctx, w.User.ID, id, name) })
}
