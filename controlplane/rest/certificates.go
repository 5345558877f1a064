package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// certificates are uploaded, or made because services need them: then they are managed, and have no create.
func (a *API) certificates() {
	k := a.Admin
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/orgs/{org}/certificates", "upload-certificate", "Add a certificate that was made elsewhere; nobody renews it", "certificates", access.CertificatesUpload, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			Body admin.UploadSpec
		}) (*answer[admin.Certificate], error) {
			v, rev, err := k.Upload(ctx, caller(ctx), in.Org, in.Body)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.Certificate]{Status: http.StatusCreated, Revision: revision(rev), Body: v}, nil
		})

	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/orgs/{org}/certificates/{name}/revoke", "revoke-certificate", "Have a certificate revoked by its authority, once another one has taken its place", "certificates", access.CertificatesWrite, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body admin.RevocationSpec
		}) (*answer[admin.Certificate], error) {
			v, _, err := k.RevokeCertificate(ctx, caller(ctx), in.Org, in.Name, in.Body)
			return told(ctx, a, v, err)
		})

	const base, tag = "/api/v1/orgs/{org}/managed-certificates", "managed-certificates"
	pages := list(a, k.Managed)
	huma.Register(a.huma, operation(http.MethodGet, base, "list-managed-certificates", "List the sets of names that are kept in certificates", tag, access.CertificatesRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			PageQuery
		}) (*answer[page[admin.Managed]], error) {
			return pages(ctx, tag, in.Org, ListQuery{PageQuery: in.PageQuery})
		})
	huma.Register(a.huma, operation(http.MethodGet, base+"/{name}", "get-managed-certificate", "Get one, by id or by a name that it carries, with what happened to its orders", tag, access.CertificatesRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.Managed], error) {
			v, err := k.DescribeManaged(ctx, caller(ctx), in.Org, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.Managed]{Status: http.StatusOK, Body: v}, nil
		})
	huma.Register(a.huma, operation(http.MethodPut, base+"/{name}", "put-managed-certificate", "Say of what kind a certificate is to be; it is not created", tag, access.CertificatesWrite, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body admin.ManagedSpec
		}) (*answer[admin.Managed], error) {
			v, _, err := k.ConfigureManaged(ctx, caller(ctx), in.Org, in.Name, in.Body)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"/{name}/renew", "renew-managed-certificate", "Order anew now, whatever the next attempt was", tag, access.CertificatesWrite, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.Managed], error) {
			v, _, err := k.RenewManaged(ctx, caller(ctx), in.Org, in.Name)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/issuers/{name}/rollover", "roll-over-issuer", "Change the key of the account at an authority, while orders go on", "issuers", access.IssuersWrite, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.Issuer], error) {
			v, _, err := k.RollOver(ctx, caller(ctx), in.Name)
			return told(ctx, a, v, err)
		})
	orgDeletable(a, k.Managed, "managed-certificate", "managed-certificates")
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/issuers/{name}/budget", "get-issuer-budget",
		"Show what an issuer may still be asked for, what of it is reserved for renewals, and when more comes", "issuers", access.IssuersRead, 200),
		func(ctx context.Context, in *oneInput) (*answer[page[admin.Budget]], error) {
			v, err := k.IssuerBudget(ctx, caller(ctx), in.Name)
			return told(ctx, a, page[admin.Budget]{Items: v}, err)
		})
}

// told is the answer to a write that is no configuration of nodes: it has no revision.
func told[V any](ctx context.Context, a *API, v V, err error) (*answer[V], error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[V]{Status: http.StatusOK, Body: v}, nil
}
