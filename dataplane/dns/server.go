package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/warrenedge/warren/dataplane/udp"
)

// A Server answers DNS queries. Safe for concurrent use.
type Server struct {
	log    *slog.Logger
	m      *metrics
	applyM sync.Mutex           // one Apply at a time
	view   atomic.Pointer[view] // replaced whole by Apply; each query loads it once
	turn   atomic.Uint32        // counts queries, to spread clients over addresses

	flood   *flood
	cookies *cookies

	complain rate.Sometimes // a packet of a stranger must not be able to fill the log
}

// New makes a Server that serves nothing yet.
func New(log *slog.Logger, reg prometheus.Registerer) *Server {
	return &Server{log: log, m: newMetrics(reg), flood: newFlood(), cookies: newCookies(), complain: rate.Sometimes{Interval: time.Second}}
}

// String names the task.
func (s *Server) String() string { return "dns" }

// Apply makes cfg what is served, at once for every query that arrives later. Its error joins an
// ObjectError for each object that can't be served; everything else is. It may be repeated.
func (s *Server) Apply(cfg Config) error {
	s.applyM.Lock()
	defer s.applyM.Unlock()
	v := newView(cfg, s.view.Load())
	s.view.Store(v)
	s.m.zones.Set(float64(len(v.shape.zones)))
	s.m.serial.Set(float64(v.serial))
	return v.err
}

// Serve answers on the given sockets, of which there is at least one, until ctx ends; it closes them.
// Several UDP sockets are meant to share one port by SO_REUSEPORT. tcp may be nil.
func (s *Server) Serve(ctx context.Context, packets []net.PacketConn, tcp net.Listener) error {
	if len(packets) == 0 && tcp == nil {
		return errors.New("serve dns: no socket")
	}
	defer func() {
		for _, conn := range packets {
			conn.Close()
		}
		if tcp != nil {
			tcp.Close()
		}
	}()
	sockets := make([]*udp.Socket, len(packets))
	for i, conn := range packets {
		var err error
		if sockets[i], err = udp.NewSocket(conn); err != nil {
			return fmt.Errorf("serve dns on %s: %w", conn.LocalAddr(), err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	// The read loops are the workers: what they can't take waits in the kernel's bounded queue, where
	// overload costs a dropped packet and no memory of ours.
	workers := max(1, runtime.GOMAXPROCS(0)/max(1, len(packets)))
	for _, d := range sockets {
		stop := context.AfterFunc(ctx, func() { d.SetReadDeadline(past) })
		defer stop()
		for range workers {
			g.Go(func() error { return s.readUDP(ctx, d) })
		}
	}
	if tcp != nil {
		g.Go(func() error { return s.serveTCP(ctx, tcp) })
	}
	return g.Wait()
}

// past is a deadline that has passed: it wakes who waits on a socket.
var past = time.Unix(1, 0)

// handle answers one query of a source; nil means that it is dropped. A panic costs its query, never the process.
func (s *Server) handle(query []byte, source netip.Addr, t transport, buf []byte) (packet []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.m.panics.Inc()
			s.complain.Do(func() { s.log.Error("query panicked", "err", p, "stack", string(debug.Stack())) })
			packet = s.count(headerOnly(query, dns.RcodeServerFailure, buf), t)
		}
	}()
	most := udpSize
	if t == overTCP {
		most = tcpSize
	}
	// A client asks for A and AAAA in pairs, so the bare counter would give each of them only every
	// second address. Fibonacci hashing spreads it over all of its bits.
	turn := s.turn.Add(1) * 0x9E3779B1 >> 16
	now := time.Now()
	return s.count(s.guard(respond(s.view.Load(), query, most, turn, now, buf), query, source, t, now, buf), t)
}

// guard makes of an answer what this source may have of it now.
func (s *Server) guard(r reply, query []byte, source netip.Addr, t transport, now time.Time, buf []byte) reply {
	if t == overUDP && r.packet != nil && !s.cookies.valid(r.opt.cookie, source, now) && !s.flood.takes(source, r.about, now) {
		s.m.limited.Inc()
		r = slip(query, r, buf)
	}
	if r.opt.cookie != nil {
		r.packet = s.cookies.give(r.packet, r.opt.cookie, source, now)
	}
	return r
}

func (s *Server) count(r reply, t transport) []byte {
	if r.packet == nil {
		s.m.drop(t, dropMalformed)
		return nil
	}
	s.m.queries[t][r.rcode].Inc()
	if r.truncated {
		s.m.truncated.Inc()
	}
	return r.packet
}
