package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

// people are those who run the cluster, and what they may. Only admins of the cluster see who there is at all.
func (a *API) people() {
	k := a.Admin
	clusterKind(a, k.Users, "user", "users", userBody{})
	clusterKind(a, k.ClusterRoles, "cluster-role", "cluster-roles", roleBody{})
	orgKind(a, k.Members, "member", "members", memberBody{})
	orgKind(a, k.Roles, "role", "roles", roleBody{})
	orgKind(a, k.Groups, "group", "groups", groupBody{})
	orgKind(a, k.ServiceAccounts, "service-account", "service-accounts", serviceAccountBody{})
	orgKeys := "org-api-keys"
	readable(a, k.OrgAPIKeys, "/api/v1/orgs/{org}/api-keys", "org-api-key", orgKeys)
	deletable(a, k.OrgAPIKeys, "/api/v1/orgs/{org}/api-keys", "org-api-key", orgKeys)
	huma.Register(a.huma, operation(http.MethodPut, "/api/v1/orgs/{org}/api-keys/{name}", "put-org-api-key",
		"Replace the end of an API key, and its name where the path has the id; it is not created", orgKeys, access.KeysManage, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body apiKeyChangeBody
		}) (*answer[admin.APIKey], error) {
			return a.changeKey(ctx, in.Org, in.Name, in.Body)
		})
	a.signedIn()
	a.account()
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/users/{name}/sign-out", "sign-out-user", "End all sessions of a user", "users", access.UsersManage, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.User], error) {
			v, err := k.SignOutUser(ctx, caller(ctx), in.Name)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/permissions", "list-permissions", "What roles and keys can permit", "roles", access.MeRead, 200),
		func(context.Context, *PageQuery) (*answer[page[permissionView]], error) { // one page, whatever its size
			out := page[permissionView]{Items: []permissionView{}}
			for _, p := range access.Permissions(true) {
				out.Items = append(out.Items, permissionView{string(p), p.InOrganization()})
			}
			return &answer[page[permissionView]]{Status: http.StatusOK, Body: out}, nil
		})
}

// changeKey changes what can be changed of a key.
func (a *API) changeKey(ctx context.Context, org, path string, b apiKeyChangeBody) (*answer[admin.APIKey], error) {
	if err := onlyName(b.Name, path); err != nil {
		return nil, a.failed(ctx, err)
	}
	v, changed, err := a.Admin.ChangeAPIKey(ctx, caller(ctx), org, path, b.Name, b.APIKeyChange)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &answer[admin.APIKey]{Status: http.StatusOK, Body: v} // no revision: keys are no configuration of nodes
	if !changed {
		out.Unchanged = "true"
	}
	return out, nil
}

type permissionView struct {
	Name           string `json:"name"`
	InOrganization bool   `json:"in_organization" doc:"It can be given in one organization alone; else in the whole cluster only"`
}

// signedIn is what users see and change of themselves.
func (a *API) signedIn() {
	k := a.Admin
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/me", "me", "Who calls, and what he may", "me", access.MeRead, 200),
		func(ctx context.Context, _ *struct{}) (*answer[admin.Me], error) {
			v, err := k.Me(ctx, caller(ctx))
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/me/sessions", "list-my-sessions", "Where the calling user is signed in", "me", access.MeRead, 200),
		func(ctx context.Context, _ *PageQuery) (*answer[page[admin.Session]], error) { // one page, whatever its size
			list, err := k.MySessions(ctx, caller(ctx))
			return told(ctx, a, page[admin.Session]{Items: list}, err)
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/api/v1/me/sessions/{name}", "delete-my-session", "End one of the calling user's sessions, by id", "me", access.MeWrite, 204),
		func(ctx context.Context, in *oneInput) (*done, error) {
			return gone(ctx, a, k.EndMySession(ctx, caller(ctx), in.Name))
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/api/v1/me/sessions", "delete-my-sessions", "End all of the calling user's sessions but the one that asks", "me", access.MeWrite, 204),
		func(ctx context.Context, _ *struct{}) (*done, error) {
			return gone(ctx, a, k.EndMySessions(ctx, caller(ctx)))
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/api/v1/me/session", "delete-this-session", "End the session that asks", "me", access.MeWrite, 204),
		func(ctx context.Context, _ *struct{}) (*done, error) {
			p := caller(ctx)
			if p.Session.IsZero() {
				return nil, a.failed(ctx, fault.New(fault.Conflict, "this is a key, and no session"))
			}
			return gone(ctx, a, k.EndMySession(ctx, p, p.Session.String()))
		})
}

// gone is the answer to the removal of what is no configuration of nodes.
func gone(ctx context.Context, a *API, err error) (*done, error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &done{}, nil
}

type userBody struct {
	Heading
	admin.UserSpec
}

func (b userBody) spec() admin.UserSpec { return b.UserSpec }

type memberBody struct {
	Heading
	admin.MemberSpec
}

func (b memberBody) spec() admin.MemberSpec { return b.MemberSpec }

type roleBody struct {
	Heading
	admin.RoleSpec
}

func (b roleBody) spec() admin.RoleSpec { return b.RoleSpec }

type groupBody struct {
	Heading
	admin.GroupSpec
}

func (b groupBody) spec() admin.GroupSpec { return b.GroupSpec }

type serviceAccountBody struct {
	Heading
	admin.ServiceAccountSpec
}

func (b serviceAccountBody) spec() admin.ServiceAccountSpec { return b.ServiceAccountSpec }
