package hops

import (
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// nodes is the hop of the nodes that serve a pool. own are the ids of rows without which they can't serve what is asked
// about.
func (f *Facts) nodes(pool model.PoolID, own ...string) Hop {
	var parts []Part
	active := false
	for n := range f.Model.NodesOf(pool) {
		if !n.Revoked.IsZero() {
			continue
		}
		p := f.node(n, own)
		parts = append(parts, p)
		active = active || p.Code != NodeDraining && p.Code != NodeJoining
	}
	h := Hop{Name: Node, Parts: sorted(parts)}
	counted := make([]Part, 0, len(parts))
	for _, p := range parts {
		if !active || p.Code != NodeDraining && p.Code != NodeJoining { // what is so on purpose is no fault while there are others
			counted = append(counted, p)
		}
	}
	h.State = anyOf(counted)
	if len(parts) == 0 {
		name := pool.String()
		if p := f.Model.Pool(pool); p != nil {
			name = p.Name
		}
		h.Parts = []Part{part("pool", name, Inactive, NoNode, "no node has joined it")}
	}
	return h
}

// node says how one node is: whether it answers clients, and whether it knows what it should.
func (f *Facts) node(n *model.Node, own []string) Part {
	name, id := f.nodeName(n), n.ID.String()
	if !n.Enrolled() {
		return part("node", name, Inactive, NodeJoining, "it has not joined yet")
	}
	e, connected := f.entry(identity.Node, id)
	seen := f.sight(n.ID)
	switch {
	case seen.TLS.silent(f.Now) && (!connected || !f.tunnelled(n)):
		return part("node", name, Down, NodeAway, "its TLS port does not answer ("+seen.TLS.Err+"), and nothing else is heard of it")
	case seen.TLS.silent(f.Now):
		return part("node", name, Down, Unreachable, "it runs, but its TLS port does not answer at its public address: "+seen.TLS.Err)
	case !connected:
		return f.away(n, seen)
	case e.Applied == 0:
		return part("node", name, Down, NodeJoining, "it has not applied any configuration yet")
	case e.Quiet && !f.tunnelled(n) && f.hasTunnels(n):
		return part("node", name, Down, NodeAway, fmt.Sprintf("nothing was heard of it for %.0f s, and all tunnels to it are down", max(f.Now.Sub(e.Seen), presence.QuietAfter).Seconds()))
	}
	if r, ok := rejected(e, own); ok {
		return part("node", name, Down, Rejected, "it did not apply the "+resource.ShortType(r.TypeURL)+": "+r.Reason)
	}
	switch {
	case f.Behind != nil && f.Behind(n.ID):
		return part("node", name, Degraded, NotSynced, fmt.Sprintf("it lacks a change, and is at revision %d", e.Applied))
	case f.older(n.ID) != nil:
		return part("node", name, Degraded, DNSOlder, "its DNS serves "+f.older(n.ID).String())
	case seen.Older && seen.TLS.fine(f.Now): // whose it is may be nobody's business who reads this
		return part("node", name, Degraded, TLSOlder, "it shows a certificate that another one has taken the place of")
	case n.Lifecycle == model.Draining:
		return part("node", name, Degraded, NodeDraining, "it is draining: DNS names it to nobody")
	}
	return healthy("node", name)
}

// away is a node that is not connected to the control plane. It serves on if it can: whether it does is for others to
// say.
func (f *Facts) away(n *model.Node, seen Sight) Part {
	name := f.nodeName(n)
	switch is := f.online(identity.Node, n.ID.String()); {
	case is == presence.Down && f.tunnelled(n):
		return part("node", name, Degraded, ControlLink, "tunnels to it are up, but it is not connected to the control plane")
	case seen.TLS.fine(f.Now):
		return part("node", name, Degraded, ControlLink, fmt.Sprintf("it is not connected to the control plane, and answered %.0f s ago", f.Now.Sub(seen.TLS.At).Seconds()))
	case is == presence.Down:
		return part("node", name, Down, NodeAway, "it is not connected to the control plane, and no tunnel to it is up")
	}
	return part("node", name, Unknown, NotKnown, "nothing was heard of it yet")
}

// tunnelled reports whether a connector says that a tunnel to a node is up: it is somebody else's word that it lives.
func (f *Facts) tunnelled(n *model.Node) bool {
	up, _ := f.tunnelsTo(n)
	return up > 0
}

func (f *Facts) hasTunnels(n *model.Node) bool {
	_, all := f.tunnelsTo(n)
	return all > 0
}

// tunnelsTo counts the tunnels to a node, by the word of connected connectors, up to a few that are up: one is
// enough, and a node may have thousands.
func (f *Facts) tunnelsTo(n *model.Node) (up, all int) {
	if v, ok := f.tunnels[n.ID]; ok {
		return v[0], v[1]
	}
	if f.tunnels == nil {
		f.tunnels = map[model.NodeID][2]int{}
	}
	defer func() { f.tunnels[n.ID] = [2]int{up, all} }()
	const enough = 1
	id := n.ID.String()
	for s := range f.Model.SitesOf(n.Pool) {
		for c := range f.Model.ConnectorsOf(s.ID) {
			e, ok := f.entry(identity.Connector, c.ID.String())
			if !ok || e.Quiet {
				continue
			}
			for _, t := range e.Tunnels {
				if t.Peer != id {
					continue
				}
				if all++; t.Up {
					up++
				}
				if up >= enough {
					return up, all
				}
			}
		}
	}
	return up, all
}

// rejected finds a resource that has to do with one of some rows.
func rejected(e presence.Entry, ids []string) (presence.Rejected, bool) {
	for _, r := range e.Rejected {
		for _, id := range ids {
			if strings.HasSuffix(r.Name, "/"+id) {
				return r, true
			}
		}
	}
	return presence.Rejected{}, false
}
