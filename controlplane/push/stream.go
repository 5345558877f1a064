package push

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
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

// OnDeltaStreamOpen implements delta.Callbacks.
func (st *stream) OnDeltaStreamOpen(context.Context, int64, string) error { return nil }

// OnDeltaStreamClosed implements delta.Callbacks. The Server cleans up after the stream.
func (st *stream) OnDeltaStreamClosed(int64, *core.Node) {}

// OnStreamDeltaResponse implements delta.Callbacks: only here is the nonce known.
func (st *stream) OnStreamDeltaResponse(_ int64, req *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if w := st.watches[req.GetTypeUrl()]; w != nil {
		w.nonce = resp.GetNonce()
	}
	st.sent++
	st.srv.m.sent.WithLabelValues(label(req.GetTypeUrl())).Inc()
}

// OnStreamDeltaRequest implements delta.Callbacks. It runs before CreateDeltaWatch opens the watch anew.
func (st *stream) OnStreamDeltaRequest(_ int64, req *discovery.DeltaDiscoveryRequest) error {
	if id := req.GetNode().GetId(); id != "" && id != st.reader.ID {
		return status.Errorf(codes.PermissionDenied, "node.id %q is not the name in the certificate", clip(id))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.watches[req.GetTypeUrl()]
	if w == nil && len(st.watches) == 0 && req.GetNode().GetId() == "" {
		return status.Error(codes.InvalidArgument, "the first request has no node.id")
	}
	if w == nil || !w.unack || w.nonce == "" || req.GetResponseNonce() != w.nonce {
		if st.spontaneous++; st.spontaneous > maxSpontaneous {
			return status.Error(codes.ResourceExhausted, "too many requests that answer nothing")
		}
		return nil
	}
	w.unack, w.nonce = false, ""
	st.acked++
	st.watchdog()
	return st.answered(req)
}

// answered takes an ACK or NACK of what is under way. It needs the lock.
func (st *stream) answered(req *discovery.DeltaDiscoveryRequest) error {
	t, wrong := req.GetTypeUrl(), req.GetErrorDetail()
	if wrong == nil {
		st.srv.m.acks.WithLabelValues(label(t)).Inc()
	} else {
		st.srv.m.nacks.WithLabelValues(label(t)).Inc()
		st.srv.log.Warn("rejected by reader", st.reader.attr(), "type", resource.ShortType(t), "code", codes.Code(wrong.GetCode()).String(), "err", clip(wrong.GetMessage()))
	}
	if t != resource.Checkpoint {
		if w := st.tx.work(t); w != nil && w.built {
			w.acked = true
		}
		if wrong != nil && durable(t) {
			return status.Errorf(codes.Aborted, "%s was not taken: start again", resource.ShortType(t))
		}
		return nil
	}
	if st.tx == nil {
		return nil
	}
	var rejected []*nodev1.Rejection
	omitted := 0
	if wrong != nil {
		if codes.Code(wrong.GetCode()) != codes.InvalidArgument {
			return status.Errorf(codes.Aborted, "checkpoint %d was not applied: start again", st.tx.checkpoint.GetRevision())
		}
		for _, d := range wrong.GetDetails() {
			r := new(nodev1.Rejections)
			if d.UnmarshalTo(r) == nil {
				rejected = append(rejected, r.GetRejections()...)
				omitted += int(min(r.GetOmitted(), maxOmitted))
			}
		}
	}
	st.complete(rejected, omitted)
	return nil
}

// maxOmitted bounds what a reader may claim.
const maxOmitted = 1 << 30

// complete ends the transaction under way. It needs the lock.
func (st *stream) complete(rejected []*nodev1.Rejection, omitted int) {
	tx := st.tx
	st.srv.readers.applied(st, tx, rejected, omitted)
	st.have, st.tx, st.started = tx.checkpoint, nil, true
	st.ticket.done()
	st.ticket = nil
	st.stopWatchdog()
	rev := model.Revision(st.have.GetRevision())
	st.pending = slices.DeleteFunc(st.pending, func(c *convergence) bool { return c.reached(rev) })
}

// CreateWatch implements cache.ConfigWatcher; state-of-the-world streams are not served.
func (st *stream) CreateWatch(*cache.Request, cache.Subscription, chan cache.Response) (func(), error) {
	return nil, status.Error(codes.Unimplemented, "delta streams only")
}

// CreateDeltaWatch implements cache.ConfigWatcher. A type that this replica does not know gets a watch
// that never answers: a newer node asks for it.
func (st *stream) CreateDeltaWatch(req *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	t := req.GetTypeUrl()
	if !sub.IsWildcard() || len(sub.SubscribedResources()) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "%s: subscribe to \"*\" only, the certificate decides what comes", clip(t))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.watches[t]
	if w == nil {
		w = &watch{}
		st.watches[t] = w
		if durable(t) {
			st.order = append(st.order, t)
			slices.SortFunc(st.order, func(a, b string) int { return typeOrder[a] - typeOrder[b] })
		}
		if t == resource.Checkpoint {
			st.have = st.token(req.GetInitialResourceVersions()[resource.TokenKey])
		}
	}
	w.req, w.out, w.open = req, out, typeOrder[t] > 0
	st.advance(false)
	return func() {
		st.mu.Lock()
		w.open = false // out is closed once all watches are
		st.mu.Unlock()
	}, nil
}

// token reads what a client resumes from. One that makes no sense counts as none.
func (st *stream) token(text string) *nodev1.Checkpoint {
	if text == "" || len(text) > maxToken {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		st.srv.log.Warn("resume token can't be read", st.reader.attr(), "err", err)
		return nil
	}
	cp := new(nodev1.Checkpoint)
	if err := proto.Unmarshal(b, cp); err != nil {
		st.srv.log.Warn("resume token can't be read", st.reader.attr(), "err", err)
		return nil
	}
	cp.ResetTypes = nil
	return cp
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

// hold waits a little for this replica to catch up with the client. It needs the lock.
func (st *stream) hold() {
	if st.held {
		return
	}
	st.held = true
	st.srv.hold(st, true)
	st.setStall(st.srv.opts.Hold, status.Error(codes.Unavailable, "this replica is behind the reader"))
}

func (st *stream) unhold() {
	if st.held {
		st.held = false
		st.srv.hold(st, false)
		st.stopWatchdog()
	}
}

// watchdog gives the client time for its next answer. It needs the lock.
func (st *stream) watchdog() {
	if st.tx != nil {
		st.setStall(st.srv.opts.AckTimeout, status.Error(codes.DeadlineExceeded, "no acknowledgement"))
	}
}

func (st *stream) setStall(d time.Duration, err error) {
	st.stopWatchdog()
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.stall == t { // not stopped too late
			st.endLocked(err)
		}
	})
	st.stall = t
}

func (st *stream) stopWatchdog() {
	if st.stall != nil {
		st.stall.Stop()
		st.stall = nil
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
