package httpproxy

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/requestpath"
)

// table is what Apply makes of a Config. A request loads it once and asks nothing else.
type table struct {
	routes   map[string]*route // by canonical pattern
	problems []string          // what could not be served as asked, for the log
}

type route struct {
	service, hostname string
	tenant            *inbound.Tenant
	certs             terminate.Choice // none: handshakes for this name are refused
	rules             []rule           // longest prefix first
	upstreams         map[string]Upstream
	delivery          Delivery
	look              *page.Look
	notice            *notice // nil: no page in place of the service

	policy  string           // resource name; "": everybody may come
	decides *policy.Compiled // nil of one that is not known: nobody may
	clients *terminate.Clients
}

type rule struct {
	prefix  string // without its trailing slash; "" matches every path
	targets []balance.Target
	group   *balance.Group // of targets
}

// newTable indexes the routes. A certificate serves a route that names it and that it is for, whatever is wrong with the
// route's others; a route without one keeps its name, so that no wildcard takes over.
func newTable(cfg Config, health *balance.Health) *table {
	certs := make(map[string]*Certificate, len(cfg.Certificates))
	for i := range cfg.Certificates {
		certs[cfg.Certificates[i].Name] = &cfg.Certificates[i]
	}
	t := &table{routes: make(map[string]*route, len(cfg.Routes))}
	for _, r := range cfg.Routes {
		if _, taken := t.routes[r.Hostname]; taken {
			t.problems = append(t.problems, "service "+r.Service+": hostname of another service")
			continue
		}
		built := &route{service: r.Service, hostname: r.Hostname, tenant: r.Tenant, rules: newRules(r, health), policy: r.Policy, decides: r.Decides,
			upstreams: r.Upstreams, delivery: r.Delivery, look: r.Look, notice: newNotice(r.Maintenance, r.Look)}
		if r.Decides != nil {
			built.clients = Clients(r.Decides)
		}
		var usable []*tls.Certificate
		for _, name := range append([]string{r.Certificate}, r.Further...) {
			switch c := certs[name]; {
			case c == nil:
				t.problems = append(t.problems, "service "+r.Service+": certificate missing")
			case !c.Covers(r.Hostname):
				t.problems = append(t.problems, "service "+r.Service+": certificate is for other names")
			default:
				usable = append(usable, &c.TLS)
			}
		}
		built.certs = terminate.NewChoice(usable...)
		t.routes[r.Hostname] = built
	}
	return t
}

func newRules(r Route, health *balance.Health) []rule {
	rules := make([]rule, 0, len(r.Rules))
	for _, from := range r.Rules {
		rules = append(rules, rule{
			prefix: strings.TrimRight(from.PathPrefix, "/"), targets: from.Targets, group: balance.NewGroup(from.Targets, health),
		})
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return len(b.prefix) - len(a.prefix) })
	return rules
}

// match finds the route of a canonical name: the exact one, else the wildcard in place of the one
// leftmost label, else none.
func (t *table) match(name string) *route {
	if r, ok := t.routes[name]; ok {
		return r
	}
	if w, ok := hostname.Wildcard(name); ok {
		return t.routes[w]
	}
	return nil
}

// rule finds the longest prefix of whole segments: "/a" is for "/a" and "/a/b", not for "/ab". The
// path is decoded; package strict has refused what could be decoded into other segments.
func (r *route) rule(path string) *rule {
	for i := range r.rules {
		p := r.rules[i].prefix
		if requestpath.Within(path, p) {
			return &r.rules[i]
		}
	}
	return nil
}

// keys lists every target that the table can choose.
func (t *table) keys() map[poolKey]bool {
	all := make(map[poolKey]bool)
	for _, r := range t.routes {
		for _, rule := range r.rules {
			for _, target := range rule.targets {
				all[keyOf(r, target)] = true
			}
		}
	}
	return all
}

func keyOf(r *route, t balance.Target) poolKey {
	to := r.upstreams[t.ID]
	to.StripPrefix = false // of requests, not of connections
	return poolKey{service: r.service, target: t.ID, site: t.Site, to: to}
}
