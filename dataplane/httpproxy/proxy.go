package httpproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/strict"
	"github.com/warrenedge/warren/dataplane/terminate"
)

// idleTime ends a request or an upgraded connection on which nothing has moved either way.
const idleTime = 300 * time.Second

var (
	errIdle     = errors.New("nothing moved for too long")
	errSlowBody = errors.New("request body too slow")
)

// Proxy serves connections with the routes and certificates of the last Apply.
type Proxy struct {
	log     *slog.Logger
	access  *slog.Logger
	metrics *metrics
	dial    DialFunc
	health  *balance.Health
	forward *httputil.ReverseProxy
	guard   Guard
	records *requestlog.Log // nil: none
	ways    ways            // of all connections to targets

	current atomic.Pointer[state] // replaced whole by Apply; each request loads it once
	apply   sync.Mutex            // one Apply at a time
	tickets terminate.Tickets
	leaving atomic.Bool // clients are asked to connect anew
}

// state is a table with the pools that its targets are reached through.
type state struct {
	*table
	pools map[poolKey]*pool
}

// SetTicketKeys replaces the keys of session tickets, the one that seals first; none keeps those that are there.
func (p *Proxy) SetTicketKeys(keys []terminate.TicketKey) { p.tickets.Set(keys) }

// Leave says whether this node is about to end: each answer then ends its connection, by Connection: close or GOAWAY (RFC 9112
// §9.6, RFC 9113 §6.8), so that clients connect anew, elsewhere, when it suits them. One that is closed while it is kept may cost
// the request that is just being sent on it.
func (p *Proxy) Leave(yes bool) { p.leaving.Store(yes) }

// New makes a Proxy without routes. Targets are chosen by health, which learns what becomes of it. Requests
// are logged to accessLog, a stream of its own; nil is none.
func New(dial DialFunc, health *balance.Health, log *slog.Logger, reg prometheus.Registerer, accessLog *slog.Logger) *Proxy {
	if accessLog == nil {
		accessLog = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{log: log, access: accessLog, metrics: newMetrics(reg), dial: dial, health: health}
	p.forward = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      roundTripper{p},
		FlushInterval:  -1, // what a target has sent, its client gets
		BufferPool:     new(bufferPool),
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler:   p.failed,
		ModifyResponse: modifyResponse,
	}
	p.current.Store(&state{table: newTable(Config{}, health)})
	return p
}

// Apply replaces routes and certificates. A request sees the old ones or the new ones; connections
// to targets that stay are kept, those to others close once they are idle.
func (p *Proxy) Apply(cfg Config) {
	p.apply.Lock()
	defer p.apply.Unlock()
	old := p.current.Load()
	next := &state{table: newTable(cfg, p.health), pools: make(map[poolKey]*pool)}
	for key := range next.keys() {
		if have := old.pools[key]; have != nil {
			next.pools[key] = have
		} else {
			next.pools[key] = newPool(key, p.dial, &p.ways)
		}
	}
	p.current.Store(next)
	for key, gone := range old.pools {
		if next.pools[key] == nil {
			gone.close()
		}
	}
	for _, problem := range next.problems {
		p.log.Warn("route can't be served", "err", problem)
	}
	p.metrics.routes.Set(float64(len(next.routes)))
}

// Reconnect leaves the connections to targets that lead through these peers, connectors or nodes, once no request
// uses them. One that leads through somebody who is gone does not notice: the next request on it would wait for an
// answer until idleTime. Other connections are kept.
func (p *Proxy) Reconnect(peers ...string) {
	for _, peer := range peers {
		p.ways.leave(peer)
	}
}

// Silent leaves the connections to targets that lead through a peer by these carriers, as Reconnect does. By others the
// peer may be heard: a tunnel falls silent in a process that is late with everything, and to make all connections anew
// then would make it later.
func (p *Proxy) Silent(peer string, by ...string) { p.ways.leave(peer, by...) }

// serveHTTP refuses a request or carries it to one target of its route.
func (p *Proxy) serveHTTP(w http.ResponseWriter, r *http.Request, s *session, upgrades *upgrades) {
	start := time.Now()
	if s.gate != nil {
		defer s.gate.ended.Add(1)
	}
	x := &exchange{session: s, uid: requestlog.NewID(), start: start}
	x.id = x.uid.String()
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), exchangeKey{}, x))
	defer cancel(nil)
	rw := &response{ResponseWriter: w, upgrades: upgrades, session: s}
	rw.Header().Set("X-Request-Id", x.id)
	if p.leaving.Load() && r.Header.Get("Upgrade") == "" {
		rw.Header().Set("Connection", "close")
	}
	rw.watch = newWatchdog(idleTime, http.NewResponseController(w), func() { cancel(errIdle) })
	defer rw.watch.stop()
	defer x.off()
	x.body = &requestBody{ReadCloser: r.Body, rc: http.NewResponseController(w), watch: rw.watch, limit: r.ProtoMajor == 1}
	p.metrics.inFlight.Inc()
	defer func() {
		v := recover()
		if v != nil && x.failure == "" {
			x.failure = "cut"
		}
		p.metrics.inFlight.Dec()
		if x.pass != nil && x.pass.Leave != nil {
			x.pass.Leave()
		}
		p.done(r, x, rw, start)
		switch v {
		case nil:
		case http.ErrAbortHandler: // how ReverseProxy ends an answer that stops in the middle
			panic(v)
		default:
			p.log.Error("panic while serving a request", "err", v, "stack", string(debug.Stack()))
			panic(http.ErrAbortHandler)
		}
	}()

	state := p.current.Load()
	var ref *strict.Refusal
	if x.admitted, ref = admit(r, state.table, s.name); ref != nil {
		p.refuse(rw, r, x, ref)
		return
	}
	if t := x.route.tenant; t.Take(start) != nil {
		t.Hold(ctx)
		rw.Header().Set("Retry-After", "1")
		p.refuse(rw, r, x, refuseQuota)
		return
	}
	if x.Upgrade && upgrades.draining() {
		p.refuse(rw, r, x, refuseDraining)
		return
	}
	if n := x.route.notice; n != nil && n.always {
		x.failure = refuseMaintenance.Reason
		p.metrics.refused.WithLabelValues(x.failure).Inc()
		n.answer(rw, r)
		return
	}
	if !p.pass(rw, r, x, cancel) {
		return
	}
	rule := x.route.rule(strict.Decoded(x.Path))
	if rule == nil && len(x.route.rules) > 0 {
		p.refuse(rw, r, x, refuseNoRoute)
		return
	}
	if rule == nil || rule.group.Empty() {
		p.refuse(rw, r, x, refuseNoTarget)
		return
	}
	x.state, x.rule = state, rule
	x.target, _ = rule.group.Pick(start)
	x.grpc = r.ProtoMajor == 2 && isGRPC(r.Header.Get("Content-Type"))
	in := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		in.Body = x.body
	}
	p.forward.ServeHTTP(rw, in)
}

// failed answers for a target that did not. The page says nothing about what is behind the node.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	status := 0
	status, x.failure = classify(r.Context(), x, err)
	p.log.Debug("request failed", "service", x.route.service, "target", x.target.ID, "site", x.target.Site, "err", err)
	switch x.failure {
	case "idle", "timeout", "unavailable", "target":
		if !x.noted {
			p.health.Note(x.target.ID, time.Now(), err, fabric.NoWay(err))
		}
	}
	if n := x.route.notice; n.instead(status) {
		n.answer(w, r)
		return
	}
	p.answer(w, r, x, status)
}

// classify says how an exchange has failed. What the client did to its own request comes first: the
// error is then whatever the transport made of it.
func classify(ctx context.Context, x *exchange, err error) (status int, failure string) {
	var timeout net.Error
	switch {
	case x.session.gate != nil && x.session.gate.verdict.Load() == badBody:
		return http.StatusBadRequest, "wire"
	case x.body.slow.Load():
		return http.StatusRequestTimeout, "slow_body"
	case errors.Is(context.Cause(ctx), errIdle):
		return http.StatusGatewayTimeout, "idle"
	case ctx.Err() != nil:
		return http.StatusBadGateway, "client_gone" // nobody is left to read it
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, "timeout"
	case fabric.NoWay(err):
		return http.StatusServiceUnavailable, "unavailable"
	default:
		return http.StatusBadGateway, "target"
	}
}

// refuse answers a request that goes nowhere, and ends an HTTP/1 connection whose client can't be
// trusted to mean by the next bytes what we would.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, x *exchange, ref *strict.Refusal) {
	x.failure = ref.Reason
	p.metrics.refused.WithLabelValues(ref.Reason).Inc()
	if r.ProtoMajor == 1 && ref.Status < 500 && ref != refuseNoRoute && ref != refuseQuota {
		w.Header().Set("Connection", "close")
	}
	if ref == strict.Method {
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	if ref == refuseNoTarget && x.route.notice != nil {
		x.route.notice.answer(w, r)
		return
	}
	p.answer(w, r, x, ref.Status)
}

// refusedOnWire notes a request that net/http was not shown. It answers 400.
func (p *Proxy) refusedOnWire(s *session) {
	p.metrics.refused.WithLabelValues(strict.Wire.Reason).Inc()
	p.access.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("client", addrString(s.client.Addr())),
		slog.String("sni", s.name), slog.Int("status", strict.Wire.Status), slog.String("reason", strict.Wire.Reason))
}

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte {
	if v, ok := b.pool.Get().(*[]byte); ok {
		return *v
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(v []byte) { b.pool.Put(&v) }
