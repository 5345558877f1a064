package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/identity"
)

// Badge is a state in a word: how it is, what it is called, what that means.
type Badge struct{ Tone, Text, Title string }

// Tones.
const (
	good = "good"
	warn = "warn"
	bad  = "bad"
	idle = ""
)

// Member is a node or connector as it is now.
type Member struct {
	Kind    identity.Kind
	ID      string
	Name    string
	State   Badge
	Up      bool
	Copied  bool // several processes use its identity
	Version string
	Replica string
	Since   time.Time
	Tunnels []Tunnel
	Load    *presence.Load // of a node; nil: it does not say
	Places  []presence.PlacesFile
	Ports   []uint16 // of a connector's machine, on which something listens
}

// Tunnel is one of a member's tunnels.
type Tunnel struct {
	presence.Tunnel
	Name string // of the other end
	To   string // its page, "" if the caller may not see it
	From string // the node that reports it, of a WireGuard device's
}

func (q *Request) node(n *model.Node) Member {
	v := q.member(identity.Node, n.ID.String(), n.Name, n.Enrolled(), !n.Revoked.IsZero())
	if v.Up && n.Lifecycle == model.Draining {
		v.State = Badge{warn, "draining", "It serves what is under way and is named no longer"}
	}
	return v
}

func (q *Request) connector(c *model.Connector) Member {
	return q.member(identity.Connector, c.ID.String(), c.Name, c.Enrolled(), !c.Revoked.IsZero())
}

func (q *Request) member(kind identity.Kind, id, name string, enrolled, revoked bool) Member {
	v := Member{Kind: kind, ID: id, Name: name, State: Badge{bad, "down", "It is not connected to the control plane"}}
	e, online := q.Presence.Get(presence.Key{Kind: kind, ID: id})
	switch {
	case revoked:
		v.State = Badge{idle, "revoked", "It is trusted no more"}
		return v
	case !enrolled:
		v.State = Badge{idle, "waiting", "It has not joined yet"}
		return v
	case online && e.Applied == 0:
		v.State = Badge{warn, "joining", "It is connected and has no configuration yet"}
	case online:
		v.State, v.Up = Badge{good, "up", "Connected, with a configuration"}, true
	}
	if _, copied := q.Presence.Copied(presence.Key{Kind: kind, ID: id}); copied {
		v.Copied, v.State = true, Badge{bad, "copied", "Several processes use its identity: its state directory was copied"}
	}
	if !online {
		return v
	}
	v.Version, v.Replica, v.Since, v.Load, v.Places, v.Ports = e.Version, e.Replica, e.Since, e.Load, e.Places, e.Listening
	for _, t := range e.Tunnels {
		v.Tunnels = append(v.Tunnels, q.tunnel(t))
	}
	return v
}

// tunnel finds out who is at the other end.
func (q *Request) tunnel(t presence.Tunnel) Tunnel {
	out := Tunnel{Tunnel: t, Name: t.Peer}
	if id, err := (model.NodeID{}).Parse(t.Peer); err == nil && q.m.Node(id) != nil {
		out.Name, out.To = q.m.Node(id).Name, q.toNode(q.m.Node(id))
	}
	if id, err := (model.ConnectorID{}).Parse(t.Peer); err == nil && q.m.Connector(id) != nil {
		c := q.m.Connector(id)
		out.Name = c.Name
		if s := q.m.Site(c.Site); s != nil {
			out.Name, out.To = s.Name+" / "+c.Name, q.toSite(s)
		}
	}
	if id, err := (model.SiteID{}).Parse(t.Peer); err == nil && q.m.Site(id) != nil {
		out.Name, out.To = q.m.Site(id).Name, q.toSite(q.m.Site(id))
	}
	return out
}

// toNode is the page of a node, "" for those who may not see it.
func (q *Request) toNode(n *model.Node) string {
	if !q.Can(access.NodesRead) {
		return ""
	}
	return q.ToCluster("nodes", n.Name)
}

// toSite is the page of a site of any organization, "" for those who may not see it.
func (q *Request) toSite(s *model.Site) string {
	o := q.m.Organization(s.Org)
	if o == nil || !q.Who.Can(access.SitesRead, s.Org) {
		return ""
	}
	return Root + "/orgs/" + path([]string{o.Name, "sites", s.Name})
}

// up counts a member's tunnels that carry something.
func (v Member) up() (n int) {
	for _, t := range v.Tunnels {
		if t.Up {
			n++
		}
	}
	return n
}

// processors is how busy a node is, connections how many clients it has.
func (v Member) processors() string {
	if v.Load == nil {
		return "–"
	}
	return percent(v.Load.Processors)
}

func (v Member) connections() string {
	if v.Load == nil {
		return "–"
	}
	return itoa(v.Load.Connections)
}

// versions are those of the programs of a site.
func (s SiteState) versions() string {
	var out []string
	for _, m := range s.Connectors {
		if m.Version != "" && !slices.Contains(out, m.Version) {
			out = append(out, m.Version)
		}
	}
	slices.Sort(out)
	return dash(strings.Join(out, ", "))
}

// ends are the nodes to which tunnels are up, or, of a local site, those that stand in it: the first few of them.
func (s SiteState) ends() string {
	var out []string
	for _, t := range s.Tunnels {
		if t.Up && !slices.Contains(out, t.Name) {
			out = append(out, t.Name)
		}
	}
	if s.Kind == model.LocalSite {
		for _, m := range s.Connectors {
			if m.Up {
				out = append(out, m.Name)
			}
		}
	}
	slices.Sort(out)
	return dash(fewOf(out))
}

// nearest is the shortest round trip of tunnels that are up, 0 if none was measured.
func nearest(list []Tunnel) (best time.Duration) {
	for _, t := range list {
		if t.Up && t.RoundTrip > 0 && (best == 0 || t.RoundTrip < best) {
			best = t.RoundTrip
		}
	}
	return best
}

// Sync says whether a node has what it should have.
func (q *Request) sync(v Member) Badge {
	k := push.Reader{Kind: v.Kind, ID: v.ID}
	seen := presence.Key{Kind: v.Kind, ID: v.ID}
	e, _ := q.Presence.Get(seen)
	have := e.Applied
	here, since := q.Push.Applied(k)
	if !since.IsZero() {
		have = max(have, here)
	}
	need, err := q.Push.Required(k, q.Push.Published())
	switch {
	case !q.Presence.Lives(time.Now(), seen, since):
		return Badge{idle, "OFFLINE", "It will follow when it is back"}
	case err == nil && have >= need:
		return Badge{good, "SYNCED", "It has applied all that concerns it"}
	}
	return Badge{warn, "STALE", "It has applied revision " + fmt.Sprint(have) + ", and needs " + fmt.Sprint(need)}
}

// SiteState is a site as it is now.
type SiteState struct {
	*model.Site
	State      Badge
	Connectors []Member // of local sites, and those that are a WireGuard device: the nodes that reach it
	Tunnels    []Tunnel
	Up         int // tunnels
	Targets    int
}

// site finds out how a site is reached.
func (q *Request) site(s *model.Site) SiteState {
	out := SiteState{Site: s}
	for range q.m.TargetsAt(s.ID) {
		out.Targets++
	}
	switch s.Kind {
	case model.LocalSite:
		for _, id := range s.Nodes {
			if n := q.m.Node(id); n != nil {
				out.Connectors = append(out.Connectors, q.node(n))
			}
		}
	case model.WireGuardSite:
		q.device(&out)
	default:
		for c := range q.m.ConnectorsOf(s.ID) {
			out.Connectors = append(out.Connectors, q.connector(c))
		}
	}
	slices.SortFunc(out.Connectors, func(a, b Member) int { return compareNames(a.Name, b.Name) })
	if s.Kind == model.ConnectorSite {
		for _, m := range out.Connectors {
			out.Tunnels = append(out.Tunnels, m.Tunnels...)
			out.Up += m.up()
		}
	}
	out.State = siteBadge(s, q.facts().Into(s), len(out.Connectors))
	return out
}

// device collects what nodes say of the tunnels of a WireGuard device.
func (q *Request) device(out *SiteState) {
	for n := range q.m.NodesOf(out.Pool) {
		for _, t := range q.node(n).Tunnels {
			if t.Peer != out.ID.String() {
				continue
			}
			t.Name, t.To, t.From = n.Name, q.toNode(n), n.ID.String()
			out.Tunnels = append(out.Tunnels, t)
			if t.Up {
				out.Up++
			}
		}
	}
}

// siteBadge is in a word how nodes get into a site.
func siteBadge(s *model.Site, into hops.Part, members int) Badge {
	out := Badge{toneOf(into.State), string(into.State), into.Reason}
	if into.State == hops.Healthy {
		out.Text = "up"
	}
	if s.Kind == model.ConnectorSite && members == 0 {
		out = Badge{idle, "new", into.Reason}
	}
	return out
}

// target is how a target is now.
func (q *Request) target(t *model.Target) Badge {
	if t.HealthCheck == nil {
		return Badge{idle, "not checked", "It counts as healthy"}
	}
	v := q.facts().Verdict(t)
	switch v.State {
	case presence.TargetHealthy:
		return Badge{good, "healthy", ""}
	case presence.TargetUnhealthy:
		return Badge{bad, "unhealthy", v.Reason}
	}
	return Badge{idle, "unknown", "Nobody has checked it yet"}
}
