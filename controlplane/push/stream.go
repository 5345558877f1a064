package push

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// Bounds of what a client may do.
const (
	// maxSpontaneous is how many requests of a stream may answer nothing. A client needs one per type.
	maxSpontaneous = 128
	maxToken       = 4 << 10
)

// stream is one ADS stream: a state machine that go-control-plane's delta server drives, as both its
// cache and its callbacks. Each stream has its own delta server, so that none of them has to ask whose
// request it is.
type stream struct {
	srv    *Server
	reader Reader
	since  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu          sync.Mutex
	over        bool // nothing is sent any more
	scopes      []string
	watches     map[string]*watch
	order       []string // durable types with a watch, in apply order
	spontaneous int
	have        *nodev1.Checkpoint // that the client applied last
	started     bool               // a checkpoint of this stream was applied
	resumed     Kind
	tx          *transaction
	ticket      *ticket // for a full view, while one is wanted or under way
	held        bool    // the client is ahead of this replica
	stall       *time.Timer
	pending     []*convergence
	heard       map[string]*heard // of each ephemeral type
	sent, acked int
}

// watch is the subscription to one type.
type watch struct {
	req   *discovery.DeltaDiscoveryRequest
	out   chan cache.DeltaResponse
	open  bool   // the delta server takes a response
	unack bool   // a response is under way
	nonce string // of that response, once it was sent
}

func (w *watch) ready() bool { return w != nil && w.open && !w.unack }

// transaction is a plan under way.
type transaction struct {
	*plan
	from   model.Revision
	closed bool // the checkpoint is under way
}

func (t *transaction) work(typeURL string) *work {
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.plan.work, func(w *work) bool { return w.typeURL == typeURL })
	if i < 0 {
		return nil
	}
	return t.plan.work[i]
}

// end finishes the stream with a gRPC status.
func (st *stream) end(err error) {
	st.mu.Lock()
	st.endLocked(err)
	st.mu.Unlock()
}

func (st *stream) endLocked(err error) {
	st.over = true
	st.cancel(err) // the first one counts
}

// kick looks whether there is something to send. Anybody may call it.
func (st *stream) kick() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.advance(false)
}

// catchUp sends a checkpoint although nothing changed for this reader, so that its token stays young.
func (st *stream) catchUp() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.advance(true)
}

// advance sends what can be sent now. It needs the lock.
func (st *stream) advance(always bool) {
	if st.over {
		return
	}
	st.pushPresence()
	if st.tx == nil && st.watches[resource.Checkpoint].ready() {
		st.begin(always)
	}
	if st.tx != nil {
		st.pump()
	}
}

// begin plans the next transaction if there is one. It needs the lock.
func (st *stream) begin(always bool) {
	st.srv.index.mu.RLock()
	p, scopes, err := st.look(always, false)
	st.srv.index.mu.RUnlock()
	if err == nil && p != nil && p.full() {
		if st.ticket == nil {
			st.ticket = st.srv.admission.ask(st.have == nil, func() { st.srv.poke(st) })
		}
		if !st.ticket.ok() {
			return
		}
		st.srv.index.mu.Lock()
		p, scopes, err = st.look(always, true)
		st.srv.index.mu.Unlock()
	}
	switch {
	case errors.Is(err, errAhead):
		st.hold()
		return
	case err != nil:
		st.endLocked(err)
		return
	}
	st.unhold()
	if !slices.Equal(scopes, st.scopes) {
		st.srv.index.register(st, st.scopes, scopes)
		st.scopes = scopes
	}
	if p == nil || !p.full() {
		st.ticket.done()
		st.ticket = nil
	}
	if p == nil {
		return
	}
	st.tx = &transaction{plan: p, from: model.Revision(st.have.GetRevision())}
	if !st.started && st.resumed == "" {
		st.resumed = p.kind
		st.srv.m.resumes.WithLabelValues(string(p.kind)).Inc()
		st.srv.log.Info("stream starts", st.reader.attr(), "resume", string(p.kind), "from", st.have.GetRevision(), "rev", p.checkpoint.GetRevision())
	}
	st.watchdog()
}

var errAhead = errors.New("the reader is ahead")

// look plans under the index's lock, with the scopes of the same moment: a reader never gets anything
// that the model does not let it read any more.
func (st *stream) look(always, carryOut bool) (*plan, []string, error) {
	x := st.srv.index
	if !x.loaded {
		return nil, nil, errLoading
	}
	scopes, err := st.srv.scopes(x.model, st.reader)
	if err != nil {
		return nil, nil, err
	}
	rev := model.Revision(st.have.GetRevision())
	if rev > x.rev {
		return nil, nil, errAhead
	}
	behind := x.touchedOf(scopes) > rev || always && x.rev > rev || !slices.Equal(scopes, st.scopes) || st.newType()
	if st.started && !behind {
		return nil, scopes, nil
	}
	return x.plan(st.have, scopes, st.order, carryOut), scopes, nil
}

// newType reports whether a type was subscribed to after the last checkpoint. It needs the lock.
func (st *stream) newType() bool {
	return len(st.have.GetTypes()) != len(st.order)
}

// pump offers the next response of each type, then the checkpoint. It needs the lock.
func (st *stream) pump() {
	tx := st.tx
	all := true
	for _, w := range tx.plan.work {
		if w.built {
			continue
		}
		all = false
		if watch := st.watches[w.typeURL]; watch.ready() {
			st.offer(watch, func() (upserts []*discovery.Resource, removed []string) { return st.buildPage(tx, w) })
		}
	}
	if watch := st.watches[resource.Checkpoint]; all && !tx.closed && watch.ready() {
		tx.closed = true
		st.offer(watch, func() ([]*discovery.Resource, []string) {
			return []*discovery.Resource{checkpointResource(tx.checkpoint)}, nil
		})
	}
}

// buildPage makes the next response of a type. It needs the lock.
func (st *stream) buildPage(tx *transaction, w *work) ([]*discovery.Resource, []string) {
	upserts, removed := w.page(func(r *snapshot.Resource) bool { return st.srv.readers.quarantined(st, r) })
	out := make([]*discovery.Resource, len(upserts))
	for i, r := range upserts {
		out[i] = &discovery.Resource{Name: r.Name, Version: r.Version, Resource: r.Any}
	}
	st.srv.m.resources.WithLabelValues(label(w.typeURL)).Add(float64(len(out)))
	if w.built && st.tx == tx {
		st.pump() // the checkpoint follows on the heels of the last page
	}
	return out, removed
}

// offer hands a response that is yet to be built to the delta server. It needs the lock, which keeps the
// channel open: it is closed after all watches were cancelled.
func (st *stream) offer(w *watch, build func() ([]*discovery.Resource, []string)) {
	select {
	case w.out <- &response{st: st, req: w.req, build: build}:
		w.unack, w.open, w.nonce = true, false, ""
	default:
		st.endLocked(status.Error(codes.Internal, "more responses than types"))
	}
}

// release gives back all that the stream holds, after its last request.
func (st *stream) release() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.over = true
	st.stopWatchdog()
	st.unhold()
	st.ticket.done()
	st.srv.index.register(st, st.scopes, nil)
	st.scopes = nil
	for _, c := range st.pending {
		c.left()
	}
	st.pending = nil
}

// expect notes a published change that this stream has to acknowledge.
func (st *stream) expect(c *convergence) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.over:
		c.left()
	case st.started && c.reached(model.Revision(st.have.GetRevision())):
	default:
		st.pending = append(st.pending, c)
	}
}
