package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// branding is what the pages of an organization look like.
func (a *API) branding() {
	const path = "/api/v1/orgs/{org}/branding"
	huma.Register(a.huma, operation(http.MethodGet, path, "get-branding", "What the pages look like that nodes answer with for an organization", "branding", access.BrandingRead, 200),
		func(ctx context.Context, in *struct{ OrgPath }) (*answer[admin.BrandSpec], error) {
			v, err := a.Admin.Branding(ctx, caller(ctx), in.Org)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPut, path, "put-branding", "Say what the pages look like that nodes answer with for an organization", "branding", access.BrandingWrite, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			Body admin.BrandSpec
		}) (*answer[admin.BrandSpec], error) {
			v, rev, err := a.Admin.SetBranding(ctx, caller(ctx), in.Org, in.Body)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return written(ctx, a, http.StatusOK, v, rev)
		})
}
