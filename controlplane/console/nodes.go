package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
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
	flow, err := q.nodeFlow()
	if err != nil {
		return nil, err
	}
	r := rows(q, q.m.Nodes(), func(n *model.Node) string { return n.Name }, func(n *model.Node) []string {
		return []string{q.poolName(n.Pool), q.regionName(n.Region), addresses(n)}
	})
	return &Page{Title: "Nodes", Actions: nodesActions(q), Top: finder(q, r.Query, "Search nodes"), Live: nodesView(q, r, flow)}, nil
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
	flow, err := q.nodeFlow()
	if err != nil {
		return nil, err
	}
	return &Page{Title: n.Name, Crumbs: q.nodeCrumbs(), Actions: nodeActions(q, n), Live: nodeView(q, n, q.node(n), flow)}, nil
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
