package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Reasons why a pool gives no stream.
var (
	errDown = errors.New("no control connection")
	errBusy = fmt.Errorf("%d streams at once", mostConns)
	errLost = errors.New("control connection lost while waiting for a stream connection")
)

// pool is the stream connections that one peer has dialled, at the node.
type pool struct {
	node   *Node
	misses atomic.Bool // the peer does not answer in its tunnel, which it is to be told

	mu      sync.Mutex
	session *session       // guarded by mu; nil: the peer is away
	tun     bool           // guarded by mu; its tunnel is an interface of its system
	idle    []*wire        // guarded by mu; the one used last is the last
	all     map[*wire]bool // guarded by mu; of this session and older ones: whether it is of this one
	waiting []chan *wire   // guarded by mu; longest first; each takes one wire, or is closed
	peaks   peaks          // guarded by mu
	wanted  int            // guarded by mu; what the connector was told
}

func newPool(n *Node) *pool { return &pool{node: n, all: map[*wire]bool{}} }

// begin makes s the control connection. An earlier one, and what idles with it, is closed: the connector
// would not have dialled if they were good.
func (p *pool) begin(s *session) {
	p.mu.Lock()
	old := p.session
	p.resetLocked()
	p.session = s
	p.wanted = 0
	p.demandLocked()
	p.mu.Unlock()
	if old != nil {
		old.replace()
	}
}

// end forgets the control connection, if it still is s.
func (p *pool) end(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == s {
		p.resetLocked()
	}
}

// resetLocked closes what is idle. Streams in progress go on: each has a fate of its own.
func (p *pool) resetLocked() {
	p.session = nil
	for _, w := range p.idle {
		p.dropLocked(w)
	}
	p.idle = nil
	for w := range p.all {
		p.all[w] = false
	}
	for _, c := range p.waiting {
		close(c)
	}
	p.waiting = nil
}

func (p *pool) dropLocked(w *wire) {
	delete(p.all, w)
	w.abort()
}

// leave takes no new streams. Those in progress go on.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked()
}

func (p *pool) leaveLocked() {
	if p.session != nil {
		_ = p.session.conn.NetConn().Close()
	}
	p.resetLocked()
}

// shut closes everything.
func (p *pool) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked()
	for w := range p.all { // whoever uses it releases it
		w.abort()
	}
}

// inUseLocked counts the wires that carry a stream.
func (p *pool) inUseLocked() int { return len(p.all) - len(p.idle) }

// demandLocked has the connector told how many connections there should be, when that has changed.
func (p *pool) demandLocked() {
	peak := p.peaks.observe(p.inUseLocked()+len(p.waiting), time.Now())
	if n := size(peak); n != p.wanted && p.session != nil {
		p.wanted = n
		p.session.tell(n)
	}
}

// add takes a new connection in. It reports whether there is room for it.
func (p *pool) add(w *wire) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil || len(p.all) >= p.wanted {
		return false
	}
	p.all[w] = true
	p.offerLocked(w)
	return true
}

// offerLocked gives a wire to who waits longest, else to the idle ones.
func (p *pool) offerLocked(w *wire) {
	if len(p.waiting) > 0 {
		p.waiting[0] <- w // holds one
		p.waiting = slices.Delete(p.waiting, 0, 1)
		return
	}
	p.idle = append(p.idle, w)
}

// take gives a wire: the one used last, which is the likeliest to be alive and has its congestion window
// open. The others age, and are closed when they are too many. If there is none it waits for one.
func (p *pool) take(ctx context.Context) (*wire, error) {
	p.mu.Lock()
	if p.session == nil || !p.session.usable.Load() {
		p.mu.Unlock()
		return nil, errDown
	}
	p.session.use()
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if silent(w.tls.NetConn()) {
			p.demandLocked()
			p.mu.Unlock()
			return w, nil
		}
		p.dropLocked(w)
	}
	if p.inUseLocked()+len(p.waiting) >= mostConns {
		p.mu.Unlock()
		return nil, errBusy
	}
	c := make(chan *wire, 1)
	p.waiting = append(p.waiting, c)
	p.demandLocked()
	p.mu.Unlock()
	p.node.m.waits.Inc()
	return p.await(ctx, c)
}

func (p *pool) await(ctx context.Context, c chan *wire) (*wire, error) {
	select {
	case w, ok := <-c:
		if !ok {
			return nil, errLost
		}
		return w, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, c)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // it came, or the channel was closed
		if w, ok := <-c; ok {
			p.release(w, true)
		}
	}
	return nil, fmt.Errorf("wait for a stream connection: %w", ctx.Err())
}

// background implements owner.
func (p *pool) background(f func()) bool { return p.node.background(f) }

// release implements owner.
func (p *pool) release(w *wire, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !again || !p.all[w] || p.session == nil {
		p.dropLocked(w)
		return
	}
	p.offerLocked(w)
}

// sweep closes the longest idle of those that are too many, and those that are dead, then looks whether
// demand has gone down. In this order: what is closed was not to be replaced.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	surplus := len(p.all) - p.wanted
	p.idle = slices.DeleteFunc(p.idle, func(w *wire) bool {
		if surplus <= 0 && silent(w.tls.NetConn()) {
			return false
		}
		surplus--
		p.dropLocked(w)
		return true
	})
	p.demandLocked()
}

// counts gives the numbers of idle and busy connections, and whether the connector is up.
func (p *pool) counts() (idle, busy int, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle), p.inUseLocked(), p.session != nil && p.session.usable.Load()
}
