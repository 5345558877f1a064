package sni

import (
	"math/rand/v2"

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
	Service     string   // id
	Targets     []Target // passthrough only
}

// Target is where a passthrough connection may go.
type Target struct {
	ID, Site string
	Weight   int // share of new connections; 0 counts as 1
}

// table is what Apply makes of a Config: the only thing a connection looks at, once.
type table struct {
	routes map[string]*entry // by canonical pattern
}

type entry struct {
	Route
	total int // sum of weights
}

// newTable indexes routes by their pattern. Of two routes with one hostname, which the control
// plane never sends, the first is kept.
func newTable(cfg Config) *table {
	t := &table{routes: make(map[string]*entry, len(cfg.Routes))}
	for _, r := range cfg.Routes {
		if _, taken := t.routes[r.Hostname]; taken {
			continue
		}
		e := &entry{Route: r}
		for _, target := range r.Targets {
			e.total += weight(target)
		}
		t.routes[r.Hostname] = e
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

// pick chooses a target at random, by weight.
func (e *entry) pick() (Target, bool) {
	if e.total == 0 {
		return Target{}, false
	}
	n := rand.IntN(e.total)
	for _, t := range e.Targets {
		if n -= weight(t); n < 0 {
			return t, true
		}
	}
	return Target{}, false
}

func weight(t Target) int { return max(t.Weight, 1) }
