package httpproxy

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// errLeft is what a request gets on a connection that was left before the request had written anything.
var errLeft = errors.New("the connection leads where nothing goes any more")

// ways knows the connections to targets by whom they lead through, to leave those through somebody who is gone:
// nothing else says so, and the next request on one would wait for an answer until idleTime.
type ways struct {
	mu sync.Mutex
	by map[string]map[*kept]struct{} // guarded by mu; by peer
}

// kept is a connection to a target, which the transport keeps for later requests.
type kept struct {
	net.Conn
	way    fabric.Way // that it leads by
	of     *ways
	shared bool // by requests at the same time, as HTTP/2 does
	left   atomic.Bool
	coming atomic.Pointer[dials] // that count it as coming; nil: none do any more

	mu      sync.Mutex
	users   int  // guarded by mu; requests that were given it and are not done
	leaving bool // guarded by mu; to be closed when it has no users
}

func (w *ways) add(c net.Conn, way fabric.Way, shared bool) *kept {
	peer := way.Peer
	k := &kept{Conn: c, way: way, of: w, shared: shared}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]map[*kept]struct{}{}
	}
	if w.by[peer] == nil {
		w.by[peer] = map[*kept]struct{}{}
	}
	w.by[peer][k] = struct{}{}
	return k
}

func (w *ways) remove(k *kept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by[k.way.Peer], k)
	if len(w.by[k.way.Peer]) == 0 {
		delete(w.by, k.way.Peer)
	}
}

// leave closes the connections through a peer by these carriers, of none by any: those that no request uses now, the
// others when they are done.
func (w *ways) leave(peer string, by ...string) {
	w.mu.Lock()
	all := make([]*kept, 0, len(w.by[peer]))
	for k := range w.by[peer] {
		if len(by) == 0 || slices.Contains(by, k.way.Carrier) {
			all = append(all, k)
		}
	}
	w.mu.Unlock()
	for _, k := range all {
		k.leave()
	}
}

// leave closes the connection as soon as no request uses it.
func (k *kept) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = true
	k.settleLocked()
}

// settleLocked closes a connection that is to be left and has no users.
func (k *kept) settleLocked() {
	if k.leaving && k.users == 0 && !k.left.Swap(true) {
		_ = k.Conn.Close()
	}
}

// use counts a request that was given the connection. The transport may have chosen it while it was being left:
// then the request writes nothing on it.
func (k *kept) use() {
	k.came()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving && !k.shared {
		k.users = 0 // who used it before has its answer: the transport gives a connection to one at a time
		k.settleLocked()
	}
	k.users++
}

// came tells, once, that the connection was given to a request, or will be to none.
func (k *kept) came() {
	if k.coming.Load() != nil {
		if d := k.coming.Swap(nil); d != nil {
			d.came()
		}
	}
}

// done is the end of a use.
func (k *kept) done() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users = max(0, k.users-1)
	k.settleLocked()
}

func (k *kept) Write(p []byte) (int, error) {
	if k.left.Load() {
		return 0, errLeft
	}
	return k.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom by what the connection below has for it.
func (k *kept) ReadFrom(r io.Reader) (int64, error) {
	if k.left.Load() {
		return 0, errLeft
	}
	return io.Copy(k.Conn, r)
}

func (k *kept) Close() error {
	k.came()
	k.of.remove(k)
	return k.Conn.Close()
}

// on notes which connection a request was given. It is given another one when it is sent again.
func (x *exchange) on(i httptrace.GotConnInfo) {
	x.pool.dials.has(&x.want)
	x.off()
	if k, ok := under(i.Conn).(*kept); ok {
		k.use()
		x.conn, x.via = k, k.way.Via()
	}
}

// seek notes that a request waits for a connection, and not for its own alone.
func (x *exchange) seek(string) {
	if !x.Upgrade {
		x.pool.dials.want(&x.want)
	}
}

// off is the end of an exchange, or of an attempt, on its connection.
func (x *exchange) off() {
	if x.conn != nil {
		x.conn.done()
		x.conn = nil
	}
}

// missed reports whether the connection was left before this request wrote anything on it: nobody has seen it.
func (x *exchange) missed() bool { return x.conn != nil && x.conn.left.Load() }
