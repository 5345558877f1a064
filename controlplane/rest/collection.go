package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// The shapes of requests and answers, the same for every kind.

type OrgPath struct {
	Org string `path:"org" maxLength:"64" doc:"Organization, by name or id"`
}

type NamePath struct {
	Name string `path:"name" maxLength:"255" doc:"Name or id"`
}

type PageQuery struct {
	Size  int    `query:"page_size" minimum:"1" maximum:"500" default:"100"`
	Token string `query:"page_token" maxLength:"1024" doc:"next_page_token of the page before"`
}

// WriteQuery is how something is written.
type WriteQuery struct {
	DryRun bool `query:"dry_run" doc:"Do all of it, answer, and take it back"`
}

// Condition is what an object has to be for the call to be done.
type Condition struct {
	IfMatch string `header:"If-Match" maxLength:"100" doc:"ETag of the object as the caller knows it; 412 if it is another one now"`
}

func (c Condition) tag() string { return strings.TrimSpace(c.IfMatch) }

// begun is the context of a write.
func (q WriteQuery) begun(ctx context.Context) context.Context {
	if !q.DryRun {
		return ctx
	}
	return admin.Rehearse(ctx, &admin.Rehearsal{})
}

func (q WriteQuery) said() string {
	if !q.DryRun {
		return ""
	}
	return "true"
}

type (
	oneInput struct {
		NamePath
	}
	oneOrgInput struct {
		OrgPath
		NamePath
	}
)

type page[V any] struct {
	Items []V    `json:"items"`
	Next  string `json:"next_page_token,omitempty"`
}

type answer[V any] struct {
	Status    int
	Revision  string `header:"X-Warren-Revision" doc:"Revision that the call made; when nothing changed, one that has what was asked for"`
	Unchanged string `header:"X-Warren-Unchanged" doc:"true when everything was as asked for already; else absent"`
	DryRun    string `header:"X-Warren-Dry-Run" doc:"true when nothing of it stays; else absent"`
	ETag      string `header:"ETag" doc:"Of one object: what it is as a whole. Another one as soon as what is written of it has changed"`
	Body      V
}

// tagged is what an answer shows that has an ETag.
type tagged interface{ Tag() string }

func tagOf(v any) string {
	if t, ok := v.(tagged); ok {
		return t.Tag()
	}
	return ""
}

type done struct {
	DryRun   string `header:"X-Warren-Dry-Run" doc:"true when nothing of it stays; else absent"`
	Revision string `header:"X-Warren-Revision" doc:"Revision that the call made; absent when it removed what is no configuration of nodes"`
}

func revision(r model.Revision) string {
	if r == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(r), 10)
}

// operation fills in what all operations have in common.
func operation(method, path, id, summary, tag string, need access.Permission, status int) huma.Operation {
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}, DefaultStatus: status,
		Security: []map[string][]string{{"key": {}}, {"session": {}}}, Errors: []int{400, 401, 403, 404, 409, 422, 429, 503},
		Extensions:                   map[string]any{"x-warren-permission": string(need)},
		RejectUnknownQueryParameters: true, // a misspelt page_token would be the first page again, for ever
	}
	if method == http.MethodPost || method == http.MethodPut {
		op.Errors = append(op.Errors, http.StatusUnsupportedMediaType)
	}
	return op
}

// list serves one page of a collection.
func list[M, S, V any](a *API, k *admin.Collection[M, S, V]) func(ctx context.Context, scope, org string, q ListQuery) (*answer[page[V]], error) {
	return func(ctx context.Context, scope, org string, q ListQuery) (*answer[page[V]], error) {
		with, err := q.labels()
		if err != nil {
			return nil, err
		}
		after, err := a.openMark(scope+"/"+org, q.Token)
		if err != nil {
			return nil, err
		}
		size := q.Size
		if size == 0 {
			size = pageSize
		}
		items, next, err := k.ListWith(ctx, caller(ctx), org, after, min(size, maxPage), with)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		return &answer[page[V]]{Status: http.StatusOK, Body: page[V]{items, a.sealMark(scope+"/"+org, next)}}, nil
	}
}

// clusterReadable registers list and get of what belongs to no organization.
func clusterReadable[M, S, V any](a *API, k *admin.Collection[M, S, V], one, many string) {
	readable(a, k, "/api/v1/"+many, one, many)
}

func clusterDeletable[M, S, V any](a *API, k *admin.Collection[M, S, V], one, many string) {
	deletable(a, k, "/api/v1/"+many, one, many)
}

// clusterKind registers all operations of a kind that belongs to no organization.
func clusterKind[M, S, V any, B body[S]](a *API, k *admin.Collection[M, S, V], one, many string, _ B) {
	_, write := k.Permissions()
	base := "/api/v1/" + many
	clusterReadable(a, k, one, many)
	clusterDeletable(a, k, one, many)
	huma.Register(a.huma, operation(http.MethodPost, base, "create-"+one, "Create one of the "+words(many), many, write, 201),
		func(ctx context.Context, in *struct {
			WriteQuery
			Body B
		}) (*answer[V], error) {
			return create(ctx, a, k, "", in.WriteQuery, in.Body)
		})
	huma.Register(a.huma, operation(http.MethodPut, base+"/{name}", "put-"+one, "Create or replace one of the "+words(many), many, write, 200),
		func(ctx context.Context, in *struct {
			NamePath
			WriteQuery
			Condition
			Body B
		}) (*answer[V], error) {
			return put(ctx, a, k, "", in.Name, in.WriteQuery, in.tag(), in.Body)
		})
	a.labelling(labelsOf(a, k), write, base, one, many)
	a.manifest(describedKind(a, k, one, many, false, *new(B)))
}

// orgReadable registers list and get of what belongs to an organization.
func orgReadable[M, S, V any](a *API, k *admin.Collection[M, S, V], one, many string) {
	readable(a, k, "/api/v1/orgs/{org}/"+many, one, many)
}

func orgDeletable[M, S, V any](a *API, k *admin.Collection[M, S, V], one, many string) {
	deletable(a, k, "/api/v1/orgs/{org}/"+many, one, many)
}

// readable registers list and get of a collection at a path, of an organization if that says so.
func readable[M, S, V any](a *API, k *admin.Collection[M, S, V], base, one, many string) {
	read, _ := k.Permissions()
	pages := list(a, k)
	all := operation(http.MethodGet, base, "list-"+many, "List "+words(many), many, read, 200)
	single := operation(http.MethodGet, base+"/{name}", "get-"+one, "Get one of the "+words(many), many, read, 200)
	if !strings.Contains(base, "{org}") {
		huma.Register(a.huma, all, func(ctx context.Context, in *struct{ ListQuery }) (*answer[page[V]], error) {
			return pages(ctx, many, "", in.ListQuery)
		})
		huma.Register(a.huma, single, func(ctx context.Context, in *oneInput) (*answer[V], error) { return get(ctx, a, k, "", in.Name) })
		return
	}
	huma.Register(a.huma, all, func(ctx context.Context, in *struct {
		OrgPath
		ListQuery
	}) (*answer[page[V]], error) {
		return pages(ctx, many, in.Org, in.ListQuery)
	})
	huma.Register(a.huma, single, func(ctx context.Context, in *oneOrgInput) (*answer[V], error) { return get(ctx, a, k, in.Org, in.Name) })
}

// deletable registers delete of a collection at a path.
func deletable[M, S, V any](a *API, k *admin.Collection[M, S, V], base, one, many string) {
	_, write := k.Permissions()
	op := operation(http.MethodDelete, base+"/{name}", "delete-"+one, "Delete one of the "+words(many), many, write, 204)
	if !strings.Contains(base, "{org}") {
		huma.Register(a.huma, op, func(ctx context.Context, in *struct {
			NamePath
			WriteQuery
			Condition
		}) (*done, error) {
			return remove(ctx, a, k, "", in.Name, in.WriteQuery, in.tag())
		})
		return
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		OrgPath
		NamePath
		WriteQuery
		Condition
	}) (*done, error) {
		return remove(ctx, a, k, in.Org, in.Name, in.WriteQuery, in.tag())
	})
}

// orgKind registers all operations of a kind that belongs to an organization.
func orgKind[M, S, V any, B body[S]](a *API, k *admin.Collection[M, S, V], one, many string, _ B) {
	_, write := k.Permissions()
	base := "/api/v1/orgs/{org}/" + many
	orgReadable(a, k, one, many)
	orgDeletable(a, k, one, many)
	huma.Register(a.huma, operation(http.MethodPost, base, "create-"+one, "Create one of the "+words(many), many, write, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			WriteQuery
			Body B
		}) (*answer[V], error) {
			return create(ctx, a, k, in.Org, in.WriteQuery, in.Body)
		})
	huma.Register(a.huma, operation(http.MethodPut, base+"/{name}", "put-"+one, "Create or replace one of the "+words(many), many, write, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			WriteQuery
			Condition
			Body B
		}) (*answer[V], error) {
			return put(ctx, a, k, in.Org, in.Name, in.WriteQuery, in.tag(), in.Body)
		})
	a.labelling(labelsOf(a, k), write, base, one, many)
	a.manifest(describedKind(a, k, one, many, true, *new(B)))
}

func words(many string) string { return strings.ReplaceAll(many, "-", " ") }

func get[M, S, V any](ctx context.Context, a *API, k *admin.Collection[M, S, V], org, name string) (*answer[V], error) {
	v, err := k.Get(ctx, caller(ctx), org, name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[V]{Status: http.StatusOK, ETag: tagOf(v), Body: v}, nil
}

func create[M, S, V any, B body[S]](ctx context.Context, a *API, k *admin.Collection[M, S, V], org string, q WriteQuery, b B) (*answer[V], error) {
	if b.name() == "" {
		return nil, a.failed(ctx, fault.Field("name", "missing"))
	}
	v, rev, err := k.CreateWith(q.begun(ctx), caller(ctx), org, b.name(), b.spec(), admin.Write{Labels: b.labels()})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[V]{Status: http.StatusCreated, Revision: revision(rev), DryRun: q.said(), ETag: tagOf(v), Body: v}, nil
}

func put[M, S, V any, B body[S]](ctx context.Context, a *API, k *admin.Collection[M, S, V], org, path string, q WriteQuery, tag string, b B) (*answer[V], error) {
	if err := onlyName(b.name(), path); err != nil {
		return nil, a.failed(ctx, err)
	}
	v, did, rev, err := k.PutWith(q.begun(ctx), caller(ctx), org, path, b.spec(), admin.Write{Labels: b.labels(), IfMatch: tag})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &answer[V]{Status: http.StatusOK, DryRun: q.said(), ETag: tagOf(v), Body: v}
	if did.Created {
		out.Status = http.StatusCreated
	}
	if !did.Changed {
		out.Unchanged = "true"
	}
	if k.Apart() || q.DryRun {
		return out, nil
	}
	return out, a.holds(ctx, out, rev)
}

func remove[M, S, V any](ctx context.Context, a *API, k *admin.Collection[M, S, V], org, name string, q WriteQuery, tag string) (*done, error) {
	rev, err := k.DeleteWith(q.begun(ctx), caller(ctx), org, name, admin.Write{IfMatch: tag})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &done{DryRun: q.said(), Revision: revision(rev)}, nil
}

// acted is the answer to an action.
func acted[V any](ctx context.Context, a *API, v V, rev model.Revision, err error) (*answer[V], error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return written(ctx, a, http.StatusOK, v, rev)
}

// written is the answer to a write that may have found everything as it should be. It has a revision to wait
// for then, too: that somebody wrote it earlier does not mean that every node has it.
func written[V any](ctx context.Context, a *API, status int, v V, rev model.Revision) (*answer[V], error) {
	out := &answer[V]{Status: status, Body: v}
	if rev == 0 {
		out.Unchanged = "true"
	}
	return out, a.holds(ctx, out, rev)
}

// holds says in an answer which revision has what was asked for: the one that was made, else the newest.
func (a *API) holds(ctx context.Context, out interface{ hold(model.Revision) }, rev model.Revision) (err error) {
	if rev == 0 {
		if rev, err = a.Admin.Head(ctx); err != nil {
			return a.failed(ctx, err)
		}
	}
	out.hold(rev)
	return nil
}

func (o *answer[V]) hold(rev model.Revision) { o.Revision = revision(rev) }
