package apply

import (
	"time"

	"github.com/warrenedge/warren/shared/resource"
)

// resolverSlack is how much longer than its time to live an answer may be used: others have to hear of the order
// before they stop giving it.
const resolverSlack = time.Second

// retreat is what this node does about the order to drain: it ends when nobody is sent to it any more. An order
// that it finds when it comes to the control plane was for whoever ran before it, which is how a drained node is
// started again: it serves what reaches it.
type retreat struct {
	told     bool          // the control plane has spoken since the start
	draining bool          // its last word
	timer    *time.Timer   // until resolvers have forgotten this node; nil: not ordered
	over     chan struct{} // closed then
}

// Drained is closed when this node was told to drain while it ran, and no resolver may keep its address any more.
func (n *Node) Drained() <-chan struct{} { return n.retreat.over }

// Leave makes others stop naming this node: nodes that it gossips with, and its own DNS where there is anybody
// else to name. Clients are asked to connect anew with each answer; all else goes on.
func (n *Node) Leave() {
	n.sub.Proxy.Leave(true)
	if n.sub.Gossip != nil {
		n.sub.Gossip.Drain()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving = true
	if n.ready.Load() {
		_ = n.applyDNS() // said at the last checkpoint: leaving makes no object good or bad
	}
}

// order looks for the order to drain in a transaction that is applied, and for its withdrawal.
func (n *Node) order(before, now *ledger) {
	draining, r := n.draining(now), &n.retreat
	n.mu.Lock()
	defer n.mu.Unlock()
	was, told := r.draining, r.told
	r.told, r.draining = true, draining
	switch {
	case !told || draining == was:
	case draining:
		wait := max(longestTTL(before, n.id), longestTTL(now, n.id)) + resolverSlack
		n.log.Info("told to drain: this node ends when resolvers have forgotten it", "wait", wait)
		n.sub.Proxy.Leave(true)
		r.timer = time.AfterFunc(wait, func() { n.retire() })
	case r.timer != nil:
		n.log.Info("told to go on")
		r.timer.Stop()
		r.timer = nil
		n.sub.Proxy.Leave(n.leaving)
	}
}

// retire ends a retreat that was not called off in the last moment.
func (n *Node) retire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.retreat.timer != nil {
		n.retreat.timer = nil
		close(n.retreat.over)
	}
}

// draining reports whether a ledger says that this node drains.
func (n *Node) draining(l *ledger) bool {
	for _, o := range values[node](l, resource.Node) {
		if o.id == n.id {
			return o.draining
		}
	}
	return false
}

// longestTTL is how long resolvers may keep an answer that names a node.
func longestTTL(l *ledger, id string) time.Duration {
	pool := ""
	for _, o := range values[node](l, resource.Node) {
		if o.id == id {
			pool = o.pool
		}
	}
	var ttl uint32
	for _, r := range values[recordSet](l, resource.RecordSet) {
		if r.pool == pool {
			ttl = max(ttl, r.ttl)
		}
	}
	return time.Duration(ttl) * time.Second
}
