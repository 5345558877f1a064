package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// ListQuery is PageQuery of what may have labels.
type ListQuery struct {
	PageQuery
	Label []string `query:"label,explode" maxItems:"16" doc:"Only objects with this label, as key=value; of several all" example:"[\"env=prod\"]"`
}

// labels reads the query.
func (q ListQuery) labels() (model.Labels, error) { return selector(q.Label) }

func selector(texts []string) (model.Labels, error) {
	var out model.Labels
	for _, text := range texts {
		key, value, found := strings.Cut(text, "=")
		l := model.Labels{key: value}
		if err := l.Validate(); err != nil || !found {
			return nil, huma.Error422UnprocessableEntity("label: want key=value", &huma.ErrorDetail{Message: "want key=value", Location: "query.label", Value: text})
		}
		if had, twice := out[key]; twice && had != value {
			return nil, huma.Error422UnprocessableEntity("label: no object has two values of one key", &huma.ErrorDetail{Message: "no object has two values of one key", Location: "query.label", Value: text})
		}
		if out == nil {
			out = model.Labels{}
		}
		out[key] = value
	}
	return out, nil
}

// labelChange is what is to become of labels.
type labelChange struct {
	Labels map[string]*string `json:"labels" doc:"By key: the value, or null to take the label away. Others stay"`
}

// labelView is what labels have come to.
type labelView struct {
	Labels model.Labels `json:"labels"`
}

// labeller changes labels of one of a kind.
type labeller func(ctx context.Context, org, name string, q WriteQuery, b labelChange) (*answer[labelView], error)

func labelsOf[M, S, V any](a *API, k *admin.Collection[M, S, V]) labeller {
	return func(ctx context.Context, org, name string, q WriteQuery, b labelChange) (*answer[labelView], error) {
		is, changed, err := k.Label(q.begun(ctx), caller(ctx), org, name, b.Labels)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out := &answer[labelView]{Status: http.StatusOK, DryRun: q.said(), Body: labelView{is}} // labels take no revision
		if !changed {
			out.Unchanged = "true"
		}
		return out, nil
	}
}

// labelling registers the change of labels alone. It has no type parameters: each registration that differs in its types
// costs a second of compiling.
func (a *API) labelling(change labeller, need access.Permission, base, one, many string) {
	op := operation(http.MethodPost, base+"/{name}/labels", "label-"+one, "Change labels of one of the "+words(many)+", and nothing else", many, need, 200)
	if !strings.Contains(base, "{org}") {
		huma.Register(a.huma, op, func(ctx context.Context, in *struct {
			NamePath
			WriteQuery
			Body labelChange
		}) (*answer[labelView], error) {
			return change(ctx, "", in.Name, in.WriteQuery, in.Body)
		})
		return
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		OrgPath
		NamePath
		WriteQuery
		Body labelChange
	}) (*answer[labelView], error) {
		return change(ctx, in.Org, in.Name, in.WriteQuery, in.Body)
	})
}
