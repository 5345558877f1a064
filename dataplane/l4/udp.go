package l4

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/udp"
	"github.com/warrenedge/warren/shared/backoff"
)

// maxOpening is how many flows may wait for their target at once; datagrams of more clients are dropped
// meanwhile. It is what a flood of forged addresses can make the rest of the cluster do.
const maxOpening = 512

// holdTime is how long a flow that found no target stays, so that not every datagram looks for one.
const holdTime = time.Second

// received holds one datagram each, of whatever size.
var received = sync.Pool{New: func() any { b := make([]byte, fabric.MaxDatagram); return &b }}

// serveUDP reads datagrams of a port until it is closed.
func (s *Server) serveUDP(ctx, live context.Context, work *sync.WaitGroup, p *port) {
	oob := make([]byte, udp.OOBSize)
	retry := backoff.Backoff{Min: time.Millisecond, Max: time.Second}
	for failing := false; ; {
		n, b, from, err := p.socket.ReadPooled(&received, oob)
		if err == nil {
			retry.Reset()
			failing = false
			s.datagram(live, work, p, (*b)[:n], from)
		}
		if b != nil {
			received.Put(b)
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.acceptFailed(err, failing)
			failing = true
			if !retry.Wait(ctx) {
				return
			}
		}
	}
}

// datagram gives one to the flow of its client, which begins with it if there is none.
func (s *Server) datagram(live context.Context, work *sync.WaitGroup, p *port, b []byte, from udp.Sender) {
	client := netip.AddrPortFrom(from.Addr.Addr().Unmap(), from.Addr.Port())
	id := flowID{p, client, from.Local}
	fl := s.flows.sent(id, time.Now())
	if fl == nil {
		ctx, f, began, why := s.begin(live, id)
		if began == nil {
			s.m.dropped.WithLabelValues(string(why)).Inc()
			return
		}
		fl = began
		work.Go(func() { s.runFlow(ctx, work, fl, f, from) })
	}
	s.m.carried[fabric.UDP].up.Add(float64(len(b)))
	fl.in.Add(int64(len(b)))
	start, why := fl.queue.put(b, &s.memory)
	if why != "" {
		s.m.dropped.WithLabelValues(string(why)).Inc()
	}
	if start {
		work.Go(func() { s.write(fl) })
	}
}

// begin makes a flow, or says why not.
func (s *Server) begin(live context.Context, id flowID) (context.Context, *forward, *flow, reason) {
	s.mu.Lock() // until the flow is in the table: Apply may be about to end those of the port
	defer s.mu.Unlock()
	f := id.port.forward
	if f == nil {
		return nil, nil, nil, reasonDraining
	}
	if !f.allows(id.client.Addr()) {
		return nil, nil, nil, reasonNotAllowed
	}
	if f.Tenant.Take(time.Now()) != nil {
		return nil, nil, nil, reasonQuota
	}
	if s.opening.Load() >= maxOpening {
		return nil, nil, nil, reasonOpening
	}
	s.opening.Add(1)
	ctx, cut := context.WithCancel(live)
	fl := &flow{id: id, service: f.Service, cut: cut}
	if gone := s.flows.add(fl, time.Now()); gone != nil {
		s.gone(gone, reasonRoom)
	}
	s.m.flows.Inc()
	return ctx, f, fl, ""
}

// runFlow connects a flow to a target and carries what comes back, until the flow is cut or the stream ends.
func (s *Server) runFlow(ctx context.Context, work *sync.WaitGroup, fl *flow, f *forward, from udp.Sender) {
	rec, start, way := newRecord(f, requestlog.UDP, fl.id.client), time.Now(), fabric.Way{}
	defer func() {
		rec.In = fl.in.Load()
		s.over(rec, start)
	}()
	defer fl.queue.end(&s.memory)
	defer fl.cut()
	local := netip.AddrPortFrom(from.Local, fl.id.port.key.port)
	if !from.Local.IsValid() {
		local = netip.AddrPortFrom(unspecified(fl.id.client.Addr()), fl.id.port.key.port)
	}
	req := f.request(fl.id.port.key, fl.id.client, local)
	req.Took = &way
	stream, t, err := s.reach.Any(ctx, f.group, req)
	s.opening.Add(-1)
	if err != nil {
		if errors.Is(err, reach.ErrNoTarget) {
			rec.Decision, rec.Reason = requestlog.Refused, string(reasonNoTarget)
		} else {
			rec.Error = string(reasonDial)
		}
		fl.queue.end(&s.memory)
		select {
		case <-ctx.Done():
		case <-time.After(holdTime):
		}
		s.endFlow(fl, reasonDial)
		return
	}
	rec.Target, rec.Site, rec.Relay, rec.FirstByte = t.ID, t.Site, way.Via(), time.Since(start)
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	if !s.flows.connected(fl, t.ID) {
		return
	}
	if fl.queue.connect(stream) {
		work.Go(func() { s.write(fl) })
	}
	d := fabric.NewDatagrams(stream)
	for {
		b, err := d.ReadPacket()
		if err != nil {
			s.endFlow(fl, reasonStream)
			return
		}
		s.flows.answered(fl, time.Now())
		if err := fl.id.port.socket.Answer(b, from); err != nil {
			s.m.dropped.WithLabelValues(string(reasonClient)).Inc()
			continue
		}
		s.m.carried[fabric.UDP].down.Add(float64(len(b)))
		rec.Out += int64(len(b))
	}
}

// unspecified stands for an address of ours, where the system does not say which one a client asked.
func unspecified(client netip.Addr) netip.Addr {
	if client.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// write sends what a flow has for its target.
func (s *Server) write(fl *flow) {
	if err := fl.queue.write(&s.memory); err != nil {
		s.endFlow(fl, reasonStream)
	}
}

// endFlow forgets a flow, which may have happened before.
func (s *Server) endFlow(fl *flow, why reason) {
	if s.flows.remove(fl) {
		s.gone(fl, why)
	}
}

// endFlows forgets the flows that match.
func (s *Server) endFlows(why reason, match func(*flow) bool) {
	for _, fl := range s.flows.take(match) {
		s.gone(fl, why)
	}
}

// expire forgets the flows that have been silent for too long.
func (s *Server) expire(now time.Time) {
	for _, fl := range s.flows.expire(now) {
		s.gone(fl, reasonIdle)
	}
}

// gone ends a flow that is no longer in the table.
func (s *Server) gone(fl *flow, why reason) {
	fl.cut()
	s.m.flows.Dec()
	s.m.ended.WithLabelValues(string(why)).Inc()
}
