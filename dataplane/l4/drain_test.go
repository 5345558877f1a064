package l4

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// pipes is a listener without a network, all of whose clients come from one address.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

type pipeConn struct{ net.Conn }

func (pipeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:4711"))
}
func (pipeConn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:22"))
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- pipeConn{far}
	return near
}

// sink is a dialler to targets that take everything and say nothing.
func sink(_ context.Context, _ fabric.Request) (net.Conn, error) {
	near, far := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	return near, nil
}

func tcpForward(service string, ids ...string) Forward {
	return Forward{Service: service, FirstPort: 22, LastPort: 22, Targets: targets(ids...)}
}

// ends says when c is closed.
func ends(c net.Conn) time.Duration {
	start := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(start)
}

func TestConnectionsOfAClosedPortEnd(t *testing.T) {
	for name, end := range map[string]func(s *Server, cancel func()){
		"closed":            func(s *Server, _ func()) { _ = s.Apply(Config{}) },
		"another service's": func(s *Server, _ func()) { _ = s.Apply(Config{Forwards: []Forward{tcpForward("other", "a")}}) },
		"process ends":      func(_ *Server, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				s := newServer(sink)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Run(ctx) }()
				l := newPipes()
				s.serves(t, tcpForward("s", "a"), l, nil)
				c, brief := l.dial(), l.dial()
				synctest.Wait()
				end(s, cancel)
				_ = brief.Close()
				if name == "closed" {
					_ = s.Apply(Config{}) // which does not begin the time anew
				}
				if d := ends(c); d != drainTime {
					t.Errorf("ended after %v, want %v", d, drainTime)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if clients, conns := s.limit.Open(); clients != 0 || conns != 0 {
					t.Errorf("%d connections of %d clients count as open", conns, clients)
				}
				if err := s.Apply(Config{Forwards: []Forward{tcpForward("late", "a")}}); err != nil || len(s.ports) != 0 {
					t.Errorf("after the end: %v, %d ports", err, len(s.ports))
				}
			})
		})
	}
}

func TestUnchangedServiceKeepsItsConnections(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newServer(sink)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		l := newPipes()
		s.serves(t, tcpForward("s", "a"), l, nil)
		c := l.dial()
		for _, f := range []Forward{tcpForward("s", "a"), tcpForward("s", "b")} {
			if err := s.Apply(Config{Forwards: []Forward{f}}); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				time.Sleep(drainTime)
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatalf("targets %v: %v", f.Targets, err)
				}
			}
		}
		if d := ends(c); d < s.idle || d > s.idle+2*time.Second {
			t.Errorf("idle for %v, want %v", d, s.idle)
		}
		cancel()
		<-done
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newServer(sink)
		s.limit = inbound.NewLimiter(3, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		l := newPipes()
		s.serves(t, tcpForward("s", "a"), l, nil)
		var conns []net.Conn
		for range 5 {
			conns = append(conns, l.dial())
		}
		synctest.Wait()
		for i, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, err := c.Read(make([]byte, 1))
			if closed := !errors.Is(err, os.ErrDeadlineExceeded); closed != (i >= 3) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if v := value(t, s.m.closed.WithLabelValues(string(reasonPerIP))); v != 2 {
			t.Errorf("%v refusals are counted", v)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		cancel()
		<-done
	})
}
