package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

type WireGuardQuery struct {
	Node string `query:"node" maxLength:"64" doc:"Only the tunnel to this node, by name or id, for devices that can have no more"`
}

// wireGuard configures the devices of WireGuard sites.
func (a *API) wireGuard() {
	const base = "/api/v1/orgs/{org}/sites/{name}/wireguard"
	huma.Register(a.huma, operation(http.MethodGet, base, "get-site-wireguard", "What the device of a wireguard site is configured with, without its private key", "sites", access.SitesRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			WireGuardQuery
		}) (*answer[admin.WireGuard], error) {
			v, err := a.Admin.WireGuard(ctx, caller(ctx), in.Org, in.Name, in.Node)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.WireGuard]{Status: http.StatusOK, Body: v}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"/rotate", "rotate-site-wireguard",
		"Give the device of a wireguard site another key, or its first; a private key that is made here is shown once", "sites", access.SitesWrite, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			WireGuardQuery
			Body *admin.WireGuardKeySpec // absent: as if it were empty
		}) (*answer[admin.WireGuard], error) {
			var spec admin.WireGuardKeySpec
			if in.Body != nil {
				spec = *in.Body
			}
			v, rev, err := a.Admin.RotateWireGuard(ctx, caller(ctx), in.Org, in.Name, in.Node, spec)
			return acted(ctx, a, v, rev, err)
		})
}
