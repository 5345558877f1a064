package apply

import (
	"context"
	"maps"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/shared/resource"
)

// Presence implements ads.Handler. It is never kept on disk; who is not mentioned keeps the last state.
func (n *Node) Presence(_ context.Context, typeURL string, upserts []ads.Resource, removed []string, _ bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch typeURL {
	case resource.NodeHealth:
		n.nodeHealth(upserts, removed)
	case resource.TargetHealth:
		n.targetHealth(upserts, removed)
	}
}

func (n *Node) nodeHealth(upserts []ads.Resource, removed []string) {
	was := maps.Clone(n.down)
	for _, r := range upserts {
		var h nodev1.NodeHealth
		if !n.readable(r, &h) {
			continue
		}
		switch h.GetState() {
		case nodev1.NodeState_NODE_STATE_UP:
			delete(n.down, h.GetNodeId())
		case nodev1.NodeState_NODE_STATE_DOWN:
			n.down[h.GetNodeId()] = true
		}
	}
	for _, name := range removed {
		if _, id, ok := cutName(name); ok {
			delete(n.down, id)
		}
	}
	if maps.Equal(was, n.down) {
		return
	}
	n.log.Info("presence of nodes changed", "down", len(n.down))
	n.sub.Fabric.Apply(n.fabricConfig(n.state))
	_ = n.applyDNS() // said at the last checkpoint: health makes no object good or bad
	for id := range n.down {
		if !was[id] {
			n.sub.Proxy.Reconnect(id)
		}
	}
}

func (n *Node) targetHealth(upserts []ads.Resource, removed []string) {
	said := map[string]bool{}
	for _, r := range upserts {
		var h nodev1.TargetHealth
		if !n.readable(r, &h) {
			continue
		}
		switch h.GetState() {
		case nodev1.TargetState_TARGET_STATE_HEALTHY:
			said[h.GetTargetId()] = false
		case nodev1.TargetState_TARGET_STATE_UNHEALTHY:
			said[h.GetTargetId()] = true
		}
	}
	for _, name := range removed {
		if _, id, ok := cutName(name); ok {
			said[id] = false
		}
	}
	n.tellSick(n.sick.hear(said))
}

func (n *Node) readable(r ads.Resource, m proto.Message) bool {
	err := proto.Unmarshal(r.Body, m)
	if err != nil {
		n.log.Warn("presence unreadable", "name", r.Name, "err", err)
	}
	return err == nil
}

func (n *Node) tellSick(changed bool) {
	if !changed {
		return
	}
	n.log.Info("health of targets changed", "unhealthy", len(n.sick.told))
	if n.sub.Health != nil {
		n.sub.Health.Apply(maps.Clone(n.sick.told))
	}
}

// sick is which targets can't serve: those that are said to be unhealthy, as long as the configuration says
// that somebody checks them. So a word whose withdrawal this node missed does no harm.
type sick struct {
	words   map[string]bool // said to be unhealthy
	checked map[string]bool // have a check
	told    map[string]bool // both, as last handed out
}

// hear takes words on some targets, true for unhealthy, and reports whether told changed.
func (s *sick) hear(words map[string]bool) (changed bool) {
	if s.words == nil {
		s.words = map[string]bool{}
	}
	for id, unhealthy := range words {
		if unhealthy {
			s.words[id] = true
		} else {
			delete(s.words, id)
		}
	}
	return s.settle()
}

// check takes all targets that have a check, and reports whether told changed.
func (s *sick) check(checked map[string]bool) (changed bool) {
	s.checked = checked
	return s.settle()
}

func (s *sick) settle() (changed bool) {
	now := map[string]bool{}
	for id := range s.words {
		if s.checked[id] {
			now[id] = true
		}
	}
	changed = !maps.Equal(now, s.told)
	s.told = now
	return changed
}

// checkedTargets are the targets of all good routes and forwards that have a check.
func checkedTargets(l *ledger) map[string]bool {
	checked := map[string]bool{}
	for _, r := range values[route](l, resource.Route) {
		for _, id := range r.checked {
			checked[id] = true
		}
	}
	for _, f := range values[forward](l, resource.Forward) {
		for _, id := range f.checked {
			checked[id] = true
		}
	}
	return checked
}

// allTargets are those that requests may be sent to: of all good routes and forwards, and of the routes in use,
// which may be older.
func allTargets(l *ledger, use map[string]route) map[string]bool {
	all := map[string]bool{}
	add := func(targets []balance.Target) {
		for _, t := range targets {
			all[t.ID] = true
		}
	}
	for _, r := range values[route](l, resource.Route) {
		add(r.targets())
	}
	for _, r := range use {
		add(r.targets())
	}
	for _, f := range values[forward](l, resource.Forward) {
		add(f.Targets)
	}
	return all
}
