package hops

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// Into says how nodes get into a site, whatever is behind it.
func (f *Facts) Into(s *model.Site) Part { return f.site(s) }

// site says how nodes get into a site.
func (f *Facts) site(s *model.Site) Part {
	p, ok := f.into[s.ID]
	if !ok {
		if f.into == nil {
			f.into = map[model.SiteID]Part{}
		}
		p = f.way(s)
		f.into[s.ID] = p
	}
	return p
}

func (f *Facts) way(s *model.Site) Part {
	switch s.Kind {
	case model.LocalSite:
		return f.local(s)
	case model.WireGuardSite:
		return f.device(s)
	}
	return f.connectors(s)
}

// local is a site that nodes stand in.
func (f *Facts) local(s *model.Site) Part {
	var missing []string
	all := f.Model.Assigned(s)
	for _, n := range all {
		if p := f.node(n, nil); p.State.rank() >= Inactive.rank() {
			missing = append(missing, p.Name)
		}
	}
	switch {
	case len(all) == 0:
		return part("site", s.Name, Inactive, NoNode, "no node stands in it")
	case len(missing) == len(all):
		return part("site", s.Name, Down, NodeAway, "no node that stands in it is there: "+few(missing))
	case len(missing) > 0:
		return part("site", s.Name, Degraded, NodeAway, "not there: "+few(missing))
	}
	return healthy("site", s.Name)
}

// device is a site that is one stock WireGuard device: only nodes say something of it.
func (f *Facts) device(s *model.Site) Part {
	if s.PeerKey.IsZero() {
		return part("site", s.Name, Inactive, NoConnector, "its device has no key yet: warren site wireguard "+s.Name)
	}
	up, known := 0, false
	for _, n := range f.Model.Assigned(s) {
		e, ok := f.entry(identity.Node, n.ID.String())
		if known = known || ok; !ok {
			continue
		}
		if t, ok := tunnelTo(e, s.ID.String()); ok && t.Up {
			up++
		}
	}
	switch {
	case up > 0:
		return healthy("site", s.Name)
	case !known:
		return part("site", s.Name, Unknown, NotKnown, "no node that could tell is connected to the control plane")
	}
	return part("site", s.Name, Down, TunnelDown, "its device has no tunnel to any node")
}

// link is a tunnel between a connector and a node, by what both ends say.
type link struct {
	connector, node string
	up              bool
	told            bool // anybody said something
	nodeOut         bool // the node is not there: the node hop says so
	transport       string
	loss            float64
}

// connectors is a site that is reached through connectors.
func (f *Facts) connectors(s *model.Site) Part {
	var links []link
	var gone, unlinked []string // connectors that are away; whose tunnels are up, but whom the control plane does not hear
	enrolled, unknown, quiet := 0, 0, 0
	nodes := f.Model.Assigned(s)
	for c := range f.Model.ConnectorsOf(s.ID) {
		if !c.Enrolled() {
			continue
		}
		enrolled++
		if e, ok := f.entry(identity.Connector, c.ID.String()); ok && e.Quiet {
			quiet++
		}
		own := f.links(c, nodes)
		links = append(links, own...)
		up := slices.ContainsFunc(own, func(l link) bool { return l.up })
		switch is := f.online(identity.Connector, c.ID.String()); {
		case is == presence.Unknown && !up:
			unknown++
		case is == presence.Down && up:
			unlinked = append(unlinked, c.Name)
		case is == presence.Down:
			gone = append(gone, c.Name)
		}
	}
	up := 0
	for _, l := range links {
		if l.up {
			up++
		}
	}
	switch {
	case enrolled == 0:
		return part("site", s.Name, Inactive, NoConnector, "no connector has joined it")
	case len(nodes) == 0:
		return part("site", s.Name, Inactive, NoNode, "its pool has no node")
	case up > 0:
		return f.linked(s, links, gone, unlinked)
	case unknown > 0:
		return part("site", s.Name, Unknown, NotKnown, "nothing was heard of its connectors yet")
	case quiet > 0 && !slices.ContainsFunc(links, func(l link) bool { return l.told }):
		return part("site", s.Name, Unknown, NotKnown, "nothing is heard of its connectors, nor of the nodes that could tell")
	case len(gone) == enrolled:
		return part("site", s.Name, Down, ConnectorAway, "no connector is connected: "+few(gone))
	}
	return part("site", s.Name, Down, TunnelDown, "its connectors reach the control plane, but no node")
}

// linked is a site with a tunnel that is up: something may be wrong all the same.
func (f *Facts) linked(s *model.Site, links []link, gone, unlinked []string) Part {
	var missing, overTLS []string
	lost := 0.0
	for _, l := range links {
		switch {
		case !l.up && l.told && !l.nodeOut && !slices.Contains(gone, l.connector):
			missing = append(missing, l.connector+" to "+l.node)
		case l.up && l.transport == "tls":
			overTLS = append(overTLS, l.connector+" to "+l.node)
		}
		if l.up {
			lost = max(lost, l.loss)
		}
	}
	switch {
	case len(gone) > 0:
		return part("site", s.Name, Degraded, ConnectorAway, "not connected: "+few(gone))
	case len(missing) > 0:
		return part("site", s.Name, Degraded, TunnelsFew, "down: "+few(missing))
	case len(overTLS) > 0:
		return part("site", s.Name, Degraded, UDPBlocked, "UDP does not get through, so tunnels go inside TLS: "+few(overTLS))
	case lost >= lossy:
		return part("site", s.Name, Degraded, PacketLoss, fmt.Sprintf("%.0f %% of the heartbeats of a tunnel are lost", 100*lost))
	case len(unlinked) > 0:
		return part("site", s.Name, Degraded, ControlLink, "its tunnels are up, but the control plane does not hear "+few(unlinked))
	}
	return healthy("site", s.Name)
}

// links is what both ends say of a connector's tunnels. The connector's own word counts while it is there; the nodes'
// while it is not.
func (f *Facts) links(c *model.Connector, nodes []*model.Node) []link {
	e, connected := f.entry(identity.Connector, c.ID.String())
	connected = connected && !e.Quiet
	var out []link
	for _, n := range nodes {
		l := link{connector: c.Name, node: f.nodeName(n)}
		if connected {
			if t, ok := tunnelTo(e, n.ID.String()); ok {
				l.up, l.told, l.transport, l.loss = t.Up, true, t.Transport, t.Loss
			}
		}
		ne, ok := f.entry(identity.Node, n.ID.String())
		if l.nodeOut = !ok || ne.Quiet; !l.nodeOut && !connected {
			if t, ok := tunnelTo(ne, c.ID.String()); ok {
				l.up, l.told, l.transport, l.loss = t.Up, true, t.Transport, t.Loss
			}
		}
		out = append(out, l)
	}
	return out
}

func tunnelTo(e presence.Entry, peer string) (presence.Tunnel, bool) {
	i := slices.IndexFunc(e.Tunnels, func(t presence.Tunnel) bool { return t.Peer == peer })
	if i < 0 {
		return presence.Tunnel{}, false
	}
	return e.Tunnels[i], true
}

// few names some of many.
func few(names []string) string {
	const most = 3
	slices.Sort(names)
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
