package rest

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/audit"
)

// audit shows what was done. Only the whole log is a chain that can be verified; it and its anchors are the cluster's.
func (a *API) audit() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/audit", "list-audit", "The whole audit log, in the order of commits: warren audit verify reads it", "audit", access.AuditRead, 200),
		func(ctx context.Context, in *struct{ PageQuery }) (*answer[page[*audit.Entry]], error) {
			return a.auditPage(ctx, "", in.PageQuery)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/audit", "list-org-audit", "The audit log of an organization", "audit", access.AuditRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			PageQuery
		}) (*answer[page[*audit.Entry]], error) {
			return a.auditPage(ctx, in.Org, in.PageQuery)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/audit-anchors", "list-audit-anchors",
		"Heads of the audit log that the identity authority has signed: whoever keeps them elsewhere notices what is changed or cut off later", "audit", access.AuditRead, 200),
		func(ctx context.Context, in *struct{ PageQuery }) (*answer[page[*audit.Anchor]], error) {
			return numbered(ctx, a, "audit-anchors", in.PageQuery, func(after uint64, most int) ([]*audit.Anchor, error) {
				return a.Admin.AuditAnchors(ctx, caller(ctx), after, most)
			}, func(n *audit.Anchor) string { return strconv.FormatUint(n.Seq, 10) })
		})
}

func (a *API) auditPage(ctx context.Context, org string, q PageQuery) (*answer[page[*audit.Entry]], error) {
	return numbered(ctx, a, "audit/"+org, q, func(after uint64, most int) ([]*audit.Entry, error) {
		return a.Admin.Audit(ctx, caller(ctx), org, after, most)
	}, func(e *audit.Entry) string { return strconv.FormatUint(e.Seq, 10) })
}

// numbered serves a page of what is numbered.
func numbered[V any](ctx context.Context, a *API, scope string, q PageQuery, list func(after uint64, most int) ([]V, error), number func(V) string) (*answer[page[V]], error) {
	mark, err := a.openMark(scope, q.Token)
	if err != nil {
		return nil, err
	}
	var after uint64
	if mark != "" {
		if after, err = strconv.ParseUint(mark, 10, 64); err != nil {
			return nil, a.failed(ctx, err)
		}
	}
	size := min(q.Size, maxPage)
	if size == 0 {
		size = pageSize
	}
	items, err := list(after, size+1)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := page[V]{Items: items}
	if len(items) > size {
		out.Items = items[:size]
		out.Next = a.sealMark(scope, number(items[size-1]))
	}
	return &answer[page[V]]{Status: http.StatusOK, Body: out}, nil
}
