// Package l4 serves the TCP and UDP services that a node carries without looking into them.
//
// Most have ports of their own, which Apply opens and closes while all else goes on. Others are reached by
// name at the node's TLS port: sni hands them over, their TLS ends here, and what is in it goes on as it is.
package l4

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/splice"
	"github.com/warrenedge/warren/dataplane/terminate"
)

// drainTime is how long TCP connections go on after their service or this process has ended.
const drainTime = 10 * time.Second

// sweepTime is how often idle flows are looked for.
const sweepTime = 5 * time.Second

// filesPerPort is the share of the process's files that ports may take, and flows as well.
const filesPerPort = 20

// Options is what a Server is made of.
type Options struct {
	Host       string           // address to listen on; empty: all of this machine
	Reach      reach.Dialer     // to targets
	Limit      *inbound.Limiter // of TCP connections
	Requests   *requestlog.Log  // nil: none
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Server serves the Config of the last Apply while Run does. Safe for concurrent use.
type Server struct {
	host     string
	reach    reach.Dialer
	limit    *inbound.Limiter
	requests *requestlog.Log
	log      *slog.Logger
	m        *metrics
	idle     time.Duration
	maxPorts int
	names    atomic.Pointer[names] // replaced whole by Apply; each connection loads it once
	wake     chan struct{}         // one place: fresh is not empty

	mu    sync.Mutex
	ports map[key]*port // guarded by mu; open ones
	fresh []*port       // guarded by mu; opened, not yet served
	ended bool          // guarded by mu; Run is over

	tickets terminate.Tickets
	flows   *flows
	opening atomic.Int32 // flows that wait for their target
	memory  memory       // of all queues
}

// New makes a Server that has no port open.
func New(o Options) *Server {
	s := &Server{
		host: o.Host, reach: o.Reach, limit: o.Limit, requests: o.Requests, log: o.Log, idle: splice.IdleTime, maxPorts: inbound.Files() / filesPerPort,
		wake: make(chan struct{}, 1), ports: map[key]*port{},
		flows: newFlows(inbound.PerIP, min(inbound.Files()/filesPerPort, maxFlows)), memory: memory{most: maxMemory},
	}
	s.m = newMetrics(o.Registerer, func() float64 { return float64(s.memory.used.Load()) })
	s.names.Store(newNames(nil, nil))
	return s
}

// SetTicketKeys replaces the keys of session tickets, the one that seals first; none keeps those that are there.
func (s *Server) SetTicketKeys(keys []terminate.TicketKey) { s.tickets.Set(keys) }

// String names the Server in logs.
func (s *Server) String() string { return "ports" }

// Apply opens and closes ports to match. What has not changed stays as it is, listeners and connections.
//
// A port that is closed, or is another service's now, gives its TCP connections drainTime; its UDP clients
// are forgotten at once, since there is nothing to finish. A client that is no longer allowed is cut off, and
// a UDP client whose target is gone gets another one with its next datagram. Ports that can't be served are
// reported as joined *ForwardError, one a service; the next Apply tries them again.
func (s *Server) Apply(cfg Config) error {
	want, order, faults := s.plan(cfg.Forwards)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	s.names.Store(newNames(cfg.Names, s.reach.Health))
	for k, p := range s.ports {
		if f := want[k]; f != nil {
			s.changeLocked(p, f)
		} else {
			s.closeLocked(p)
		}
	}
	unopened := 0
	for _, k := range order {
		if s.ports[k] != nil {
			continue
		}
		p, err := s.open(k)
		if err != nil {
			faults.add(want[k].Service, err)
			unopened++
			continue
		}
		p.forward = want[k]
		s.ports[k] = p
		s.fresh = append(s.fresh, p)
	}
	if len(s.fresh) > 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.m.ports.Set(float64(len(s.ports)))
	s.m.unopened.Set(float64(unopened))
	return faults.join()
}

// plan says which service each port is for, and in which order ports are opened. Services that make no
// sense, or that ask for a port of another one or for too many, are left out.
func (s *Server) plan(forwards []Forward) (want map[key]*forward, order []key, faults faults) {
	want = map[key]*forward{}
next:
	for _, in := range forwards {
		if err := in.check(); err != nil {
			faults.add(in.Service, err)
			continue
		}
		keys := in.ports()
		if room := s.maxPorts - len(order); len(keys) > room {
			faults.add(in.Service, &tooManyError{len(keys), room, s.maxPorts})
			continue
		}
		for _, k := range keys {
			if other := want[k]; other != nil {
				faults.add(in.Service, &takenError{k, other.Service})
				continue next
			}
		}
		f := newForward(in, s.reach.Health)
		for _, k := range keys {
			want[k] = f
		}
		order = append(order, keys...)
	}
	return want, order, faults
}

// changeLocked makes an open port one of f.
func (s *Server) changeLocked(p *port, f *forward) {
	if reflect.DeepEqual(p.forward.Forward, f.Forward) {
		return
	}
	moved := p.forward.FirstPort != f.FirstPort // the port is for another one of the target's
	p.forward = f
	for c := range p.conns {
		switch {
		case c.service != f.Service:
			c.drain()
		case !f.allows(c.client):
			c.cut()
		}
	}
	s.endFlows(reasonApply, func(fl *flow) bool {
		return fl.id.port == p && (moved || fl.service != f.Service || !f.allows(fl.id.client.Addr()) || !f.leadsTo(fl.target))
	})
}

// closeLocked closes a port.
func (s *Server) closeLocked(p *port) {
	delete(s.ports, p.key)
	s.fresh = slices.DeleteFunc(s.fresh, func(o *port) bool { return o == p })
	p.forward = nil
	p.close()
	for c := range p.conns {
		c.drain()
	}
	s.endFlows(reasonApply, func(fl *flow) bool { return fl.id.port == p })
}

// Run serves ports until ctx ends. Then it closes them, gives TCP connections drainTime and cuts the rest.
func (s *Server) Run(ctx context.Context) error {
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var ports, work sync.WaitGroup
	sweep := time.NewTicker(sweepTime)
	defer sweep.Stop()
	for {
		for _, p := range s.takeFresh() {
			ports.Go(func() { s.serve(ctx, live, &work, p) })
		}
		select {
		case <-s.wake:
			continue
		case now := <-sweep.C:
			s.expire(now)
			continue
		case <-ctx.Done():
		}
		break
	}
	s.end()
	ports.Wait()
	timer := time.AfterFunc(drainTime, cut)
	defer timer.Stop()
	work.Wait()
	return nil
}

// serve serves one port until it is closed.
func (s *Server) serve(ctx, live context.Context, work *sync.WaitGroup, p *port) {
	if p.key.network == fabric.UDP {
		s.serveUDP(ctx, live, work, p)
	} else {
		s.serveTCP(ctx, live, work, p)
	}
}

func (s *Server) takeFresh() []*port {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fresh
	s.fresh = nil
	return f
}

// end closes all ports for good. TCP connections go on.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, p := range s.ports {
		p.forward = nil
		p.close()
	}
	clear(s.ports)
	s.fresh = nil
	s.endFlows(reasonDraining, func(*flow) bool { return true })
	s.m.ports.Set(0)
}

// faults are the errors of services, by id.
type faults map[string][]error

func (f *faults) add(service string, err error) {
	if *f == nil {
		*f = faults{}
	}
	(*f)[service] = append((*f)[service], err)
}

// join makes one error of each service; of many ports the first ones are named.
func (f faults) join() error {
	const named = 3
	var out []error
	for service, errs := range f {
		more := len(errs) - named
		err := errors.Join(errs[:min(len(errs), named)]...)
		if more > 0 {
			err = &moreError{err, more}
		}
		out = append(out, &ForwardError{service, err})
	}
	slices.SortFunc(out, func(a, b error) int {
		return cmp.Compare(a.(*ForwardError).Service, b.(*ForwardError).Service)
	})
	return errors.Join(out...)
}
