package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// Pools and regions: which nodes serve together, and where they stand. All that is written of either is its name.

// grouping is what nodes are grouped by.
type grouping struct {
	noun, list, title string
	write             access.Permission
	empty, hint       string // what a list without any says; what a name is for
	warning           string // before one is deleted
}

var (
	poolGrouping = grouping{
		noun: "pool", list: "pools", title: "Pools", write: access.PoolsWrite,
		empty: "Nodes of a pool serve the same services and domains.", hint: "Small letters, digits and hyphens. Nodes join a pool; services, sites and domains name one.",
		warning: "No node, service, site or domain may name it any more.",
	}
	regionGrouping = grouping{
		noun: "region", list: "regions", title: "Regions", write: access.RegionsWrite,
		empty: "Nodes and sites of one region are preferred for each other.", hint: "Small letters, digits and hyphens, such as eu-central.",
		warning: "No node and no site may name it any more.",
	}
)

// Grouped is a pool or a region with what names it.
type Grouped struct {
	admin.Meta
	Nodes, Up, Sites, Services, Domains int
}

func (q *Request) poolNow(v admin.Pool) Grouped {
	g := Grouped{Meta: v.Meta}
	id, err := model.PoolID{}.Parse(v.ID)
	if err != nil {
		return g
	}
	for n := range q.m.NodesOf(id) {
		g.count(q, n)
	}
	for s := range q.m.Sites() {
		if s.Pool == id {
			g.Sites++
		}
	}
	for s := range q.m.Services() {
		if s.Pool == id {
			g.Services++
		}
	}
	for d := range q.m.Domains() {
		if d.Pool == id {
			g.Domains++
		}
	}
	return g
}

func (q *Request) regionNow(v admin.Region) Grouped {
	g := Grouped{Meta: v.Meta}
	id, err := model.RegionID{}.Parse(v.ID)
	if err != nil {
		return g
	}
	for n := range q.m.Nodes() {
		if n.Region == id {
			g.count(q, n)
		}
	}
	for s := range q.m.Sites() {
		if s.Region == id {
			g.Sites++
		}
	}
	return g
}

func (g *Grouped) count(q *Request, n *model.Node) {
	if g.Nodes++; q.node(n).Up {
		g.Up++
	}
}

// groupRoutes are the pages of pools or regions.
func groupRoutes[M, S, V any](c *Console, at string, g grouping, k *admin.Collection[M, S, V], name func(V) string, now func(q *Request, v V) Grouped) {
	form := func(q *Request, f Form, status int) (*Page, error) {
		return &Page{Title: "New " + g.noun, Crumbs: []Crumb{{g.title, q.ToCluster(g.list)}}, Status: status, Top: nodeGroupFormView(q, g, f)}, nil
	}
	c.page(at+"/"+g.list, access.NodesRead, func(q *Request) (*Page, error) {
		list, err := part(q, k.List)
		if err != nil {
			return nil, err
		}
		out := Part[Grouped]{Next: list.Next, First: list.First}
		for _, v := range list.Items {
			out.Items = append(out.Items, now(q, v))
		}
		return &Page{Title: g.title, Actions: newAction(q, g.write, "new-"+g.noun, "New "+g.noun), Live: nodeGroupsView(q, g, out)}, nil
	})
	c.page(at+"/new-"+g.noun, g.write, func(q *Request) (*Page, error) { return form(q, filled(), 0) })
	c.form(at+"/new-"+g.noun, g.write, func(q *Request) (*Done, error) {
		f := formOf(q)
		done := Done{To: q.ToCluster(g.list), Said: "The " + g.noun + " " + f.Get("name") + " is there."}
		var spec S
		var err error
		_, done.Revision, err = k.Create(q.Context(), q.Who, "", f.Get("name"), spec)
		return tried(f, err, done, func(f Form, status int) (*Page, error) { return form(q, f, status) })
	})
	c.removable(at+"/"+g.list+"/{name}", g.write, removalOf(k, name, removal{noun: g.noun, list: g.list, title: g.title, warning: g.warning}))
}
