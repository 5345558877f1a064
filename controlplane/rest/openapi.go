package rest

import "github.com/prometheus/client_golang/prometheus"

//go:generate go run ./describe ../../api/rest/openapi.yaml ../../api/rest/manifests.yaml

// Describe is the OpenAPI description of the API as YAML. It needs nothing that an API stands on.
func Describe() ([]byte, error) {
	return New(Options{Reg: prometheus.NewRegistry()}).OpenAPI()
}
