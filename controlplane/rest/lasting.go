package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

type ownIdentity struct {
	ID      string     `json:"id" doc:"Of the provider"`
	Name    string     `json:"name" doc:"Of the provider"`
	Subject string     `json:"subject" doc:"Whom the provider calls so"`
	UsedAt  *time.Time `json:"used_at,omitempty"`
}

// identities are who a user is at providers. One more is made by signing in there, in a browser.
func (a *API) identities() {
	const base = "/api/v1/me/identities"
	huma.Register(a.huma, operation(http.MethodGet, base, "list-my-identities", "Accounts of providers that sign the calling user in", "account", access.MeRead, 200),
		func(ctx context.Context, _ *PageQuery) (*answer[page[ownIdentity]], error) { // one page: they are few
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			o, err := a.SignIn.Overview(ctx, w)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			all := []ownIdentity{}
			for _, i := range o.Identities {
				v := ownIdentity{i.Provider.String(), i.Name, i.Subject, nil}
				if !i.Used.IsZero() {
					at := i.Used.UTC()
					v.UsedAt = &at
				}
				all = append(all, v)
			}
			return &answer[page[ownIdentity]]{Status: http.StatusOK, Body: page[ownIdentity]{Items: all}}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"/{name}/remove", "remove-my-identity",
		"Remove the account of a provider, by the provider's id or name; not the last of what the calling user signs in with", "account", access.MeWrite, 204),
		func(ctx context.Context, in *struct {
			sessionInput
			NamePath
			Body Proof
		}) (*done, error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			return a.changed(ctx, a.SignIn.RemoveIdentity(ctx, w, in.client(), in.Body.Current, in.Name))
		})
}

// myKeyBody is what makes a key of a user's own. It outlives the session: whoever has found that gets none.
type myKeyBody struct {
	Title
	admin.APIKeySpec
	Proof
}

// ownKeys are the API keys of a user.
func (a *API) ownKeys() {
	const base = "/api/v1/me/api-keys"
	readable(a, a.Admin.MyAPIKeys, base, "my-api-key", "my-api-keys")
	deletable(a, a.Admin.MyAPIKeys, base, "my-api-key", "my-api-keys")
	huma.Register(a.huma, operation(http.MethodPost, base, "create-my-api-key", "Create an API key of the calling user, who is signed in; its secret is shown once", "my-api-keys", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			sessionInput
			Body myKeyBody
		}) (*answer[admin.APIKey], error) {
			w, err := a.himself(ctx)
			if err != nil {
				return nil, err
			}
			if in.Body.ServiceAccount != "" {
				return nil, a.failed(ctx, fault.Field("service_account", "a key of yours is of no service account"))
			}
			if err := a.SignIn.Confirm(ctx, w, in.client(), in.Body.Current); err != nil {
				return nil, a.tooMany(ctx, err)
			}
			v, err := a.Admin.CreateMyAPIKey(ctx, caller(ctx), in.Body.Name, in.Body.APIKeySpec)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.APIKey]{Status: http.StatusCreated, Body: v}, nil
		})
}
