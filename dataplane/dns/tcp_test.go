package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// serveTCPOn runs s on a loopback listener and returns its address.
func serveTCPOn(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s, nil, l)
	return l.Addr().String()
}

func dialTCP(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func readTCP(r io.Reader) (*dns.Msg, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(b)
}

// All queries of a pipeline are answered, in order (RFC 7766 §6.2.1.1).
func TestTCPPipelining(t *testing.T) {
	s, reg := newServer(t, example())
	conn := dialTCP(t, serveTCPOn(t, s))
	const n = 300
	var all []byte
	for i := range n {
		q := query(t, fmt.Sprintf("q%d.wild.example.org.", i), dns.TypeA, 0)
		binary.BigEndian.PutUint16(q, uint16(i))
		all = append(all, prefixed(q)...)
	}
	sent := make(chan error, 1)
	go func() { _, err := conn.Write(all); sent <- err }()
	for i := range n {
		m, err := readTCP(conn)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if int(m.Id) != i || len(m.Answer) != 2 || m.Answer[0].Header().Name != fmt.Sprintf("q%d.wild.example.org.", i) {
			t.Fatalf("answer %d:\n%v", i, m)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if got := metric(t, reg, "node_dns_queries_total", "NOERROR", "tcp"); got != n {
		t.Errorf("%v queries counted", got)
	}
}

// An answer that was truncated over UDP is whole over TCP.
func TestTCPAfterTruncation(t *testing.T) {
	s, _ := newServer(t, large(600))
	conn := dialTCP(t, serveTCPOn(t, s))
	q := query(t, "www.example.org.", dns.TypeAAAA, 512) // the size in OPT is about UDP alone
	if _, err := conn.Write(prefixed(q)); err != nil {
		t.Fatal(err)
	}
	m, err := readTCP(conn)
	if err != nil || m.Truncated || len(m.Answer) != 600 {
		t.Errorf("%v: %d records", err, len(m.Answer))
	}
}

func TestTCPRefusesTransfers(t *testing.T) {
	s, _ := newServer(t, example())
	conn := dialTCP(t, serveTCPOn(t, s))
	if _, err := conn.Write(prefixed(query(t, "example.org.", dns.TypeAXFR, 0), incremental(t))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, err := readTCP(conn); err != nil || m.Rcode != dns.RcodeRefused || len(m.Answer) != 0 {
			t.Errorf("%v\n%v", err, m)
		}
	}
}

func TestTCPClosesOnNonsense(t *testing.T) {
	s, _ := newServer(t, example())
	addr := serveTCPOn(t, s)
	answer := query(t, "www.example.org.", dns.TypeA, 0)
	answer[2] |= 0x80
	for name, sent := range map[string][]byte{
		"an answer":         prefixed(answer),
		"an empty message":  {0, 0},
		"a large message":   {0xFF, 0xFF},
		"a web request":     []byte("GET / HTTP/1.1\r\n\r\n"),
		"a short message":   prefixed([]byte("short")),
		"a TLS ClientHello": {0x16, 3, 1, 0x40, 0, 1, 0, 0},
	} {
		conn := dialTCP(t, addr)
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
			t.Errorf("%s: read %d octets, %v", name, n, err)
		}
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// pipes is a listener in memory, so that time can be fake.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// inBubble runs f against a server on pipes, with fake time.
func inBubble(t *testing.T, f func(t *testing.T, p *pipes, conns func() float64)) {
	bubbletest.Run(t, func(t *testing.T) {
		s, reg := newServer(t, example())
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, nil, p) }()
		f(t, p, func() float64 { return metric(t, reg, "node_dns_tcp_connections") })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTCPIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pipes, _ func() float64) {
		conn := p.dial()
		q := prefixed(query(t, "www.example.org.", dns.TypeA, 0))
		for range 5 { // each query starts the time anew
			time.Sleep(idleTime - time.Second)
			go conn.Write(q)
			if _, err := readTCP(conn); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v", err)
		}
		if d := time.Since(start); d != idleTime {
			t.Errorf("closed after %v", d)
		}
	})
}

// A query may dribble in, as long as it is there in time.
func TestTCPSlowQuery(t *testing.T) {
	q := prefixed(query(t, "www.example.org.", dns.TypeA, 0))
	for _, tt := range []struct {
		whole    time.Duration
		answered bool
	}{{queryTime - time.Millisecond, true}, {queryTime + 100*time.Millisecond, false}} {
		inBubble(t, func(t *testing.T, p *pipes, _ func() float64) {
			conn := p.dial()
			var writer sync.WaitGroup
			writer.Go(func() {
				for _, b := range q[:len(q)-1] {
					conn.Write([]byte{b})
				}
				time.Sleep(tt.whole)
				conn.Write(q[len(q)-1:])
			})
			if _, err := readTCP(conn); (err == nil) != tt.answered {
				t.Errorf("whole after %v: %v", tt.whole, err)
			}
			writer.Wait()
			conn.Close()
		})
	}
}

// A client that does not take its answer is let go.
func TestTCPSlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pipes, conns func() float64) {
		conn := p.dial()
		if _, err := conn.Write(prefixed(query(t, "www.example.org.", dns.TypeA, 0))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := conns(); n != 1 {
			t.Errorf("%v connections", n)
		}
		time.Sleep(queryTime + time.Millisecond)
		synctest.Wait()
		if n := conns(); n != 0 {
			t.Errorf("%v connections after %v", n, queryTime)
		}
		conn.Close()
	})
}

func TestTCPConnectionLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pipes, conns func() float64) {
		open := make([]net.Conn, maxConns)
		for i := range open {
			open[i] = p.dial()
		}
		if _, err := p.dial().Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("one more: %v", err)
		}
		synctest.Wait()
		if n := conns(); n != maxConns {
			t.Errorf("%v connections", n)
		}
		open[0].Close()
		synctest.Wait()
		conn := p.dial()
		go conn.Write(prefixed(query(t, "www.example.org.", dns.TypeA, 0)))
		if _, err := readTCP(conn); err != nil {
			t.Errorf("after one left: %v", err)
		}
	})
}

// The end of Serve does not wait for idle clients.
func TestTCPStops(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s, _ := newServer(t, example())
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, nil, p) }()
		conn := p.dial()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(start) != 0 {
			t.Errorf("Serve returned %v after %v", err, time.Since(start))
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v", err)
		}
	})
}
