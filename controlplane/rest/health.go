package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/identity"
)

// healths say for each hop of a way whether it works.
func (a *API) healths() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/services/{name}/health", "get-service-health",
		"How each hop to a service is: DNS, node, TLS, tunnel, target; the broken one is named, with what to do", "services", access.ServicesRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[hops.Report], error) {
			return reported(ctx, a, in, a.Admin.ServiceHealth)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/sites/{name}/health", "get-site-health",
		"How nodes get into a site, and how the targets there are", "sites", access.SitesRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[hops.Report], error) {
			return reported(ctx, a, in, a.Admin.SiteHealth)
		})
}

func reported(ctx context.Context, a *API, in *oneOrgInput, ask func(context.Context, access.Principal, string, string) (hops.Report, error)) (*answer[hops.Report], error) {
	r, err := ask(ctx, caller(ctx), in.Org, in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[hops.Report]{Status: http.StatusOK, Body: r}, nil
}

// Required says what a node needs of what is published, for a hops.Source.
func Required(p *push.Server) func(node string, rev model.Revision) (model.Revision, error) {
	return func(node string, rev model.Revision) (model.Revision, error) {
		return p.Required(push.Reader{Kind: identity.Node, ID: node}, rev)
	}
}
