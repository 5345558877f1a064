package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// PasswordHash returns the hash of a user's password, "" if he has none.
func (t *Tx) PasswordHash(ctx context.Context, u model.UserID) (string, error) {
	hash, err := t.q.GetUserPassword(ctx, u.UUID)
	if err = classify(err, "password"); fault.Of(err) == fault.NotFound {
		return "", nil
	}
	return hash, err
}

// SetPassword writes the hash of a user's password.
func (t *Tx) SetPassword(ctx context.Context, u model.UserID, hash string) error {
	return classify(t.q.PutUserPassword(ctx, db.PutUserPasswordParams{UserID: u.UUID, Hash: hash}), "write password")
}

// RefreshPassword replaces a hash by another one of the same password, if it is still there.
func (t *Tx) RefreshPassword(ctx context.Context, u model.UserID, old, hash string) error {
	_, err := t.q.ReplaceUserPassword(ctx, db.ReplaceUserPasswordParams{UserID: u.UUID, Old: old, Hash: hash})
	return classify(err, "write password")
}

// GetTOTP returns a user's app; one that was never confirmed is NotFound like none.
func (t *Tx) GetTOTP(ctx context.Context, u model.UserID) (*model.TOTP, error) {
	r, err := t.q.GetUserTOTP(ctx, u.UUID)
	if err != nil {
		return nil, classify(err, "authenticator app")
	}
	if r.ConfirmedAt == nil {
		return nil, missing("authenticator app")
	}
	return totp(db.LockUserTOTPRow(r)), nil
}

// LockTOTP returns a user's app, confirmed or not, and lets nobody else use it until the transaction ends.
func (t *Tx) LockTOTP(ctx context.Context, u model.UserID) (*model.TOTP, error) {
	r, err := t.q.LockUserTOTP(ctx, u.UUID)
	if err != nil {
		return nil, classify(err, "authenticator app")
	}
	return totp(r), nil
}

func totp(r db.LockUserTOTPRow) *model.TOTP {
	return &model.TOTP{User: model.UserID{UUID: r.UserID}, SealedSecret: r.SealedSecret, Confirmed: timeOrZero(r.ConfirmedAt), LastStep: r.LastStep}
}

// PutTOTP writes the secret of an app that is to be confirmed. One that is confirmed stays.
func (t *Tx) PutTOTP(ctx context.Context, u model.UserID, sealed []byte) error {
	return classify(t.q.PutUserTOTP(ctx, db.PutUserTOTPParams{UserID: u.UUID, SealedSecret: sealed}), "write authenticator app")
}

// UseTOTP writes which code was used last; the first confirms the app.
func (t *Tx) UseTOTP(ctx context.Context, u model.UserID, step int64, now time.Time) error {
	return classify(t.q.UseUserTOTP(ctx, db.UseUserTOTPParams{UserID: u.UUID, LastStep: step, Now: &now}), "write authenticator app")
}

// DeleteTOTP removes a user's app with his backup codes.
func (t *Tx) DeleteTOTP(ctx context.Context, u model.UserID) error {
	if err := t.q.DeleteUserBackupCodes(ctx, u.UUID); err != nil {
		return classify(err, "delete backup codes")
	}
	return classify(t.q.DeleteUserTOTP(ctx, u.UUID), "delete authenticator app")
}

// SetBackupCodes replaces a user's backup codes by others, of which these are the hashes.
func (t *Tx) SetBackupCodes(ctx context.Context, u model.UserID, hashes [][]byte) error {
	return classify(t.q.PutUserBackupCodes(ctx, db.PutUserBackupCodesParams{UserID: u.UUID, Hashes: hashes}), "write backup codes")
}

// UseBackupCode removes a code and reports whether it was there.
func (t *Tx) UseBackupCode(ctx context.Context, u model.UserID, hash []byte) (bool, error) {
	n, err := t.q.UseUserBackupCode(ctx, db.UseUserBackupCodeParams{UserID: u.UUID, Hash: hash})
	return n == 1, classify(err, "backup code")
}

// CountBackupCodes returns how many a user has left.
func (t *Tx) CountBackupCodes(ctx context.Context, u model.UserID) (int, error) {
	n, err := t.q.CountUserBackupCodes(ctx, u.UUID)
	return int(n), classify(err, "backup codes")
}

// CreatePasskey adds a row; its ID is the caller's to make.
func (t *Tx) CreatePasskey(ctx context.Context, v *model.Passkey) error {
	return classify(t.q.InsertUserPasskey(ctx, db.InsertUserPasskeyParams{
		ID: v.ID.UUID, UserID: v.User.UUID, CredentialID: v.Credential, Name: v.Name, Record: v.Record,
	}), "create passkey")
}

// ListPasskeys returns all of a user's passkeys, by age.
func (t *Tx) ListPasskeys(ctx context.Context, u model.UserID) ([]*model.Passkey, error) {
	rows, err := t.q.ListUserPasskeys(ctx, u.UUID)
	return convert(rows, func(r db.ListUserPasskeysRow) *model.Passkey {
		return &model.Passkey{
			ID: model.PasskeyID{UUID: r.ID}, User: model.UserID{UUID: r.UserID}, Credential: r.CredentialID, Name: r.Name, Record: r.Record,
			Used: timeOrZero(r.UsedAt), Created: r.CreatedAt,
		}
	}), classify(err, "list passkeys")
}

// UsePasskey writes what is to be known of a passkey after it was used.
func (t *Tx) UsePasskey(ctx context.Context, u model.UserID, credential, record []byte, now time.Time) error {
	n, err := t.q.UseUserPasskey(ctx, db.UseUserPasskeyParams{UserID: u.UUID, CredentialID: credential, Record: record, Now: &now})
	return affected(n, err, "update passkey")
}

// RenamePasskey writes the name of one of a user's passkeys.
func (t *Tx) RenamePasskey(ctx context.Context, u model.UserID, id model.PasskeyID, name string) error {
	n, err := t.q.RenameUserPasskey(ctx, db.RenameUserPasskeyParams{ID: id.UUID, UserID: u.UUID, Name: name})
	return affected(n, err, "passkey")
}

// DeletePasskey removes one of a user's passkeys.
func (t *Tx) DeletePasskey(ctx context.Context, u model.UserID, id model.PasskeyID) error {
	n, err := t.q.DeleteUserPasskey(ctx, db.DeleteUserPasskeyParams{ID: id.UUID, UserID: u.UUID})
	return affected(n, err, "delete passkey")
}

// CreateFlow adds what is under way, under the SHA-256 of its token.
func (t *Tx) CreateFlow(ctx context.Context, hash []byte, f *model.Flow) error {
	return classify(t.q.InsertSigninFlow(ctx, db.InsertSigninFlowParams{
		Hash: hash, Kind: string(f.Kind), UserID: nullID(f.User.UUID), Data: notNil(f.Data), ExpiresAt: f.Expires,
	}), "create flow")
}

// GetFlow returns what is under way, if it is not over.
func (t *Tx) GetFlow(ctx context.Context, hash []byte, kind model.FlowKind, now time.Time) (*model.Flow, error) {
	r, err := t.q.GetSigninFlow(ctx, db.GetSigninFlowParams{Hash: hash, Kind: string(kind), Now: now})
	return flow(db.TakeSigninFlowRow(r), err)
}

// TryFlow counts an attempt, and returns what is under way if that was not one too many.
func (t *Tx) TryFlow(ctx context.Context, hash []byte, kind model.FlowKind, most int, now time.Time) (*model.Flow, error) {
	r, err := t.q.TrySigninFlow(ctx, db.TrySigninFlowParams{Hash: hash, Kind: string(kind), Most: int32(most), Now: now})
	return flow(db.TakeSigninFlowRow(r), err)
}

// TakeFlow returns what is under way and ends it: of two who come with the same token, one gets it.
func (t *Tx) TakeFlow(ctx context.Context, hash []byte, kind model.FlowKind, now time.Time) (*model.Flow, error) {
	r, err := t.q.TakeSigninFlow(ctx, db.TakeSigninFlowParams{Hash: hash, Kind: string(kind), Now: now})
	return flow(db.TakeSigninFlowRow(r), err)
}

func flow(r db.TakeSigninFlowRow, err error) (*model.Flow, error) {
	if err != nil {
		return nil, classify(err, "flow")
	}
	return &model.Flow{Kind: model.FlowKind(r.Kind), User: model.UserID{UUID: idOrZero(r.UserID)}, Data: r.Data, Attempts: int(r.Attempts), Expires: r.ExpiresAt}, nil
}

// DropFlows ends all of a kind that are of a user, or, if that is zero, of nobody.
func (t *Tx) DropFlows(ctx context.Context, kind model.FlowKind, u model.UserID) error {
	return classify(t.q.DropSigninFlows(ctx, db.DropSigninFlowsParams{Kind: string(kind), UserID: nullID(u.UUID)}), "delete flows")
}

// CountAdministrators returns how many users are administrators of the cluster.
func (t *Tx) CountAdministrators(ctx context.Context) (int, error) {
	id := model.RoleClusterAdmin.UUID
	n, err := t.q.CountAdministrators(ctx, &id)
	return int(n), classify(err, "count administrators")
}

// CreateDeviceLogin adds a row; its ID is the caller's to make.
func (t *Tx) CreateDeviceLogin(ctx context.Context, v *model.DeviceLogin) error {
	return classify(t.q.InsertDeviceLogin(ctx, db.InsertDeviceLoginParams{
		ID: v.ID.UUID, Hash: v.Hash, UserCode: v.UserCode, Client: v.Client, Address: nullAddr(v.Address), ExpiresAt: v.Expires,
	}), "create device login")
}

// CountDeviceLogins returns how many wait.
func (t *Tx) CountDeviceLogins(ctx context.Context, now time.Time) (int, error) {
	n, err := t.q.CountDeviceLogins(ctx, now)
	return int(n), classify(err, "device logins")
}

// GetDeviceLogin returns one that waits for an answer, by the code that a user types.
func (t *Tx) GetDeviceLogin(ctx context.Context, userCode string, now time.Time) (*model.DeviceLogin, error) {
	r, err := t.q.GetDeviceLoginByCode(ctx, db.GetDeviceLoginByCodeParams{UserCode: userCode, Now: now})
	if err != nil {
		return nil, classify(err, "device login")
	}
	return &model.DeviceLogin{ID: model.DeviceLoginID{UUID: r.ID}, UserCode: userCode, Client: r.Client, Address: addrOrZero(r.Address), Created: r.CreatedAt}, nil
}

// AnswerDeviceLogin writes who has approved a login, or that it is denied. It is answered once.
func (t *Tx) AnswerDeviceLogin(ctx context.Context, v *model.DeviceLogin, now time.Time) error {
	n, err := t.q.AnswerDeviceLogin(ctx, db.AnswerDeviceLoginParams{
		ID: v.ID.UUID, UserID: nullID(v.User.UUID), Amr: notNil(v.AMR), SecondFactorAt: nullTime(v.SecondFactor), Denied: v.Denied, Now: now,
	})
	return affected(n, err, "answer device login")
}

// PollDeviceLogin returns a login by the SHA-256 of the code that its device keeps, with when that last asked.
func (t *Tx) PollDeviceLogin(ctx context.Context, hash []byte, now time.Time) (*model.DeviceLogin, error) {
	r, err := t.q.PollDeviceLogin(ctx, db.PollDeviceLoginParams{Hash: hash, Now: &now})
	if err != nil {
		return nil, classify(err, "device login")
	}
	return &model.DeviceLogin{
		ID: model.DeviceLoginID{UUID: r.ID}, Hash: hash, Client: r.Client, User: model.UserID{UUID: idOrZero(r.UserID)}, AMR: orNil(r.Amr),
		SecondFactor: timeOrZero(r.SecondFactorAt), Denied: r.Denied, Polled: timeOrZero(r.BeforeAt), Expires: r.ExpiresAt,
	}, nil
}

// DeleteDeviceLogin removes a login: of two who ask at once, one gets what it is for.
func (t *Tx) DeleteDeviceLogin(ctx context.Context, id model.DeviceLoginID) error {
	n, err := t.q.DeleteDeviceLogin(ctx, id.UUID)
	return affected(n, err, "delete device login")
}

// PruneSignIn removes what is under way no more, and invitations that are over.
func (t *Tx) PruneSignIn(ctx context.Context, now time.Time) (int64, error) {
	var sum int64
	for _, prune := range []func(context.Context, time.Time) (int64, error){t.q.PruneSigninFlows, t.q.PruneDeviceLogins, t.q.PruneInvitations} {
		n, err := prune(ctx, now)
		if err != nil {
			return sum, classify(err, "prune sign-in")
		}
		sum += n
	}
	return sum, nil
}
