package console

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/version"
)

// Diagnosis is how the cluster itself is.
type Diagnosis struct {
	Version   string
	Revision  model.Revision // published by this replica
	Replicas  []string       // that somebody is connected to; this one is the first
	Shared    bool           // this replica hears the others
	Database  time.Duration  // since it last answered
	Pools     []PoolState
	Problems  []snapshot.Problem // what can't be compiled
	Broken    []BrokenService
	Truncated bool // more services are broken
}

// PoolState is how the nodes of a pool are.
type PoolState struct {
	Name   string
	Report hops.Report
}

// BrokenService is a service whose requests fail.
type BrokenService struct {
	Org, Name, To string
	Report        hops.Report
}

// mostBroken is how many broken services are listed.
const mostBroken = 50

func (q *Request) diagnose() Diagnosis {
	d := Diagnosis{
		Version: version.Version, Revision: q.Push.Published(), Replicas: []string{q.Presence.Replica()}, Shared: q.Presence.Live(), Database: q.Database(), Problems: q.Push.Problems(),
	}
	for _, e := range q.Presence.List() {
		if !slices.Contains(d.Replicas, e.Replica) {
			d.Replicas = append(d.Replicas, e.Replica)
		}
	}
	for p := range q.m.Pools() {
		d.Pools = append(d.Pools, PoolState{p.Name, q.facts().Nodes(p.ID)})
	}
	slices.SortFunc(d.Pools, func(a, b PoolState) int { return cmp.Compare(a.Name, b.Name) })
	for s := range q.m.Services() {
		o := q.m.Organization(s.Org)
		if o == nil || q.Who.CheckOrg(o.ID) != nil {
			continue
		}
		r := q.facts().Service(s)
		if r.State != hops.Down {
			continue
		}
		if len(d.Broken) == mostBroken {
			d.Truncated = true
			break
		}
		d.Broken = append(d.Broken, BrokenService{o.Name, s.Name, Root + "/orgs/" + path([]string{o.Name, "services", s.Name}), r})
	}
	return d
}

func showDiagnostics(q *Request) (*Page, error) { return q.diagnostics(nil), nil }

// diagnostics is the page, with what this replica found when it looked at what it stands on; nil: it was not asked to.
func (q *Request) diagnostics(found []Check) *Page {
	p := &Page{Title: "Diagnostics", Actions: diagnosticsActions(q), Live: diagnosticsView(q, q.diagnose(), q.between())}
	if found != nil {
		p.Top = checksView(q.Presence.Replica(), found)
	}
	return p
}

// Check is one thing that a replica stands on: "ok", "warning", "failed" or "skipped", why, and what to do.
type Check struct{ Name, State, Cause, Fix string }

// checkTime bounds a look at what a replica stands on.
const checkTime = 5 * time.Second

// checkReplica has this replica look at what it stands on: database, schema, keys, cache, mail, disk.
func checkReplica(q *Request) (*Done, error) {
	if q.Diagnose == nil {
		return nil, fault.New(fault.Unavailable, "Nobody can look here.")
	}
	ctx, cancel := context.WithTimeout(q.Context(), checkTime)
	defer cancel()
	found := append([]Check{}, q.Diagnose(ctx)...)
	q.URL.Path = q.ToCluster("diagnostics") // what the page follows from here on
	return &Done{Page: q.diagnostics(found)}, nil
}

func checkBadge(c Check) Badge {
	return Badge{map[string]string{"ok": good, "warning": warn, "failed": bad}[c.State], c.State, ""}
}

// Between is a tunnel between two nodes, as the one sees it.
type Between struct {
	From string
	Tunnel
}

// mostBetween is how many tunnels between nodes are listed: those that are worst.
const mostBetween = 50

// between are the tunnels between nodes, those that are worst first.
func (q *Request) between() []Between {
	worst := firsts[Between]{most: mostBetween, order: func(a, b Between) int {
		return cmp.Or(cmp.Compare(upRank(a), upRank(b)), cmp.Compare(b.Loss, a.Loss), cmp.Compare(b.RoundTrip, a.RoundTrip), cmp.Compare(a.From, b.From), cmp.Compare(a.Name, b.Name))
	}}
	for n := range q.m.Nodes() {
		if !n.Enrolled() {
			continue
		}
		for _, t := range q.node(n).Tunnels {
			if id, err := (model.NodeID{}).Parse(t.Peer); err == nil && q.m.Node(id) != nil {
				worst.add(Between{n.Name, t})
			}
		}
	}
	return worst.items
}

func upRank(b Between) int {
	if b.Up {
		return 1
	}
	return 0
}

func databaseBadge(age time.Duration) Badge {
	if age < 5*time.Second {
		return Badge{good, "answers", ""}
	}
	return Badge{bad, "away", "Last answer " + span(age) + " ago"}
}
