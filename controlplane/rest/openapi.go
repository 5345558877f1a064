package rest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
)

//go:generate go run ./describe ../../api/rest/openapi.yaml ../../api/rest/manifests.yaml ../../api/rest/paths.txt

// Describe is the OpenAPI description of the API as YAML. It needs nothing that an API stands on.
func Describe() ([]byte, error) {
	return New(Options{Reg: prometheus.NewRegistry()}).OpenAPI()
}

// DescribePaths is the same for who looks for a path: a line for each operation, with its path, the permission that it asks
// for ("none": of nobody), its id and what it does.
func DescribePaths() ([]byte, error) {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 1, 2, ' ', 0)
	paths := New(Options{Reg: prometheus.NewRegistry()}).huma.OpenAPI().Paths
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		p := paths[path]
		for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Patch, p.Delete} {
			if op != nil {
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\n", op.Method, path, op.Extensions["x-warren-permission"], op.OperationID, op.Summary)
			}
		}
	}
	err := w.Flush()
	return out.Bytes(), err
}
