package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

func (q *Request) nodeNamed() (*model.Node, error) {
	ref := q.PathValue("node")
	for n := range q.m.Nodes() {
		if n.Name == ref || n.ID.String() == ref {
			return n, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no node %q.", ref)
}

func listNodes(q *Request) (*Page, error) {
	r := rows(q, q.m.Nodes(), func(n *model.Node) string { return n.Name }, func(n *model.Node) []string {
		return []string{q.poolName(n.Pool), q.regionName(n.Region), addresses(n)}
	})
	return &Page{Title: "Nodes", Top: finder(q, r.Query, "Search nodes"), Live: nodesView(q, r)}, nil
}

func addresses(n *model.Node) string {
	var out []string
	for _, a := range n.Addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

func (q *Request) nodeCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Nodes", q.ToCluster("nodes")}}, more...)
}

func showNode(q *Request) (*Page, error) {
	n, err := q.nodeNamed()
	if err != nil {
		return nil, err
	}
	return &Page{Title: n.Name, Crumbs: q.nodeCrumbs(), Actions: nodeActions(q, n), Live: nodeView(q, n, q.node(n))}, nil
}

func askDrain(q *Request) (*Page, error) {
	n, err := q.nodeNamed()
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: "Drain " + n.Name + "?", Crumbs: q.nodeCrumbs(Crumb{n.Name, q.ToCluster("nodes", n.Name)}),
		Top: question("DNS stops naming "+n.Name+", sites move to other nodes, and its program ends by itself when resolvers have forgotten it. Until then this can be taken back.",
			"Drain it", q.URL.Path, q.ToCluster("nodes", n.Name)),
	}, nil
}

func drainNode(q *Request) (*Done, error) {
	v, rev, err := q.Admin.Drain(q.Context(), q.Who, q.PathValue("node"))
	return &Done{To: q.ToCluster("nodes", v.Name), Said: v.Name + " is draining.", Revision: rev}, err
}

func activateNode(q *Request) (*Done, error) {
	v, rev, err := q.Admin.Activate(q.Context(), q.Who, q.PathValue("node"))
	return &Done{To: q.ToCluster("nodes", v.Name), Said: v.Name + " is active.", Revision: rev}, err
}

// Resource is one resource as a node holds or should hold it.
type Resource struct {
	push.ResourceView
	Type  string
	Badge Badge
}

// mostResources is how many resources a snapshot shows: those that are not in sync come first.
const mostResources = 300

// snapshot compares what a node should have with what it was sent, has acknowledged and has applied.
func (q *Request) snapshot(n *model.Node) ([]Resource, *push.View, error) {
	var far *push.Elsewhere
	if e, ok := q.Presence.Get(presence.Key{Kind: identity.Node, ID: n.ID.String()}); ok && e.Replica != q.Presence.Replica() {
		far = &push.Elsewhere{Applied: e.Applied, Omitted: e.Omitted}
		for _, r := range e.Rejected {
			far.Rejected = append(far.Rejected, push.Rejected(r))
		}
	}
	v, err := q.Push.Debug(push.Reader{Kind: identity.Node, ID: n.ID.String()}, far)
	if err != nil {
		return nil, nil, err
	}
	var odd, even []Resource
	query := strings.ToLower(strings.TrimSpace(q.URL.Query().Get("q")))
	for _, r := range v.Resources {
		out := Resource{r, resource.ShortType(r.TypeURL), resourceBadge(r)}
		if query != "" && !strings.Contains(strings.ToLower(out.Type+" "+r.Name), query) {
			continue
		}
		if r.Status == push.StatusSynced {
			even = append(even, out)
		} else {
			odd = append(odd, out)
		}
	}
	return append(odd, even...), v, nil
}

func resourceBadge(r push.ResourceView) Badge {
	tones := map[push.Status]string{push.StatusSynced: good, push.StatusPending: warn, push.StatusRejected: bad, push.StatusProblem: bad, push.StatusUnknown: warn}
	return Badge{tones[r.Status], string(r.Status), r.Reason}
}

// short is the beginning of a version, which is a hash.
func short(s push.State) string {
	if s.Version == "" {
		return "–"
	}
	return s.Version[:min(len(s.Version), 8)]
}

func nodeSnapshot(q *Request) (*Page, error) {
	n, err := q.nodeNamed()
	if err != nil {
		return nil, err
	}
	list, v, err := q.snapshot(n)
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: "Snapshot of " + n.Name, Crumbs: q.nodeCrumbs(Crumb{n.Name, q.ToCluster("nodes", n.Name)}),
		Top: finder(q, q.URL.Query().Get("q"), "Search resources"), Live: snapshotView(q, n, list, v),
	}, nil
}
