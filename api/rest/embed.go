// Package rest has the description of the REST API for programs that have no server to ask.
package rest

import _ "embed"

// Manifests says what the specs of manifests may hold, by kind; it is generated from the routes.
//
//go:embed manifests.yaml
var Manifests []byte
