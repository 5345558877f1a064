package rest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/signin"
)

// SignIn is what the API needs of how people sign in.
type SignIn interface {
	BeginDevice(ctx context.Context, c signin.Client, client string) (signin.Device, error)
	Device(ctx context.Context, c signin.Client, code string) (signin.Outcome, error)
	ResetLink(ctx context.Context, p access.Principal, ref string) (link string, expires time.Time, err error)
	Account
}

type deviceBody struct {
	Client string `json:"client,omitempty" maxLength:"100" doc:"What the user is shown: the name of the machine, say"`
}

type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	Page       string `json:"verification_uri"`
	Whole      string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in" doc:"Seconds"`
	Interval   int    `json:"interval" doc:"Seconds between two calls that ask for the token"`
}

type deviceTokenBody struct {
	DeviceCode string `json:"device_code" minLength:"1" maxLength:"100"`
}

type sessionAnswer struct {
	Token     string    `json:"token" doc:"Of a session, for Authorization: Bearer; shown once"`
	ExpiresAt time.Time `json:"expires_at"`
}

type linkAnswer struct {
	Link      string    `json:"link" doc:"Good once; shown once"`
	ExpiresAt time.Time `json:"expires_at"`
}

type invitationBody struct {
	Heading
	admin.InvitationSpec
}

type identityProviderBody struct {
	Heading
	admin.IdentityProviderSpec
}

func (b identityProviderBody) spec() admin.IdentityProviderSpec { return b.IdentityProviderSpec }

// errNoPages is for who wants people to sign in where they can't.
var errNoPages = fault.New(fault.Conflict, "nobody can sign in here: the control plane's settings have no url")

// signIn is what command lines need to be signed in, and what administrators do about how people sign in.
func (a *API) signIn() {
	k := a.Admin
	clusterKind(a, k.ClusterIdentityProviders, "cluster-identity-provider", "cluster-identity-providers", identityProviderBody{})
	orgKind(a, k.IdentityProviders, "identity-provider", "identity-providers", identityProviderBody{})
	orgReadable(a, k.Invitations, "invitation", "invitations")
	orgDeletable(a, k.Invitations, "invitation", "invitations")
	orgReadable(a, k.Visitors, "visitor", "visitors")
	orgDeletable(a, k.Visitors, "visitor", "visitors")
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/orgs/{org}/invitations", "create-invitation",
		"Invite somebody by mail address; the link is mailed where there is mail, shown once, good once, for 30 minutes", "invitations", access.InvitationsManage, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			Body invitationBody
		}) (*answer[admin.Invitation], error) {
			v, err := k.Invite(ctx, caller(ctx), in.Org, in.Body.Name, in.Body.InvitationSpec)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.Invitation]{Status: http.StatusCreated, Body: v}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/security", "get-security", "What an organization wants of sessions", "security", access.SecurityRead, 200),
		func(ctx context.Context, in *struct{ OrgPath }) (*answer[admin.SecuritySpec], error) {
			v, err := k.Security(ctx, caller(ctx), in.Org)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPut, "/api/v1/orgs/{org}/security", "put-security", "Say what an organization wants of sessions", "security", access.SecurityManage, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			Body admin.SecuritySpec
		}) (*answer[admin.SecuritySpec], error) {
			v, err := k.SetSecurity(ctx, caller(ctx), in.Org, in.Body)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/users/{name}/password-reset", "reset-password",
		"Make a link with which a user chooses another password; it is shown once, good once, for 30 minutes", "users", access.UsersManage, 201),
		func(ctx context.Context, in *oneInput) (*answer[linkAnswer], error) {
			if err := caller(ctx).Check(access.UsersManage); err != nil {
				return nil, a.failed(ctx, err)
			}
			if a.SignIn == nil {
				return nil, a.failed(ctx, errNoPages)
			}
			link, expires, err := a.SignIn.ResetLink(ctx, caller(ctx), in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[linkAnswer]{Status: http.StatusCreated, Body: linkAnswer{link, expires.UTC()}}, nil
		})
	a.devices()
	a.accessTokens()
}

// devices sign command lines in (RFC 8628): who calls has no key yet.
func (a *API) devices() {
	free := func(path, id, summary string, status int) huma.Operation {
		return huma.Operation{
			Method: http.MethodPost, Path: path, OperationID: id, Summary: summary, Tags: []string{"me"}, DefaultStatus: status, Errors: []int{400, 404, 409, 415, 422, 429, 503},
			Metadata: map[string]any{open: true}, Extensions: map[string]any{"x-warren-permission": "none"}, RejectUnknownQueryParameters: true,
		}
	}
	huma.Register(a.huma, free("/api/v1/device-logins", "create-device-login", "Begin to sign in a command line: its user approves it in his browser", 201),
		func(ctx context.Context, in *struct {
			peerInput
			Body deviceBody
		}) (*answer[deviceAnswer], error) {
			if a.SignIn == nil {
				return nil, a.failed(ctx, errNoPages)
			}
			d, err := a.SignIn.BeginDevice(ctx, in.client(), in.Body.Client)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			return &answer[deviceAnswer]{Status: http.StatusCreated, Body: deviceAnswer{d.Code, d.UserCode, d.Page, d.Whole, int(d.Life.Seconds()), int(d.Interval.Seconds())}}, nil
		})
	huma.Register(a.huma, free("/api/v1/device-logins/token", "get-device-token",
		"Ask for the token of a command line; until its user has answered, the answer is 409 with the detail authorization_pending, or slow_down", 200),
		func(ctx context.Context, in *struct {
			peerInput
			Body deviceTokenBody
		}) (*answer[sessionAnswer], error) {
			if a.SignIn == nil {
				return nil, a.failed(ctx, errNoPages)
			}
			out, err := a.SignIn.Device(ctx, in.client(), in.Body.DeviceCode)
			if err != nil {
				return nil, a.tooMany(ctx, err)
			}
			return &answer[sessionAnswer]{Status: http.StatusOK, Body: sessionAnswer{out.Token, out.Expires.UTC()}}, nil
		})
}

func (a *API) tooMany(ctx context.Context, err error) error {
	if many, ok := errors.AsType[*signin.TooMany](err); ok {
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests(many.Error()), http.Header{"Retry-After": {strconv.Itoa(int(many.Wait.Seconds()) + 1)}})
	}
	return a.failed(ctx, err)
}

// peerInput is the other end of a call.
type peerInput struct{ from netip.Addr }

// Resolve implements huma.Resolver.
func (p *peerInput) Resolve(ctx huma.Context) []error {
	if at, err := netip.ParseAddrPort(ctx.RemoteAddr()); err == nil {
		p.from = at.Addr().Unmap().WithZone("")
	}
	return nil
}

func (p *peerInput) client() signin.Client { return signin.Client{Address: p.from} }
