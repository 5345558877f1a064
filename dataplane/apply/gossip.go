package apply

import (
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/shared/resource"
)

// Gossip is what nodes tell each other.
type Gossip interface {
	Apply(gossip.Config) error
	View() gossip.View
	Changed() <-chan struct{} // yields after changes of View
	SetSites(sites []string)  // that this node can reach itself
	SetLoad(thousandths int)  // of what this node can carry
	Drain()                   // tells that this node is not to be named any more
}

// How gossip is followed: changes that come together are applied together, and what is told of this node is looked
// at so often.
const (
	gossipQuiet  = 20 * time.Millisecond
	tellInterval = 500 * time.Millisecond
	tellAnyway   = 5 * time.Second // which sites: of thousands that takes some milliseconds, and few come or go
)

// standing is what this node believes of another.
type standing struct {
	draining bool // no longer named to clients
	down     bool // not named to clients, as long as somebody else is there
	away     bool // asked last: down, or not reached from here
}

// spoils reports whether ways by that node, which were good before, are to be left.
func (s standing) spoils(before standing) bool {
	return s.away && !before.away || s.draining && !before.draining
}

// stand combines what the nodes say with the control plane's last word. Gossip wins where it knows: it is
// newer, and needs nobody. Where it does not, and when this node itself seems cut off, the control plane's
// word holds, so that names go on pointing at nodes that others may still reach.
func stand(says gossip.Node, drainingByOrder, downByHealth bool) standing {
	s := standing{draining: drainingByOrder, down: downByHealth}
	switch says.State {
	case gossip.Alive:
		s.down = false
	case gossip.Draining:
		s.down, s.draining = false, true
	case gossip.Dead:
		s.down = true
	}
	s.away = s.down || says.Unreachable
	return s
}

func (n *Node) standing(o node) standing {
	return stand(n.view.Node(o.id), o.draining || n.leaving && o.id == n.id, n.down[o.id])
}

// standings are those of all nodes.
func (n *Node) standings() map[string]standing {
	out := map[string]standing{}
	for _, o := range values[node](n.state, resource.Node) {
		out[o.id] = n.standing(o)
	}
	return out
}

// gossipConfig makes every other node that can be reached a peer.
func (n *Node) gossipConfig(l *ledger, me self) gossip.Config {
	cfg := gossip.Config{Self: n.id, Keys: me.gossipKeys}
	for _, o := range values[node](l, resource.Node) {
		switch {
		case o.id == n.id:
			cfg.Endpoint, cfg.Draining = o.gossip, o.draining
		case o.gossip.Addr.IsValid():
			cfg.Peers = append(cfg.Peers, gossip.Peer{ID: o.id, Endpoint: o.gossip})
		}
	}
	return cfg
}

func (n *Node) applyGossip(l *ledger, me self) {
	if n.sub.Gossip == nil {
		return
	}
	if err := n.sub.Gossip.Apply(n.gossipConfig(l, me)); err != nil {
		n.log.Warn("gossip goes on as before", "err", err)
	}
	n.view = n.sub.Gossip.View()
}

// Follow makes DNS and fabric follow what nodes tell each other, and tells what this node carries and which sites can
// be reached from here, until ctx ends. It needs no control plane.
func (n *Node) Follow(ctx context.Context) error {
	if n.sub.Gossip == nil {
		<-ctx.Done()
		return nil
	}
	look := time.NewTicker(tellInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			n.sub.Gossip.SetLoad(n.load.observe(n.sub.Load()))
			if n.sitesMayDiffer(time.Now()) {
				n.tellSites()
			}
		case <-n.sub.Gossip.Changed():
			select {
			case <-ctx.Done():
			case <-time.After(gossipQuiet):
			}
			n.heard()
		}
	}
}

// heard applies what gossip says now.
func (n *Node) heard() {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, was := n.standings(), n.view
	n.view = n.sub.Gossip.View()
	if !n.ready.Load() {
		return
	}
	n.sub.Fabric.Apply(n.fabricConfig(n.state))
	_ = n.applyDNS() // said at the last checkpoint: health makes no object good or bad
	var gone []string
	for id, s := range n.standings() {
		if s.spoils(before[id]) {
			gone = append(gone, id)
		}
		if n.view.Node(id).State == gossip.Dead && was.Node(id).State != gossip.Dead {
			n.sub.Fabric.Cut(id)
		}
	}
	if len(gone) > 0 {
		n.sub.Proxy.Reconnect(gone...)
	}
}

// sitesMayDiffer reports whether something has changed since this was true last, by which other sites can be reached, or
// nobody can tell.
func (n *Node) sitesMayDiffer(now time.Time) bool {
	if !n.ready.Load() {
		return false
	}
	n.mu.Lock()
	state := n.state
	n.mu.Unlock()
	next := looked{state, 0, now}
	if n.sub.Changes != nil {
		next.changes = n.sub.Changes()
	}
	was := n.looked
	late := now.Sub(was.at)
	if n.sub.Changes != nil && next.state == was.state && next.changes == was.changes && late >= 0 && late < tellAnyway {
		return false
	}
	n.looked = next
	return true
}

// looked is what there was when it was looked at which sites can be reached.
type looked struct {
	state   *ledger
	changes uint64
	at      time.Time
}

// tellSites tells which sites this node can reach itself: those with a connector connected here, stock peers whose
// tunnel is up, and those in whose network it stands.
func (n *Node) tellSites() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready.Load() {
		return
	}
	connected := n.connected[:0] // twice a second, of thousands: SetSites keeps a copy if anything has changed
	for s := range each[site](n.state, resource.Site) {
		if n.standsIn(s) || n.holds(s) && n.sub.Up(s.id) || slices.ContainsFunc(s.connectors, func(c end) bool { return n.sub.Up(c.id) }) {
			connected = append(connected, s.id)
		}
	}
	n.connected = connected
	n.sub.Gossip.SetSites(connected)
}
