package sni

import (
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/shared/hostname"
)

// Config is everything a Forwarder should do, whole.
type Config struct {
	Routes []Route
}

// Route is how one hostname is treated. A route that is not passthrough ends its TLS here.
type Route struct {
	Hostname    string // canonical; may start with "*."
	Passthrough bool
	Service     string           // id
	Targets     []balance.Target // passthrough only
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
