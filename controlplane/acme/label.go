package acme

import (
	"errors"
	"slices"
	"strings"
)

// others are types of problems that Class tells by what they are not (RFC 8555 §6.7).
var others = []string{"caa", "connection", "dns", "incorrectResponse", "tls", "unauthorized", "compound"}

// Label is the type of a problem for a metric: one of a set that no authority's words enlarge. "network" is what was
// not answered, "other" what has a type that is not known, or none.
func Label(err error) string {
	p, ok := errors.AsType[*Problem](err)
	if !ok || p == nil {
		return "network"
	}
	name := strings.TrimPrefix(p.Type, namespace)
	if _, known := kinds[p.Type]; known || p.Type != name && slices.Contains(others, name) {
		return name
	}
	return "other"
}
