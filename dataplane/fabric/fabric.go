// Package fabric is the one way from a node to a target, whichever tunnel or relay leads there.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Times of a dial.
const (
	stagger     = 250 * time.Millisecond // RFC 8305 §5, Connection Attempt Delay
	attemptTime = 8 * time.Second        // of one candidate; a connector gives its target 5 s
	lateTime    = 5 * time.Second        // how long a peer that kept a dial waiting comes last
)

// Node is an entrance of the cluster, oneself included.
type Node struct {
	ID   string
	Addr netip.Addr // in the overlay
	Down bool       // known to be away; it is tried all the same, last

	Draining  bool     // is to end soon
	Connected []string // sites with a connector connected there, sorted; nil: not told
	Load      int      // open streams, rounded
}

// Connector is the end of tunnels at a site.
type Connector struct {
	ID   string
	Addr netip.Addr // in the overlay
}

// Site is a private network and who has tunnels to it.
type Site struct {
	ID         string
	Connectors []Connector
	Nodes      []string // assigned nodes, preferred first
}

// Config is all that the fabric knows.
type Config struct {
	Self  string // id of this node
	Sites []Site
	Nodes []Node
}

// Carrier brings a stream to a peer.
type Carrier interface {
	// Dial connects to an address of a peer, a connector or a node. It returns soon after ctx ends.
	Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error)
	// Up reports whether the peer was heard of recently. It is asked for every candidate of every dial.
	Up(peer string) bool
}

// Fabric dials targets with the configuration of the last Apply. Safe for concurrent use.
type Fabric struct {
	carrier Carrier
	log     *slog.Logger
	m       *metrics
	late    memory
	table   atomic.Pointer[table] // replaced whole by Apply; each dial loads it once
}

// New makes a Fabric that knows no site.
func New(carrier Carrier, log *slog.Logger, reg prometheus.Registerer) *Fabric {
	f := &Fabric{carrier: carrier, log: log, m: newMetrics(reg)}
	f.table.Store(newTable(Config{}))
	return f
}

// Apply replaces the configuration. Streams that exist stay.
func (f *Fabric) Apply(cfg Config) {
	f.table.Store(newTable(cfg))
	f.m.sites.Set(float64(len(cfg.Sites)))
}

// DialTarget opens a stream to a target. Candidates are tried in order of preference, the next one when
// one refuses, or when there is no answer for 250 ms; the first to connect wins. The connection can close
// one half (CloseWrite). The error is a *DialError.
func (f *Fabric) DialTarget(ctx context.Context, r Request) (net.Conn, error) {
	h := Header{Target: r.Target, Site: r.Site, Service: r.Service, Client: r.Client, Local: r.Local}
	start := time.Now()
	conn, err := f.dial(ctx, h, true)
	status := StatusConnected
	var de *DialError
	if errors.As(err, &de) {
		status = de.Status
	}
	f.m.dials.WithLabelValues(status.label()).Inc()
	if err != nil {
		return nil, err
	}
	f.m.dialTime.Observe(time.Since(start).Seconds())
	return conn, nil
}

// dial tries the ways to the header's site: tunnels of this node, and relays if wanted.
func (f *Fabric) dial(ctx context.Context, h Header, relays bool) (net.Conn, error) {
	fail := func(s Status, err error) (net.Conn, error) {
		return nil, &DialError{Status: s, Site: h.Site, Target: h.Target, Err: err}
	}
	direct, err := h.Marshal()
	if err != nil {
		return fail(StatusBadRequest, err)
	}
	h.Hops++ // for whoever passes it on
	viaRelay, err := h.Marshal()
	if err != nil {
		return fail(StatusBadRequest, err)
	}
	cs := f.table.Load().candidates(h.Site, relays, f.carrier.Up, f.late.has)
	if len(cs) == 0 {
		return fail(StatusNoTunnel, nil)
	}
	conn, status, err := f.race(ctx, cs, func(ctx context.Context, c candidate) (net.Conn, error) {
		if c.relay {
			return f.attempt(ctx, c, viaRelay)
		}
		return f.attempt(ctx, c, direct)
	})
	if err != nil {
		return fail(status, err)
	}
	return conn, nil
}

// attempt opens a stream by way of one candidate.
func (f *Fabric) attempt(ctx context.Context, c candidate, header []byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	conn, err := f.carrier.Dial(ctx, c.peer, c.addr)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", c.peer, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = open(conn, header)
	if !stop() { // conn is closed or about to be
		return nil, fmt.Errorf("peer %s: %w", c.peer, context.Cause(ctx))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("peer %s: %w", c.peer, err)
	}
	return conn, nil
}

// race starts attempts one after the other and returns the first that connects. When it returns all
// others have ended: their connections are closed, no goroutine is left.
func (f *Fabric) race(ctx context.Context, cs []candidate, try func(context.Context, candidate) (net.Conn, error)) (net.Conn, Status, error) {
	type result struct {
		index int
		conn  net.Conn
		err   error
	}
	attempts, cancel := context.WithCancel(ctx)
	results := make(chan result, len(cs))
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		close(results)
		for r := range results { // connected, but not first
			if r.conn != nil {
				_ = r.conn.Close()
			}
		}
	}()

	pending := make(map[int]time.Time, len(cs)) // since when
	next := 0
	start := func() {
		i := next
		next++
		pending[i] = time.Now()
		running.Go(func() {
			conn, err := try(attempts, cs[i])
			results <- result{i, conn, err}
		})
	}
	start()
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	status, errs := StatusNoTunnel, []error(nil)
	for {
		select {
		case r := <-results:
			delete(pending, r.index)
			if r.err == nil {
				f.late.forget(cs[r.index].peer)
				for i, since := range pending {
					if i < r.index && time.Since(since) >= stagger {
						f.late.add(cs[i].peer)
					}
				}
				return r.conn, StatusConnected, nil
			}
			errs = append(errs, r.err)
			if s, ok := errors.AsType[statusError](r.err); ok && Status(s).closeness() > status.closeness() {
				status = Status(s)
			}
			if next < len(cs) {
				start()
				timer.Reset(stagger)
			} else if len(pending) == 0 {
				return nil, status, errors.Join(errs...)
			}
		case <-timer.C:
			if next < len(cs) {
				start()
				timer.Reset(stagger)
			}
		case <-ctx.Done():
			return nil, status, errors.Join(append(errs, ctx.Err())...)
		}
	}
}

// memory holds who recently kept a dial waiting, so that a peer that died a moment ago does not delay
// every dial until its tunnel counts as down.
type memory struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

func (m *memory) has(peer string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.until[peer]
	return ok && !time.Now().After(t)
}

func (m *memory) add(peer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil {
		m.until = map[string]time.Time{}
	}
	now := time.Now()
	maps.DeleteFunc(m.until, func(_ string, t time.Time) bool { return now.After(t) })
	m.until[peer] = now.Add(lateTime)
}

func (m *memory) forget(peer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.until, peer)
}
