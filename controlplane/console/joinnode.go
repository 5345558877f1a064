package console

import (
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// How a machine becomes a node: a form, one command, and a page that changes by itself when the node is there.

func newNode(q *Request) (*Page, error) {
	return q.nodeForm(filled("platform", nodePlatforms[0].ID, "name", q.freeNode(), "pool", firstOf(q.poolOptions())), 0), nil
}

func (q *Request) nodeForm(f Form, status int) *Page {
	return &Page{Title: "Join a node", Crumbs: q.nodeCrumbs(), Top: nodeFormView(q, f), Status: status}
}

// freeNode is a name for a new node; one that has not joined yet is taken again.
func (q *Request) freeNode() string {
	taken := map[string]bool{}
	for n := range q.m.Nodes() {
		taken[n.Name] = n.Enrolled() || !n.Revoked.IsZero()
	}
	for i := 1; ; i++ {
		if name := "edge-" + strconv.Itoa(i); !taken[name] {
			return name
		}
	}
}

// joinNode makes the node if need be, and its token, and shows the command. The token is shown this once: sending the form
// again makes another one, and the one before is void.
func joinNode(q *Request) (*Done, error) {
	if len(q.Control) == 0 {
		return nil, fault.New(fault.Unavailable, "Nobody has said where nodes reach the control plane.")
	}
	f := formOf(q)
	pf, name, token, err := q.enrollNode(f)
	if err != nil {
		status := f.refuse(err)
		if status == 0 {
			return nil, err
		}
		return &Done{Page: q.nodeForm(f, status)}, nil
	}
	q.URL.Path, q.URL.RawQuery = q.ToCluster("join-node", name), "" // what the page follows from here on
	return &Done{Page: &Page{
		Title: "Join " + name, Crumbs: q.nodeCrumbs(),
		Top: commandView(q, "Paste this on the machine", pf, pf.command(name, q.Control, token.Token), token), Live: nodeWaitView(q, name, nil),
	}}, nil
}

func (q *Request) enrollNode(f Form) (pf platform, name string, token admin.JoinToken, err error) {
	if pf, err = platformOf(nodePlatforms, f.Get("platform")); err != nil {
		return pf, name, token, err
	}
	name = f.Get("name")
	if name == "" {
		return pf, name, token, fault.Field("name", "missing")
	}
	w := admin.Write{}
	if f.Get("labels") != "" {
		labels, err := labelsOf(f)
		if err != nil {
			return pf, name, token, err
		}
		w.Labels = &labels
	}
	spec := admin.NodeSpec{Pool: f.Get("pool"), Region: f.Get("region"), Addresses: f.lines("addresses")}
	if _, _, err = q.Admin.Nodes.CreateWith(q.Context(), q.Who, "", name, spec, w); fault.Of(err) == fault.Conflict {
		err = q.sameNode(name, spec, w)
	}
	if err != nil {
		return pf, name, token, err
	}
	token, err = q.Admin.CreateJoinToken(q.Context(), q.Who, admin.JoinTokenSpec{Node: name})
	return pf, name, token, err
}

// sameNode writes a node that was made before, and that no machine has become: none that serves is moved.
func (q *Request) sameNode(name string, spec admin.NodeSpec, w admin.Write) error {
	v, err := q.Admin.Nodes.Get(q.Context(), q.Who, "", name)
	if err != nil {
		return err
	}
	if v.Enrolled || v.RevokedAt != nil {
		return fault.Field("name", "there is a node %s already", name)
	}
	spec.Capacity, w.IfMatch = v.Capacity, v.Tag()
	_, _, _, err = q.Admin.Nodes.PutWith(q.Context(), q.Who, "", name, spec, w)
	return err
}

// labelsOf are the labels that were typed, one on each line.
func labelsOf(f Form) (model.Labels, error) {
	out := model.Labels{}
	for _, line := range f.lines("labels") {
		key, value, found := strings.Cut(line, "=")
		if !found {
			return nil, fault.Field("labels", "%q: want key=value", line)
		}
		out[key] = value
	}
	return out, nil
}

// joinNodeState is how far a node has come.
func joinNodeState(q *Request) (*Page, error) {
	n, err := q.nodeNamed()
	if err != nil {
		return nil, err
	}
	v := q.node(n)
	return &Page{Title: "Join " + n.Name, Crumbs: q.nodeCrumbs(Crumb{n.Name, q.ToCluster("nodes", n.Name)}), Live: nodeWaitView(q, n.Name, &v)}, nil
}

func (c *Console) joinNodeRoutes(cluster string) {
	c.page(cluster+"/join-node", access.NodesEnroll, newNode)
	c.form(cluster+"/join-node", access.NodesEnroll, joinNode)
	c.page(cluster+"/join-node/{node}", access.NodesRead, joinNodeState)
}
