package sni

import (
	"net/netip"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/hostname"
)

// Config is everything a Forwarder should do, whole.
type Config struct {
	Routes []Route
}

// Mode is what becomes of the connections of a hostname.
type Mode uint8

// Modes.
const (
	HTTP        Mode = iota // TLS ends here, and HTTP is in it
	TCP                     // TLS ends here, whatever is in it
	Passthrough             // the TLS stream goes to a target untouched
)

// Route is how one hostname is treated.
type Route struct {
	Hostname string // canonical; may start with "*."
	Mode     Mode
	Service  string          // id
	Tenant   *inbound.Tenant // that its connections are counted for; nil: nobody

	// Of Passthrough.
	ProxyProtocol int // version that targets are sent before all else: 0 (none), 1 or 2
	Targets       []balance.Target
	Admit         func(client netip.Addr) bool // nil: everybody may come
}

// table is what Apply makes of a Config: the only thing a connection looks at, once.
type table struct {
	routes map[string]*entry // by canonical pattern
}

type entry struct {
	Route
	group *balance.Group
}

// newTable indexes routes by their pattern. Of two routes with one hostname, which the control
// plane never sends, the first is kept.
func newTable(cfg Config, health *balance.Health) *table {
	t := &table{routes: make(map[string]*entry, len(cfg.Routes))}
	for _, r := range cfg.Routes {
		if _, taken := t.routes[r.Hostname]; taken {
			continue
		}
		t.routes[r.Hostname] = &entry{Route: r, group: balance.NewGroup(r.Targets, health)}
	}
	return t
}

// match finds the route of a canonical name: the exact one, else the wildcard in place of the one
// leftmost label, else none. Its cost does not depend on how many routes there are.
func (t *table) match(name string) *entry {
	if e, ok := t.routes[name]; ok {
		return e
	}
	if w, ok := hostname.Wildcard(name); ok {
		return t.routes[w]
	}
	return nil
}
