package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
)

// Account is what the API needs to let a user change what he signs in with.
type Account interface {
	WhoIs(ctx context.Context, p access.Principal) (*signin.Who, error)
	Overview(ctx context.Context, w *signin.Who) (signin.Overview, error)
	ChangePassword(ctx context.Context, w *signin.Who, c signin.Client, old, text string) (token string, err error)
	BeginApp(ctx context.Context, w *signin.Who, c signin.Client, text string) error
	App(ctx context.Context, w *signin.Who) (text, uri string, err error)
	FinishApp(ctx context.Context, w *signin.Who, c signin.Client, code string) (token string, codes []string, err error)
	RemoveApp(ctx context.Context, w *signin.Who, c signin.Client, text string) error
	NewBackupCodes(ctx context.Context, w *signin.Who, c signin.Client, text string) ([]string, error)
	BeginNewPasskey(ctx context.Context, w *signin.Who, c signin.Client, text string) (options []byte, flow string, err error)
	NewPasskey(ctx context.Context, w *signin.Who, c signin.Client, flow, name string, said []byte) (token string, err error)
	RenamePasskey(ctx context.Context, w *signin.Who, c signin.Client, id model.PasskeyID, name string) error
	RemovePasskey(ctx context.Context, w *signin.Who, c signin.Client, text string, id model.PasskeyID) error
	RemoveIdentity(ctx context.Context, w *signin.Who, c signin.Client, text, id string) error
	Confirm(ctx context.Context, w *signin.Who, c signin.Client, text string) error
}

// sessionInput is a call of a session, which may get another token by it.
type sessionInput struct {
	peerInput
	bearer bool
}

// Resolve implements huma.Resolver.
func (s *sessionInput) Resolve(ctx huma.Context) []error {
	s.bearer = ctx.Header("Authorization") != ""
	return s.peerInput.Resolve(ctx)
}

// renewed is an answer after which the session has another token: browsers get it as they got the one before, out of reach
// of scripts, and everybody else is shown it.
type renewed[V any] struct {
	Status int
	Cookie string `header:"Set-Cookie" doc:"The session's new token, where a cookie had the one before"`
	Body   V
}

// Renewal is what everybody but browsers is shown of the session.
type Renewal struct {
	Token     string     `json:"token,omitempty" doc:"Of this session, from now on; shown once, and not to browsers, which get a cookie"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

func (s *sessionInput) renewed(w *signin.Who, token string) (cookie string, shown Renewal) {
	if s.bearer {
		at := w.Session.Expires.UTC()
		return "", Renewal{token, &at}
	}
	c := http.Cookie{Name: SessionCookie, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, Expires: w.Session.Expires}
	return c.String(), Renewal{}
}

// Proof is that who calls is the user, and nobody who has found his session.
type Proof struct {
	Current string `json:"current_password,omitempty" maxLength:"1024" doc:"The user's password. Who has none has to have signed in within ten minutes"`
}

type passwordBody struct {
	Proof
	New string `json:"new_password" minLength:"1" maxLength:"1024"`
}

type totpAnswer struct {
	Secret string `json:"secret" doc:"For who types it into the app; shown until it is confirmed"`
	URI    string `json:"uri" doc:"otpauth: for a QR code"`
}

type totpCodeBody struct {
	Code string `json:"code" minLength:"6" maxLength:"10" doc:"That the app shows now"`
}

type BackupCodes struct {
	Codes []string `json:"backup_codes" doc:"Each good once, in the place of a code; shown once"`
}

type confirmed struct {
	BackupCodes
	Renewal
}

type accountView struct {
	Password     bool           `json:"password" doc:"There is one"`
	TOTP         bool           `json:"totp" doc:"There is an authenticator app"`
	BackupCodes  int            `json:"backup_codes" doc:"How many are left"`
	Passkeys     int            `json:"passkeys"`
	Identities   []identityView `json:"identities" doc:"Accounts of providers that sign the user in"`
	FactorWanted bool           `json:"second_factor_wanted" doc:"An organization of the user wants a second factor, and this session has none"`
}

type identityView struct {
	Provider string `json:"provider" doc:"Its name"`
	Subject  string `json:"subject" doc:"Whom the provider calls so"`
}

// himself is the user who calls with a session; keys change nothing of what their user signs in with.
func (a *API) himself(ctx context.Context) (*signin.Who, error) {
	p := caller(ctx)
	switch {
	case a.SignIn == nil:
		return nil, a.failed(ctx, errNoPages)
	case p.Session.IsZero():
		return nil, a.failed(ctx, fault.New(fault.Conflict, "this is a key: what a user signs in with he changes when he is signed in"))
	}
	w, err := a.SignIn.WhoIs(ctx, p)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return w, nil
}

// account is what users see and change of how they sign in.
func (a *API) account() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/me/account", "get-my-account", "What the calling user signs in with", "account", access.MeRead, 200),
		func(ctx context.Context, _ *struct{}) (*answer[accountView], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			o, err := a.SignIn.Overview(ctx, w)
			out := accountView{Password: o.Password, TOTP: o.App, BackupCodes: o.BackupCodes, Passkeys: len(o.Passkeys), Identities: []identityView{}, FactorWanted: o.Wanted}
			for _, i := range o.Identities {
				out.Identities = append(out.Identities, identityView{i.Name, i.Subject})
			}
			return told(ctx, a, out, err)
		})
	huma.Register(a.huma, operation(http.MethodPut, "/api/v1/me/password", "put-my-password", "Change the calling user's password; his other sessions end", "account", access.MeWrite, 200),
		func(ctx context.Context, in *struct {
			sessionInput
			Body passwordBody
		}) (*renewed[Renewal], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			token, err := a.SignIn.ChangePassword(ctx, w, in.client(), in.Body.Current, in.Body.New)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			out := &renewed[Renewal]{Status: http.StatusOK}
			out.Cookie, out.Body = in.renewed(w, token)
			return out, nil
		})
	a.totp()
	a.passkeys()
	a.identities()
	a.ownKeys()
}

// totp is the authenticator app of a user.
func (a *API) totp() {
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/me/totp", "begin-my-totp", "Make the secret of an authenticator app; it counts when a code of it was confirmed", "account", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			sessionInput
			Body Proof
		}) (*answer[totpAnswer], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			if err := a.SignIn.BeginApp(ctx, w, in.client(), in.Body.Current); err != nil {
				return nil, a.tooMany(ctx, err)
			}
			text, uri, err := a.SignIn.App(ctx, w)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[totpAnswer]{Status: http.StatusCreated, Body: totpAnswer{text, uri}}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/me/totp/confirm", "confirm-my-totp", "Confirm an authenticator app with a code of it; the session has a second factor from then on", "account", access.MeWrite, 200),
		func(ctx context.Context, in *struct {
			sessionInput
			Body totpCodeBody
		}) (*renewed[confirmed], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			token, codes, err := a.SignIn.FinishApp(ctx, w, in.client(), in.Body.Code)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			out := &renewed[confirmed]{Status: http.StatusOK}
			out.Body.Codes = codes
			out.Cookie, out.Body.Renewal = in.renewed(w, token)
			return out, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/me/totp/remove", "remove-my-totp", "Remove the authenticator app with its backup codes", "account", access.MeWrite, 204),
		func(ctx context.Context, in *struct {
			sessionInput
			Body Proof
		}) (*done, error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			return a.changed(ctx, a.SignIn.RemoveApp(ctx, w, in.client(), in.Body.Current))
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/me/backup-codes", "create-my-backup-codes", "Make other backup codes; those before are void", "account", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			sessionInput
			Body Proof
		}) (*answer[BackupCodes], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			codes, err := a.SignIn.NewBackupCodes(ctx, w, in.client(), in.Body.Current)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			return &answer[BackupCodes]{Status: http.StatusCreated, Body: BackupCodes{codes}}, nil
		})
}

// changed is the answer to what changes what a user signs in with.
func (a *API) changed(ctx context.Context, err error) (*done, error) {
	if err != nil {
		return nil, a.tooMany(ctx, err)
	}
	return &done{}, nil
}
