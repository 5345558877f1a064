// Package fabric is the one way from a node to a target, whichever tunnel or relay leads there.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
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
	triesMost   = 4                      // connections of one attempt
)

// Node is an entrance of the cluster, oneself included.
type Node struct {
	ID     string
	Addr   netip.Addr // in the overlay
	Region string     // empty: not said
	Down   bool       // known to be away; it is tried all the same, last

	Draining  bool     // is to end soon
	Connected []string // sites that it can reach itself, sorted; nil: not told
	Load      int      // what it carries, in thousandths of what it can
}

// Connector is the end of tunnels at a site.
type Connector struct {
	ID   string
	Addr netip.Addr // in the overlay
}

// Site is a private network and who has tunnels to it, or who stands in it.
type Site struct {
	ID         string
	Connectors []Connector
	Nodes      []string // assigned nodes, preferred first
	Carrier    string   // the one to prefer, CarrierStream or CarrierWireGuard; empty: by measurement
	Region     string   // empty: not said
	Local      bool     // the assigned nodes dial its targets themselves: they stand in it, or may have a tunnel to the stock peer that it is
}

// Config is all that the fabric knows.
type Config struct {
	Self   string // id of this node
	Region string // of this node; empty: not said
	Sites  []Site
	Nodes  []Node
}

// Fabric dials targets with the configuration of the last Apply. Safe for concurrent use.
type Fabric struct {
	carriers Carriers
	log      *slog.Logger
	m        *metrics
	late     memory
	choices  choices
	loads    loads
	relays   relays
	passing  passing
	attempts attempts
	hedges   hedges
	turn     atomic.Uint32         // of the connectors of a site
	table    atomic.Pointer[table] // replaced whole by Apply; each dial loads it once
}

// New makes a Fabric that knows no site.
func New(carriers Carriers, log *slog.Logger, reg prometheus.Registerer) *Fabric {
	f := &Fabric{carriers: carriers, log: log, m: newMetrics(reg)}
	f.table.Store(newTable(Config{}))
	return f
}

// Apply replaces the configuration. Streams that exist stay.
func (f *Fabric) Apply(cfg Config) {
	t := newTable(cfg)
	f.table.Store(t)
	f.forget(t)
	f.m.sites.Set(float64(len(cfg.Sites)))
}

// Way is what a stream leads through.
type Way struct {
	Peer    string // connector, or the node that relays; the site's own id where this node stands in it
	Carrier string
	Relay   bool // Peer is a node
}

// Via is the node that relays; "": none does.
func (w Way) Via() string {
	if w.Relay {
		return w.Peer
	}
	return ""
}

// DialTarget opens a stream to a target, as Dial does, for those to whom its way is all the same, or who have said where to note it.
func (f *Fabric) DialTarget(ctx context.Context, r Request) (net.Conn, error) {
	conn, way, err := f.Dial(ctx, r)
	if r.Took != nil {
		*r.Took = way
	}
	return conn, err
}

// Dial opens a stream to a target and says what it leads through. Candidates are tried in order of preference, the next one when
// one refuses, or when there is no answer for 250 ms, of some dials (see hedges); the first to connect wins. The connection can close
// one half (CloseWrite). The error is a *DialError.
func (f *Fabric) Dial(ctx context.Context, r Request) (net.Conn, Way, error) {
	start := time.Now()
	conn, way, err := f.dial(ctx, r.header(), true)
	status := StatusConnected
	var de *DialError
	if errors.As(err, &de) {
		status = de.Status
	}
	f.m.dials.WithLabelValues(status.label()).Inc()
	if err != nil {
		return nil, Way{}, err
	}
	f.m.dialTime.Observe(time.Since(start).Seconds())
	if way.Relay {
		f.m.relays.WithLabelValues(way.Carrier).Inc()
	}
	return conn, way, nil
}

// won is the connection that was first, with its way.
type won struct {
	net.Conn
	by candidate
}

// dial tries the ways to the header's site: those of this node, and relays if wanted.
func (f *Fabric) dial(ctx context.Context, h Header, relays bool) (net.Conn, Way, error) {
	fail := func(s Status, err error) (net.Conn, Way, error) {
		return nil, Way{}, &DialError{Status: s, Site: h.Site, Target: h.Target, Err: err}
	}
	said, err := openings(h)
	if err != nil {
		return fail(StatusBadRequest, err)
	}
	cs := f.candidates(h.Site, relays)
	if len(cs) == 0 {
		return fail(StatusNoTunnel, nil)
	}
	first, status, err := f.race(ctx, h.Site, cs, func(ctx context.Context, c candidate) (net.Conn, error) {
		conn, err := f.attempt(ctx, c, said.to(c))
		if err != nil {
			return nil, err
		}
		return won{conn, c}, nil
	})
	if err != nil {
		return fail(status, err)
	}
	w := first.(won)
	return w.Conn, Way{Peer: w.by.peer, Carrier: w.by.carrier, Relay: w.by.relay}, nil
}

// opening is what is said first, by each kind of way.
type opening struct{ direct, relay, tunnel []byte }

func openings(h Header) (o opening, err error) {
	kept := h.Kept
	h.Kept, h.Framed = false, false // what is silent at the end of our own carriers we know ourselves
	o.direct, err = h.Marshal()
	if err != nil {
		return o, err
	}
	h.Hops++ // for whoever passes it on
	h.Kept = kept
	if o.relay, err = h.Marshal(); err != nil {
		return o, err
	}
	h.Framed = kept // where connections have no frames of their own
	o.tunnel, err = h.Marshal()
	return o, err
}

func (o opening) to(c candidate) []byte {
	switch {
	case !c.relay:
		return o.direct
	case c.carrier == CarrierWireGuard:
		return o.tunnel
	}
	return o.relay
}

// attempt opens a stream by way of one candidate. A connection that was made ahead of need and turns out
// dead costs no more than another one: nothing of the client's was sent.
func (f *Fabric) attempt(ctx context.Context, c candidate, header []byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer f.loads.begin(c.peer)()
	defer f.attempts.add(&attempt{c, end})()
	if !c.relay && !f.carriers.up(c.carrier, c.peer) { // it has fallen silent before that; a relay is called all the same
		return nil, fmt.Errorf("peer %s by %s: %w", c.peer, c.carrier, errSilent)
	}
	for tries := 1; ; tries++ {
		conn, again, err := f.try(ctx, c, header)
		if err == nil && c.relay {
			return f.relays.add(c.peer, conn), nil
		}
		if err == nil {
			return conn, nil
		}
		if !again || tries == triesMost {
			return nil, fmt.Errorf("peer %s by %s: %w", c.peer, c.carrier, err)
		}
	}
}

// try is one connection of an attempt. Another one is worth trying when this one was dead all along.
func (f *Fabric) try(ctx context.Context, c candidate, header []byte) (_ net.Conn, again bool, err error) {
	conn, err := f.carriers.of(c.carrier, c.relay).Dial(ctx, c.peer, c.addr)
	if err != nil {
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	opened, err := open(conn, header)
	if !stop() { // conn is closed or about to be
		return nil, false, context.Cause(ctx)
	}
	if err != nil {
		p, ok := conn.(interface{ Prepared() bool })
		again = ok && p.Prepared()
		_ = conn.Close()
		return nil, again, err
	}
	return opened, false, nil
}

// race starts attempts at a site one after the other and returns the first that connects. When it returns all
// others have ended: their connections are closed, no goroutine is left.
func (f *Fabric) race(ctx context.Context, site string, cs []candidate, try func(context.Context, candidate) (net.Conn, error)) (net.Conn, Status, error) {
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

	defer f.hedges.dial(site)()
	pending := make(map[int]time.Time, len(cs)) // since when
	next := 0
	start := func(hedge bool) {
		i, c := next, cs[next]
		next++
		pending[i] = time.Now()
		running.Go(func() {
			if hedge {
				defer f.hedges.end(site)
			}
			conn, err := try(attempts, c)
			results <- result{i, conn, err}
		})
	}
	start(false)
	// worth reports whether others found the next one to answer before all that are waited for here.
	worth := func() bool {
		for i := range pending {
			if !f.late.has(cs[i].key()) {
				return false
			}
		}
		return !f.late.has(cs[next].key())
	}
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	status, errs := StatusNoTunnel, []error(nil)
	for {
		select {
		case r := <-results:
			delete(pending, r.index)
			if r.err == nil {
				f.late.forget(cs[r.index].key())
				for i, since := range pending {
					if i < r.index && time.Since(since) >= stagger {
						f.late.add(cs[i].key())
					}
				}
				return r.conn, StatusConnected, nil
			}
			errs = append(errs, r.err)
			if s, ok := errors.AsType[statusError](r.err); ok {
				if Status(s).closeness() > status.closeness() {
					status = Status(s)
				}
				// The peer would say the same by the other carrier.
				answered := cs[r.index].peer
				cs = cs[:next+len(slices.DeleteFunc(cs[next:], func(c candidate) bool { return c.peer == answered }))]
			}
			if next < len(cs) {
				start(false)
				timer.Reset(stagger)
			} else if len(pending) == 0 {
				return nil, status, errors.Join(errs...)
			}
		case <-timer.C:
			switch {
			case next == len(cs):
			case f.hedges.begin(site, worth()):
				start(true)
				timer.Reset(stagger)
			default:
				timer.Reset(hedgeAgain)
			}
		case <-ctx.Done():
			return nil, status, errors.Join(append(errs, ctx.Err())...)
		}
	}
}
