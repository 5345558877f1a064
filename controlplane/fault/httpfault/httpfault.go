// Package httpfault says which status of HTTP a fault is, to programs and to people alike.
package httpfault

import (
	"context"
	"errors"
	"net/http"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Status maps what went wrong to HTTP (RFC 9110 §15). What is no fault is the server's own, unless it ran out of time.
func Status(err error) int {
	switch fault.Of(err) {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Stale:
		return http.StatusPreconditionFailed
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
