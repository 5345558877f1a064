package httpproxy

import (
	"context"
	"net"
	"sync"
	"time"
)

// newcomers are the connections that have not had a request yet. net/http would take those that speak HTTP/2 for
// idle ones and close them.
type newcomers struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
	empty chan struct{}         // guarded by mu; nil until somebody waits, closed when conns is empty
}

func (n *newcomers) enter(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		n.conns = map[net.Conn]struct{}{}
	}
	n.conns[c] = struct{}{}
}

// leave may be called for those that have left.
func (n *newcomers) leave(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.conns[c]; !ok {
		return
	}
	delete(n.conns, c)
	if len(n.conns) == 0 && n.empty != nil {
		close(n.empty)
	}
}

// wait waits until all have left, for some time at most or until ctx ends. Nobody may enter any more; it may be
// called once.
func (n *newcomers) wait(ctx context.Context, most time.Duration) {
	n.mu.Lock()
	empty := make(chan struct{})
	if n.empty = empty; len(n.conns) == 0 {
		close(empty)
	}
	n.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	case <-ctx.Done():
	}
}
