package reference

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type leaf struct {
	Kind string `json:"kind" enum:"a,b" doc:"What it is"`
}

type tree struct {
	Name   string            `json:"name" minLength:"1" maxLength:"63"`
	Size   int               `json:"size,omitempty" minimum:"1"`
	Leaf   *leaf             `json:"leaf,omitempty"`
	Leaves []leaf            `json:"leaves,omitempty" maxItems:"9"`
	Labels map[string]string `json:"labels,omitempty"`
	Up     []tree            `json:"up,omitempty" doc:"Trees without end"`
	ID     string            `json:"id,omitempty" readOnly:"true"`
}

type input struct {
	Org   string `path:"org"`
	Limit int    `query:"limit" default:"5" maximum:"9" doc:"How many"`
	Body  tree
}

type output struct{ Body []leaf }

func TestOf(t *testing.T) {
	api := humago.New(http.NewServeMux(), huma.DefaultConfig("x", "v1"))
	api.OpenAPI().OnAddOperation = nil
	for _, op := range []huma.Operation{
		{Method: "POST", Path: "/orgs/{org}/trees", OperationID: "plant", Summary: "Plant it", Tags: []string{"trees"}, DefaultStatus: 201, Errors: []int{422, 401}, Extensions: map[string]any{"x-warren-permission": "trees:write"}},
		{Method: "GET", Path: "/orgs/{org}/ants", OperationID: "ants", Tags: []string{"ants"}},
		{Method: "GET", Path: "/hidden/{org}", OperationID: "hidden", Hidden: true},
	} {
		huma.Register(api, op, func(context.Context, *input) (*output, error) { return nil, nil })
	}
	got := Of(api.OpenAPI())
	if len(got) != 2 || got[0].ID != "ants" || got[0].Permission != "none" || got[1].ID != "plant" {
		t.Fatalf("%+v", got)
	}
	op := got[1]
	if op.Permission != "trees:write" || op.Status != 201 || !reflect.DeepEqual(op.Errors, []int{401, 422, 500}) {
		t.Errorf("%+v", op)
	}
	if want := []Field{{"org", "path, string", "", true, false}, {"limit", "query, integer (int64)", "How many. at most 9; by default 5", false, false}}; !reflect.DeepEqual(op.Parameters, want) {
		t.Errorf("%+v, want %+v", op.Parameters, want)
	}
	if want := []Field{{"[].kind", "string", "What it is. one of a, b", true, false}}; !reflect.DeepEqual(op.Answer, want) {
		t.Errorf("%+v, want %+v", op.Answer, want)
	}
	by := map[string]Field{}
	for _, f := range op.Body {
		by[f.Name] = f
	}
	for _, want := range []Field{
		{"name", "string", "1 to 63 characters", true, false}, {"size", "integer (int64)", "1 or more", false, false}, {"leaf.kind", "string", "What it is. one of a, b", true, false},
		{"leaves", "list of object", "at most 9 items", false, false}, {"leaves[].kind", "string", "What it is. one of a, b", true, false}, {"labels", "map of string", "", false, false},
		{"up[].up[].name", "string", "1 to 63 characters", true, false}, {"id", "string", "", false, true},
	} {
		if by[want.Name] != want {
			t.Errorf("%+v, want %+v", by[want.Name], want)
		}
	}
	if op.Body[0].Name != "name" || len(op.Body) > maxFields {
		t.Errorf("%d fields, the first %+v", len(op.Body), op.Body[0])
	}
}
