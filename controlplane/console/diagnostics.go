package console

import (
	"cmp"
	"slices"
	"time"

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

func showDiagnostics(q *Request) (*Page, error) {
	return &Page{Title: "Diagnostics", Live: diagnosticsView(q, q.diagnose())}, nil
}

func databaseBadge(age time.Duration) Badge {
	if age < 5*time.Second {
		return Badge{good, "answers", ""}
	}
	return Badge{bad, "away", "Last answer " + span(age) + " ago"}
}
