package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
)

type passkeyView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

type PasskeyName struct {
	Name string `json:"name" minLength:"1" maxLength:"100"`
}

type passkeyOptions struct {
	Flow    string          `json:"flow" doc:"Comes back with the credential, within five minutes"`
	Options json.RawMessage `json:"options" doc:"For navigator.credentials.create (PublicKeyCredentialCreationOptions in JSON, WebAuthn §5.1.8)"`
}

type passkeyBody struct {
	PasskeyName
	Flow       string          `json:"flow" minLength:"1" maxLength:"100"`
	Credential json.RawMessage `json:"credential" doc:"What the browser has made (RegistrationResponseJSON)"`
}

type passkeyAnswer struct {
	Passkeys []passkeyView `json:"passkeys"`
	Renewal
}

// passkeys are those of a user.
func (a *API) passkeys() {
	const base = "/api/v1/me/passkeys"
	list := func(ctx context.Context, w *signin.Who) ([]passkeyView, error) {
		o, err := a.SignIn.Overview(ctx, w)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out := []passkeyView{}
		for _, k := range o.Passkeys {
			v := passkeyView{ID: k.ID.String(), Name: k.Name, CreatedAt: k.Created.UTC()}
			if !k.Used.IsZero() {
				at := k.Used.UTC()
				v.UsedAt = &at
			}
			out = append(out, v)
		}
		return out, nil
	}
	huma.Register(a.huma, operation(http.MethodGet, base, "list-my-passkeys", "The calling user's passkeys", "account", access.MeRead, 200),
		func(ctx context.Context, _ *PageQuery) (*answer[page[passkeyView]], error) { // one page: they are few
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			all, err := list(ctx, w)
			if err != nil {
				return nil, err
			}
			return &answer[page[passkeyView]]{Status: http.StatusOK, Body: page[passkeyView]{Items: all}}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"/options", "begin-my-passkey", "Ask for what a browser makes a passkey from", "account", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			sessionInput
			Body Proof
		}) (*answer[passkeyOptions], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			options, flow, err := a.SignIn.BeginNewPasskey(ctx, w, in.client(), in.Body.Current)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			return &answer[passkeyOptions]{Status: http.StatusCreated, Body: passkeyOptions{flow, options}}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, base, "create-my-passkey", "Keep the passkey that a browser has made; the session has a second factor from then on", "account", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			sessionInput
			Body passkeyBody
		}) (*renewed[passkeyAnswer], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			token, err := a.SignIn.NewPasskey(ctx, w, in.client(), in.Body.Flow, in.Body.Name, in.Body.Credential)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			out := &renewed[passkeyAnswer]{Status: http.StatusCreated}
			if out.Body.Passkeys, err = list(ctx, w); err != nil {
				return nil, err
			}
			out.Cookie, out.Body.Renewal = in.renewed(w, token)
			return out, nil
		})
	huma.Register(a.huma, operation(http.MethodPut, base+"/{name}", "put-my-passkey", "Rename one of the calling user's passkeys, by id", "account", access.MeWrite, 204),
		func(ctx context.Context, in *struct {
			sessionInput
			NamePath
			Body PasskeyName
		}) (*done, error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			return a.changed(ctx, a.SignIn.RenamePasskey(ctx, w, in.client(), passkeyID(in.Name), in.Body.Name))
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"/{name}/remove", "remove-my-passkey", "Remove one of the calling user's passkeys, by id", "account", access.MeWrite, 204),
		func(ctx context.Context, in *struct {
			sessionInput
			NamePath
			Body Proof
		}) (*done, error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			return a.changed(ctx, a.SignIn.RemovePasskey(ctx, w, in.client(), in.Body.Current, passkeyID(in.Name)))
		})
}

// passkeyID reads an id; of a text that is none it is nobody's.
func passkeyID(s string) model.PasskeyID {
	id, _ := model.PasskeyID{}.Parse(s)
	return id
}
