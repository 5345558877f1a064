package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
)

// Visits is what the API needs of visits of services.
type Visits interface {
	ProgramToken(ctx context.Context, p access.Principal, org, host string) (token string, expires time.Time, err error)
}

type accessTokenBody struct {
	Host string `json:"host" minLength:"1" maxLength:"253" doc:"Hostname of the service"`
}

type accessTokenAnswer struct {
	Token     string    `json:"token" doc:"For Authorization: Bearer, or Warren-Access-Token where the target wants an Authorization of its own; shown once"`
	ExpiresAt time.Time `json:"expires_at"`
}

// accessTokens let programs of people who have signed in visit services as them.
func (a *API) accessTokens() {
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/orgs/{org}/access-tokens", "create-access-token",
		"Make a token with which a program of the calling user visits a service as him, for 15 minutes at most; it takes a session, not a key", "access-tokens", access.MeWrite, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			Body accessTokenBody
		}) (*answer[accessTokenAnswer], error) {
			if a.Visits == nil {
				return nil, a.failed(ctx, errNoPages)
			}
			token, expires, err := a.Visits.ProgramToken(ctx, caller(ctx), in.Org, in.Body.Host)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[accessTokenAnswer]{Status: http.StatusCreated, Body: accessTokenAnswer{token, expires.UTC()}}, nil
		})
}
