// Package sni sends each connection of a node's one TLS port where the name in its ClientHello says,
// without decrypting it.
package sni

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
)

const (
	dialTime  = 10 * time.Second
	drainTime = 10 * time.Second // for passthrough connections after Serve's context has ended

	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

// DialFunc opens a stream to a target; it is all that a Forwarder asks of the rest of the node.
type DialFunc func(ctx context.Context, r fabric.Request) (net.Conn, error)

// Own is a protocol that the node itself speaks on its TLS port, beside what it serves for others.
type Own struct {
	Protocol string // ALPN; a connection is meant when it asks for this and for nothing else
	To       *Handoff
}

// Forwarder serves listeners with the routes of the last Apply.
type Forwarder struct {
	dial      DialFunc
	health    *balance.Health
	terminate *Handoff
	own       map[string]*Handoff // by protocol
	log       *slog.Logger
	metrics   *metrics
	limit     *limiter
	idle      time.Duration

	routes atomic.Pointer[table] // replaced whole by Apply; each connection loads it once
}

// New makes a Forwarder without routes. Targets are chosen by health, which learns what becomes of it.
// Connections whose TLS ends here go to terminate, except those of a protocol of the node's own: their
// name, if they have one, is nobody's route.
func New(dial DialFunc, health *balance.Health, terminate *Handoff, log *slog.Logger, reg prometheus.Registerer, own ...Own) *Forwarder {
	f := &Forwarder{
		dial: dial, health: health, terminate: terminate, own: make(map[string]*Handoff, len(own)),
		log: log, metrics: newMetrics(reg), limit: newLimiter(perIP, globalCap()), idle: idleTime,
	}
	for _, o := range own {
		f.own[o.Protocol] = o.To
	}
	f.routes.Store(newTable(Config{}, health))
	return f
}

// TLSListener gives the connections whose TLS ends here, ClientHello included.
func (f *Forwarder) TLSListener() net.Listener { return f.terminate }

// Apply replaces the routes. Connections that are open stay with what they were given, also when
// their route is gone.
func (f *Forwarder) Apply(cfg Config) {
	t := newTable(cfg, f.health)
	f.routes.Store(t)
	f.metrics.routes.Set(float64(len(t.routes)))
}

// Serve accepts from l until ctx ends, then closes it and gives passthrough connections drainTime
// to finish. It may run for several listeners at once.
func (f *Forwarder) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()

	// Connections outlive ctx by drainTime, then are cut.
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	err := f.accept(ctx, l, func(c net.Conn, client netip.AddrPort) {
		wg.Go(func() { f.serve(ctx, live, c, client) })
	})
	timer := time.AfterFunc(drainTime, cut)
	defer timer.Stop()
	if err != nil {
		cut()
	}
	wg.Wait()
	return err
}

// accept calls serve for each connection within the caps. Only a closed listener ends it: out of
// files or a client that is gone already is no reason to stop serving the others.
func (f *Forwarder) accept(ctx context.Context, l net.Listener, serve func(net.Conn, netip.AddrPort)) error {
	retry := acceptRetryMin
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept %s: %w", l.Addr(), err)
		default:
			f.metrics.acceptErr.Inc()
			if retry == acceptRetryMin {
				f.log.Warn("accept", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(retry):
			}
			retry = min(2*retry, acceptRetryMax)
			continue
		}
		retry = acceptRetryMin
		f.metrics.accepted.Inc()
		client := addrPort(c.RemoteAddr())
		if err := f.limit.enter(bucket(client.Addr())); err != nil {
			f.closed(err)
			reset(c)
			continue
		}
		serve(c, client)
	}
}

// serve is the life of one connection, up to its handover if its TLS ends here. No new connection
// is begun once ctx has ended; one that is at work goes on until live ends.
func (f *Forwarder) serve(ctx, live context.Context, raw net.Conn, client netip.AddrPort) {
	f.metrics.open.Inc()
	c := &conn{Conn: raw, vouch: func() { f.limit.vouch(bucket(client.Addr())) }, release: func(vouched bool) {
		f.limit.leave(bucket(client.Addr()), vouched)
		f.metrics.open.Dec()
	}}
	if err := f.route(ctx, live, c, client); err != nil {
		f.closed(err)
		_ = c.Close()
	}
}

// route reads the hello and does what the table says. An error means that c is still to be closed.
func (f *Forwarder) route(ctx, live context.Context, c *conn, client netip.AddrPort) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Conn.Close() })
	name, protocol, hello, err := readHello(c.Conn)
	if !stop() {
		return reasonDraining
	}
	if to, ok := f.own[protocol]; ok {
		c.hold = hello
		if err := to.give(c); err != nil {
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
	if !e.Passthrough {
		c.hold = hello
		if err := f.terminate.give(c); err != nil {
			return err
		}
		f.metrics.ended.Inc()
		return nil
	}
	return f.pass(live, c, e, hello, client)
}

// pass connects c to one of its route's targets and carries bytes until both are done.
func (f *Forwarder) pass(ctx context.Context, c *conn, e *entry, hello []byte, client netip.AddrPort) error {
	if e.group.Empty() {
		return reasonNoTarget
	}
	target := f.reach(ctx, e, client, addrPort(c.LocalAddr()))
	if target == nil {
		return reasonDial
	}
	defer c.Close()
	defer target.Close()
	stop := context.AfterFunc(ctx, func() { // the drain is over
		_ = c.Close()
		_ = target.Close()
	})
	defer stop()
	f.metrics.passed.Inc()
	up, down := f.metrics.bytes.WithLabelValues("up"), f.metrics.bytes.WithLabelValues("down")
	// The bare connection, not c: only between two TCP connections can the kernel splice.
	newPump(f.idle).run(c.Conn, target, hello, func(toTarget bool, n int64) {
		if toTarget {
			up.Add(float64(n))
		} else {
			down.Add(float64(n))
		}
	})
	return nil
}

// reach connects to a target of a route: each is tried once, until one connects or time is up.
func (f *Forwarder) reach(ctx context.Context, e *entry, client, local netip.AddrPort) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var tried []string
	for ctx.Err() == nil {
		t, ok := e.group.Pick(time.Now(), tried...)
		if !ok {
			break
		}
		c, err := f.dial(ctx, fabric.Request{Target: t.ID, Site: t.Site, Service: e.Service, Client: client, Local: local})
		if err == nil {
			f.health.Reached(t.ID)
			return c
		}
		f.log.Debug("dial target", "service", e.Service, "target", t.ID, "site", t.Site, "err", err)
		if !fabric.NoWay(err) {
			f.health.Failed(t.ID, time.Now())
		}
		tried = append(tried, t.ID)
	}
	return nil
}

// closed counts why a connection was closed.
func (f *Forwarder) closed(err error) {
	var r reason
	if errors.As(err, &r) {
		f.metrics.closed.WithLabelValues(string(r)).Inc()
	}
}
