// Package sni sends each connection of a node's one TLS port where the name in its ClientHello says,
// without decrypting it.
package sni

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/splice"
)

// drainTime is for passthrough connections after Serve's context has ended.
const drainTime = 10 * time.Second

// Options is what a Forwarder is made of.
type Options struct {
	Reach      reach.Dialer     // to targets of passthrough routes
	Limit      *inbound.Limiter // of connections
	HTTP, TCP  *Handoff         // where connections go whose TLS ends here, by what is in it
	Own        []Own            // they come first: a name that such a connection has is nobody's route
	Requests   *requestlog.Log  // nil: none
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Own is a protocol that the node itself speaks on its TLS port, beside what it serves for others.
type Own struct {
	Protocol string // ALPN; a connection is meant when it asks for this and for nothing else
	To       *Handoff
	For      func(name string) bool // canonical names that it is spoken for; nil: whatever name, or none
}

// Forwarder serves listeners with the routes of the last Apply.
type Forwarder struct {
	with    Options
	own     map[string]Own // by protocol
	metrics *metrics
	idle    time.Duration
	handed  chan struct{} // closed when nothing more will be handed over

	routes atomic.Pointer[table] // replaced whole by Apply; each connection loads it once
}

// New makes a Forwarder without routes.
func New(o Options) *Forwarder {
	f := &Forwarder{with: o, own: make(map[string]Own, len(o.Own)), metrics: newMetrics(o.Registerer), idle: splice.IdleTime, handed: make(chan struct{})}
	for _, own := range o.Own {
		f.own[own.Protocol] = own
	}
	f.routes.Store(newTable(Config{}, o.Reach.Health))
	return f
}

// Apply replaces the routes. Connections that are open stay with what they were given, also when
// their route is gone.
func (f *Forwarder) Apply(cfg Config) {
	t := newTable(cfg, f.with.Reach.Health)
	f.routes.Store(t)
	f.metrics.routes.Set(float64(len(t.routes)))
}

// Handed is closed when Serve will hand over no more connections: whoever takes them from a Handoff ends then,
// and not before.
func (f *Forwarder) Handed() <-chan struct{} { return f.handed }

// Serve accepts from l until ctx ends, then closes it. Connections that it has accepted go on as if nothing had
// happened: their hello may still arrive, and they are handed over. Passthrough connections have drainTime to
// finish. It may be called once.
func (f *Forwarder) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()

	// Connections outlive ctx by drainTime, then are cut.
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var open, undecided sync.WaitGroup
	err := f.accept(ctx, l, func(c net.Conn, client netip.AddrPort) {
		undecided.Add(1)
		decided := sync.OnceFunc(undecided.Done)
		open.Go(func() {
			defer decided()
			f.serve(live, c, client, decided)
		})
	})
	timer := time.AfterFunc(drainTime, cut)
	defer timer.Stop()
	if err != nil {
		cut()
	}
	undecided.Wait()
	close(f.handed)
	open.Wait()
	return err
}

// accept calls serve for each connection within the caps, until l is closed.
func (f *Forwarder) accept(ctx context.Context, l net.Listener, serve func(net.Conn, netip.AddrPort)) error {
	return inbound.Accept(ctx, l, func(c net.Conn) {
		f.metrics.accepted.Inc()
		client := inbound.AddrPort(c.RemoteAddr())
		switch err := f.with.Limit.Enter(client.Addr()); {
		case err == nil:
			serve(c, client)
			return
		case errors.Is(err, inbound.ErrPerIP):
			f.closed(reasonPerIP)
		default:
			f.closed(reasonCrowded)
		}
		inbound.Reset(c)
	}, func(err error, again bool) {
		f.metrics.acceptErr.Inc()
		if !again {
			f.with.Log.Warn("accept", "err", err)
		}
	})
}

// serve is the life of one connection, up to its handover if its TLS ends here; live's end cuts it. It calls
// decided when the connection will not be handed over.
func (f *Forwarder) serve(live context.Context, raw net.Conn, client netip.AddrPort, decided func()) {
	f.metrics.open.Inc()
	c := &conn{Conn: raw, vouch: func() { f.with.Limit.Vouch(client.Addr()) }, release: func(vouched bool) {
		f.with.Limit.Leave(client.Addr(), vouched)
		f.metrics.open.Dec()
	}}
	if err := f.route(live, c, client, decided); err != nil {
		f.closed(err)
		_ = c.Close()
	}
}

// route reads the hello and does what the table says. An error means that c is still to be closed.
func (f *Forwarder) route(live context.Context, c *conn, client netip.AddrPort, decided func()) error {
	stop := context.AfterFunc(live, func() { _ = c.Conn.Close() })
	name, protocol, hello, err := readHello(c.Conn)
	if !stop() {
		return reasonDraining
	}
	if own, ok := f.own[protocol]; ok && (own.For == nil || err == nil && own.For(name)) {
		c.hold = hello
		if err := own.To.give(c); err != nil {
			return err
		}
		f.metrics.own.Inc()
		return nil
	}
	if err != nil {
		return err
	}
	e := f.routes.Load().match(name)
	if e == nil {
		return reasonNoRoute
	}
	if err := c.count(e.Tenant); err != nil {
		return err
	}
	if e.Mode == Passthrough {
		decided()
		start := time.Now()
		r := &requestlog.Record{ID: requestlog.NewID(), Kind: requestlog.TLS, Service: e.Service, Client: client.Addr(), Host: name}
		err := f.admit(live, c, e, hello, client, r)
		r.At, r.Total = time.Now(), time.Since(start)
		f.with.Requests.Add(r)
		return err
	}
	to := f.with.HTTP
	if e.Mode == TCP {
		to = f.with.TCP
	}
	c.hold = hello
	if err := to.give(c); err != nil {
		return err
	}
	f.metrics.ended.Inc()
	return nil
}

// admit passes c on if its client may come. It notes in r what becomes of it.
func (f *Forwarder) admit(ctx context.Context, c *conn, e *entry, hello []byte, client netip.AddrPort, r *requestlog.Record) error {
	start := time.Now()
	if e.Admit != nil && !e.Admit(client.Addr()) {
		r.Decision, r.Reason = requestlog.Denied, string(reasonNotAllowed)
		return reasonNotAllowed
	}
	r.Decide = time.Since(start)
	err := f.pass(ctx, c, e, hello, client, r)
	if why, ok := errors.AsType[reason](err); ok && why == reasonNoTarget {
		r.Decision, r.Reason = requestlog.Refused, string(why)
	} else if ok {
		r.Error = string(why)
	}
	return err
}

// pass connects c to one of its route's targets and carries bytes until both are done.
func (f *Forwarder) pass(ctx context.Context, c *conn, e *entry, hello []byte, client netip.AddrPort, r *requestlog.Record) error {
	local := inbound.AddrPort(c.LocalAddr())
	start, way := time.Now(), fabric.Way{}
	target, t, err := f.with.Reach.Any(ctx, e.group, fabric.Request{Service: e.Service, Client: client, Local: local, Took: &way})
	switch {
	case errors.Is(err, reach.ErrNoTarget):
		return reasonNoTarget
	case err != nil:
		return reasonDial
	}
	r.Target, r.Site, r.Relay, r.FirstByte = t.ID, t.Site, way.Via(), r.Decide+time.Since(start)
	defer c.Close()
	defer target.Close()
	stop := context.AfterFunc(ctx, func() { // the drain is over
		_ = c.Close()
		_ = target.Close()
	})
	defer stop()
	head, err := fabric.ProxyHeader(e.ProxyProtocol, client, local)
	if err != nil { // without its addresses a target would take the client for us
		f.with.Log.Warn("connection without its addresses", "service", e.Service, "err", err)
		return reasonDial
	}
	f.metrics.passed.Inc()
	up, down := f.metrics.bytes.WithLabelValues("up"), f.metrics.bytes.WithLabelValues("down")
	// The bare connection, not c: only between two TCP connections can the kernel splice.
	splice.Both(c.Conn, target, append(head, hello...), f.idle, func(toTarget bool, n int64) {
		if toTarget {
			up.Add(float64(n))
			atomic.AddInt64(&r.In, n)
		} else {
			down.Add(float64(n))
			atomic.AddInt64(&r.Out, n)
		}
	})
	return nil
}

// closed counts why a connection was closed.
func (f *Forwarder) closed(err error) {
	var r reason
	if errors.As(err, &r) {
		f.metrics.closed.WithLabelValues(string(r)).Inc()
	}
}
