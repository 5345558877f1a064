package l4

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/splice"
)

// serveTCP accepts connections of a port until it is closed.
func (s *Server) serveTCP(ctx, live context.Context, work *sync.WaitGroup, p *port) {
	// The error says that Apply has closed the port.
	_ = inbound.Accept(ctx, p.listener, func(raw net.Conn) {
		s.m.accepted.WithLabelValues(kindPort).Inc()
		client := inbound.AddrPort(raw.RemoteAddr())
		cctx, c, f, why := s.enter(live, p, client.Addr())
		if why != "" {
			s.m.closed.WithLabelValues(string(why)).Inc()
			s.refused(f, requestlog.TCP, client, why)
			inbound.Reset(raw)
			return
		}
		work.Go(func() {
			defer s.leave(p, c)
			r := newRecord(f, requestlog.TCP, client)
			s.carry(cctx, raw, f, f.request(p.key, client, inbound.AddrPort(raw.LocalAddr())), r)
		})
	}, s.acceptFailed)
}

func (s *Server) acceptFailed(err error, again bool) {
	s.m.acceptErr.Inc()
	if !again {
		s.log.Warn("port can't be read", "err", err)
	}
}

// enter admits a client to a port, or says why not. Leave must follow if it does.
func (s *Server) enter(live context.Context, p *port, client netip.Addr) (context.Context, *conn, *forward, reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := p.forward
	switch {
	case f == nil:
		return nil, nil, nil, reasonDraining
	case !f.allows(client):
		return nil, nil, f, reasonNotAllowed
	}
	switch err := s.limit.Enter(client); err {
	case nil:
	case inbound.ErrPerIP:
		return nil, nil, f, reasonPerIP
	default:
		return nil, nil, f, reasonCrowded
	}
	if err := f.Tenant.Enter(time.Now()); err != nil {
		s.limit.Leave(client, false)
		if errors.Is(err, inbound.ErrQuota) {
			return nil, nil, f, reasonQuota
		}
		return nil, nil, f, reasonShare
	}
	ctx, cut := context.WithCancel(live)
	c := &conn{service: f.Service, tenant: f.Tenant, client: client, cut: cut}
	p.conns[c] = struct{}{}
	s.m.open.WithLabelValues(kindPort).Inc()
	return ctx, c, f, ""
}

func (s *Server) leave(p *port, c *conn) {
	c.cut()
	c.tenant.Leave()
	s.limit.Leave(c.client, false)
	s.m.open.WithLabelValues(kindPort).Dec()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.conns, c)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// carry connects a client to a target of a service and carries bytes until both are done or ctx ends. It
// closes the client's connection, and notes in rec what became of it.
func (s *Server) carry(ctx context.Context, client net.Conn, f *forward, r fabric.Request, rec *requestlog.Record) {
	start, way := time.Now(), fabric.Way{}
	defer func() { s.over(rec, start) }()
	defer client.Close()
	r.Took = &way
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	target, t, err := s.reach.Any(ctx, f.group, r)
	if err != nil {
		why := reasonDial
		if errors.Is(err, reach.ErrNoTarget) {
			why = reasonNoTarget
		}
		if s.m.closed.WithLabelValues(string(why)).Inc(); why == reasonNoTarget {
			rec.Decision, rec.Reason = requestlog.Refused, string(why)
		} else {
			rec.Error = string(why)
		}
		inbound.Reset(client)
		return
	}
	rec.Target, rec.Site, rec.Relay, rec.FirstByte = t.ID, t.Site, way.Via(), time.Since(start)
	defer target.Close()
	stopTarget := context.AfterFunc(ctx, func() { _ = target.Close() })
	defer stopTarget()
	head, err := fabric.ProxyHeader(f.ProxyProtocol, r.Client, r.Local)
	if err != nil {
		s.m.closed.WithLabelValues(string(reasonDial)).Inc()
		rec.Error = string(reasonDial)
		s.log.Warn("connection without its addresses", "service", f.Service, "target", t.ID, "err", err)
		return
	}
	moved := s.m.carried[fabric.TCP].moved
	splice.Both(client, target, head, s.idle, func(up bool, n int64) {
		moved(up, n)
		count(rec, up, n)
	})
}
