// Package httpproxy ends TLS for a node's hostnames, refuses what HTTP leaves open to two readings,
// then carries each request to a target of the service that it names.
package httpproxy

import (
	"context"
	"net"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/policy"
)

// DialFunc opens a stream to a target and says what it leads through; it is all that a Proxy asks of the rest of
// the node.
type DialFunc func(ctx context.Context, r fabric.Request) (net.Conn, fabric.Way, error)

// Config is everything a Proxy should do, whole.
type Config struct {
	Certificates []Certificate
	Routes       []Route
}

// Certificate is one that routes may name.
type Certificate = terminate.Certificate

// Route is one hostname with its rules.
type Route struct {
	Service     string          // id
	Tenant      *inbound.Tenant // that its requests are counted for; nil: nobody
	Hostname    string          // canonical; may start with "*."
	Certificate string          // Name of a Certificate
	Further     []string        // names of others, with keys of other types
	Rules       []Rule
	Upstreams   map[string]Upstream // how targets are spoken to, by id; one that is not there: HTTP
	Delivery    Delivery
	Maintenance *Maintenance // nil: none
	Look        *page.Look   // of the pages that the node answers with; nil: the node's own

	Policy  string           // resource name of the policy that decides who may come; "": everybody may
	Decides *policy.Compiled // that policy; nil if it is not known: nobody may come then
}

// Rule sends what is below a path prefix, matched by whole segments, to its targets.
type Rule struct {
	PathPrefix string // starts with "/"
	Targets    []balance.Target
}
