package liveness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Serve exchanges heartbeats over a socket until ctx ends; then the socket is closed.
func (m *Monitor) Serve(ctx context.Context, socket net.PacketConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { m.send(ctx, socket) })
	err := m.receive(ctx, socket)
	cancel()
	wg.Wait()
	_ = socket.Close()
	return err
}

// send asks who is due.
func (m *Monitor) send(ctx context.Context, socket net.PacketConn) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		for {
			to, msg, size, wait := m.next(time.Now())
			m.tell()
			if size == 0 {
				timer.Reset(wait)
				break
			}
			buf = msg.append(buf[:0])
			buf = append(buf, make([]byte, size-len(buf))...)
			m.write(socket, buf, to)
		}
	}
}

// next takes the message that is due, with the size that it should have; or says how long there is none.
func (m *Monitor) next(now time.Time) (to netip.Addr, msg message, size int, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		m.until = now.Add(time.Hour)
		return to, msg, 0, time.Hour
	}
	p := m.queue[0]
	if wait := p.due.Sub(now); wait > 0 {
		wait = min(wait, EveryIdle) // a clock may jump
		m.until = now.Add(wait)
		return to, msg, 0, wait
	}
	m.lookLocked(p, now)
	msg, size, ok := p.probe(m.epoch, now)
	if !ok {
		msg, size = p.ask(m.epoch, now), messageSize
	}
	m.settleLocked(p, now)
	return p.peer.Addr, msg, size, 0
}

// lookLocked notices use.
func (m *Monitor) lookLocked(p *path, now time.Time) {
	if m.opts.Traffic == nil {
		return
	}
	if n := m.opts.Traffic(p.peer.Addr); n != p.traffic {
		p.traffic = n
		p.judge.Use(now)
	}
}

// tell gives changes to Changed. Only the sender calls it.
func (m *Monitor) tell() {
	m.mu.Lock()
	told := m.told
	m.told = nil
	var sized map[netip.Addr]int
	if len(m.sized) > 0 {
		sized, m.sized = m.sized, map[netip.Addr]int{}
	}
	m.mu.Unlock()
	for to, mtu := range sized {
		if m.opts.Resized != nil {
			m.opts.Resized(to, mtu)
		}
	}
	for _, c := range told {
		if c.From == c.To {
			continue
		}
		m.m.changes.WithLabelValues(c.To.String()).Inc()
		if c.To == Down || c.From == Down {
			m.opts.Log.Info("path changed", "peer", c.Peer, "from", c.From.String(), "to", c.To.String())
		}
		if m.opts.Changed != nil {
			m.opts.Changed(c)
		}
	}
}

// receive takes heartbeats in.
func (m *Monitor) receive(ctx context.Context, socket net.PacketConn) error {
	in, out := make([]byte, SizeMost), make([]byte, 0, messageSize)
	for {
		n, from, err := socket.ReadFrom(in)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("heartbeats: %w", err)
		case err != nil: // about one datagram: an ICMP error, a full buffer
			m.m.dropped.WithLabelValues(dropRead).Inc()
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(hurry):
			}
			continue
		}
		addr, ok := m.sender(from)
		if !ok {
			m.m.dropped.WithLabelValues(dropStranger).Inc()
			continue
		}
		msg, err := parse(in[:n])
		if err != nil {
			m.m.dropped.WithLabelValues(dropMalformed).Inc()
			continue
		}
		if reply, ok := m.take(addr, msg, time.Now()); ok {
			m.write(socket, reply.append(out), addr)
		}
	}
}

// sender tells who a datagram is from; false if not from the heartbeat port.
func (m *Monitor) sender(from net.Addr) (netip.Addr, bool) {
	u, ok := from.(*net.UDPAddr)
	if !ok || u.Port != int(m.opts.Port) {
		return netip.Addr{}, false
	}
	return u.AddrPort().Addr().Unmap().WithZone(""), true
}

// take gives a message to its path.
func (m *Monitor) take(from netip.Addr, msg message, now time.Time) (reply message, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.byAddr[from]
	if p == nil {
		m.m.dropped.WithLabelValues(dropStranger).Inc()
		return message{}, false
	}
	reply, ok = p.receive(msg, m.epoch, now)
	m.lookLocked(p, now) // the other end has noticed use that we, who ask seldom, have not
	m.settleLocked(p, now)
	m.rouseLocked()
	if (msg.kind == ask || msg.kind == probe) && !ok {
		m.m.dropped.WithLabelValues(dropFlood).Inc()
	}
	return reply, ok
}

// write sends one message. What can't be sent is lost, like on any path.
func (m *Monitor) write(socket net.PacketConn, b []byte, to netip.Addr) {
	if _, err := socket.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, m.opts.Port))); err != nil {
		m.m.dropped.WithLabelValues(dropWrite).Inc()
	}
}
