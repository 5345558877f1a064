package httpproxy

import (
	"net/http"

	"github.com/warrenedge/warren/dataplane/strict"
)

// Refusals beside those of strict.
var (
	refuseMisdirect   = &strict.Refusal{Status: http.StatusMisdirectedRequest, Reason: "misdirected"}
	refuseNoRoute     = &strict.Refusal{Status: http.StatusNotFound, Reason: "no_route"}
	refuseNoTarget    = &strict.Refusal{Status: http.StatusServiceUnavailable, Reason: "no_target"}
	refuseDraining    = &strict.Refusal{Status: http.StatusServiceUnavailable, Reason: "draining"}
	refuseMaintenance = &strict.Refusal{Status: http.StatusServiceUnavailable, Reason: "maintenance"} // the route's page is the answer
	refusePolicy      = &strict.Refusal{Status: http.StatusServiceUnavailable, Reason: "policy_unknown"}
	refuseQuota       = &strict.Refusal{Status: http.StatusTooManyRequests, Reason: "quota"} // the organization's on this node
	refuseAccess      = &strict.Refusal{Status: http.StatusForbidden, Reason: "access"}      // the guard has answered, with whatever status
)

var refusals = append([]*strict.Refusal{refuseMisdirect, refuseNoRoute, refuseNoTarget, refuseDraining, refuseMaintenance, refusePolicy, refuseQuota, refuseAccess}, strict.Refusals...)

// admitted is a request with its route.
type admitted struct {
	strict.Request
	route *route
}

// admit decides everything that does not depend on a target. Name is the canonical server name of
// the connection's handshake. It reads r and changes nothing.
func admit(r *http.Request, t *table, name string) (*admitted, *strict.Refusal) {
	req, ref := strict.Check(r)
	if ref != nil {
		return nil, ref
	}
	rt := t.match(req.Host)
	if req.Host != name && (rt == nil || rt != t.match(name)) {
		// A connection is good for the hostnames of one route (RFC 9110 §7.4): what the handshake
		// asked of the client holds for no other.
		return nil, refuseMisdirect
	}
	if rt == nil {
		return nil, refuseNoRoute
	}
	return &admitted{Request: req, route: rt}, nil
}
