// Package preflight finds out, before a certificate authority is asked, what would make it refuse a name.
//
// It asks authoritative servers only, from the root down, so that no cache stands between it and what an
// authority will see. What was found is judged apart from how it was found.
package preflight

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// Limit is how long a check takes at most.
const Limit = 10 * time.Second

const challengeLabel = model.ChallengeLabel + "."

// Question is what is to be checked: hostnames of one domain.
type Question struct {
	Apex      string       // of the domain, canonical
	Names     []string     // that a certificate is to be for: canonical, wildcards included, within the domain
	Servers   []Server     // the nodes of its pool, as name servers
	Addresses []netip.Addr // that lead to the nodes of its pool
	Zones     []Zone       // of all domains of the same organization
	Issuers   []Issuer     // of which one is enough; none: any authority may be meant
}

// Server is a node as a name server of the domain.
type Server struct {
	Host      string // canonical
	Addresses []netip.Addr
	Node      model.NodeID
	Away      bool // it is connected to no replica; filled in by the Checker
}

// Zone is a domain with the addresses of the nodes that answer it.
type Zone struct {
	Apex      string
	Addresses []netip.Addr
}

// Issuer is a certificate authority.
type Issuer struct {
	Name    string
	Domains []string // by which CAA records know it; none: CAA is not asked
	Account string   // URL; "": none yet
}

// hostnames are the names without "*.", each once.
func (q Question) hostnames() []string {
	var out []string
	for _, n := range q.Names {
		if n = strings.TrimPrefix(n, "*."); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// For asks about hostnames of a domain as it is in a model.
func For(m *model.Model, d *model.Domain, names []string, issuers []Issuer) Question {
	q := Question{Apex: d.Name, Names: names, Issuers: issuers}
	pools := map[model.PoolID][]netip.Addr{}
	for o := range m.Domains() {
		if o.Org != d.Org || o.Unproven {
			continue
		}
		if _, ok := pools[o.Pool]; !ok {
			pools[o.Pool] = addressesOf(m, o.Pool)
		}
		q.Zones = append(q.Zones, Zone{o.Name, pools[o.Pool]})
	}
	for n := range m.NodesOf(d.Pool) {
		if n.Enrolled() {
			q.Servers = append(q.Servers, Server{Host: model.GluePrefix + n.Name + "." + d.Name, Addresses: n.Addresses, Node: n.ID})
		}
	}
	slices.SortFunc(q.Servers, func(a, b Server) int { return strings.Compare(a.Host, b.Host) })
	q.Addresses = addressesOf(m, d.Pool)
	return q
}

// addressesOf are where the nodes of a pool are reached.
func addressesOf(m *model.Model, p model.PoolID) []netip.Addr {
	out := []netip.Addr{}
	for n := range m.NodesOf(p) {
		if n.Enrolled() {
			out = append(out, n.Addresses...)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// Options is what a Checker is made of.
type Options struct {
	Roots []netip.Addr // name servers of the root; none: those of the internet
	// Dial opens connections to name servers; nil: as the host does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Away func(model.NodeID) bool // whether a node is connected to no replica; nil: that is not known of any
	Log  *slog.Logger
}

// Checker checks. Safe for concurrent use; it keeps nothing.
type Checker struct{ with Options }

// New makes a Checker.
func New(o Options) *Checker {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if len(o.Roots) == 0 {
		o.Roots = roots
	}
	return &Checker{o}
}

// Check takes Limit at most, and ends with ctx: then with ctx's error.
func (c *Checker) Check(ctx context.Context, q Question) (Report, error) {
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	q.Servers = slices.Clone(q.Servers)
	for i := range q.Servers {
		q.Servers[i].Away = c.with.Away != nil && c.with.Away(q.Servers[i].Node)
	}
	f := gather(limited, newWalk(c.with, q), q)
	if err := ended(ctx); err != nil {
		return Report{}, err
	}
	return Judge(q, f), nil
}

// ended is ctx.Err, also in the moment in which sockets have met the deadline and the context's own timer has not.
func ended(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// roots are the name servers of the internet's root (IANA, named.root), IPv4 and IPv6 of some.
var roots = []netip.Addr{
	netip.MustParseAddr("198.41.0.4"), netip.MustParseAddr("170.247.170.2"), netip.MustParseAddr("192.33.4.12"),
	netip.MustParseAddr("199.7.91.13"), netip.MustParseAddr("192.203.230.10"), netip.MustParseAddr("192.5.5.241"),
	netip.MustParseAddr("193.0.14.129"), netip.MustParseAddr("199.7.83.42"), netip.MustParseAddr("2001:500:2f::f"),
	netip.MustParseAddr("2001:7fd::1"),
}
