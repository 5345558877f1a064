package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func listenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends a packet from a connected socket, which hears nobody but the address it asked.
func exchange(t testing.TB, addr string, packet []byte) *dns.Msg {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return mustUnpack(t, buf[:n])
}

// A socket bound to all addresses answers from the one that was asked.
func TestUDPAnswersFromAddressAsked(t *testing.T) {
	for _, tt := range []struct{ listen, ask string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.2"},
		{"[::]:0", "127.0.0.3"}, // a socket of both families
		{"[::]:0", "::1"},
	} {
		s, reg := newServer(t, example())
		conn := listenUDP(t, tt.listen)
		_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
		serve(t, s, []net.PacketConn{conn}, nil)
		m := exchange(t, net.JoinHostPort(tt.ask, port), query(t, "www.example.org.", dns.TypeA, udpSize))
		if len(m.Answer) != 2 {
			t.Errorf("%s asked at %s:\n%v", tt.listen, tt.ask, m)
		}
		if n := metric(t, reg, "node_dns_queries_total", "NOERROR", "udp"); n != 1 {
			t.Errorf("%v queries counted", n)
		}
	}
}

// What is no query gets no answer, and does not keep the next query from one.
func TestUDPDrops(t *testing.T) {
	s, reg := newServer(t, example())
	conn := listenUDP(t, "127.0.0.1:0")
	serve(t, s, []net.PacketConn{conn}, nil)
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bad := [][]byte{{}, []byte("x"), append(query(t, "www.example.org.", dns.TypeA, 0), make([]byte, maxQuery)...)}
	answer := query(t, "www.example.org.", dns.TypeA, 0)
	answer[2] |= 0x80
	for _, packet := range append(bad, answer) {
		if _, err := client.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return metric(t, reg, "node_dns_dropped_total", "malformed", "udp") == 4 })
	if m := exchange(t, conn.LocalAddr().String(), query(t, "www.example.org.", dns.TypeA, 0)); len(m.Answer) != 2 {
		t.Errorf("answered\n%v", m)
	}
}

// A header that claims a question that is not there must not end the process.
func TestUDPLyingHeader(t *testing.T) {
	s, _ := newServer(t, example())
	conn := listenUDP(t, "127.0.0.1:0")
	serve(t, s, []net.PacketConn{conn}, nil)
	if m := exchange(t, conn.LocalAddr().String(), lyingHeader); m.Rcode != dns.RcodeFormatError {
		t.Errorf("answered\n%v", m)
	}
}

// A panic costs its query, never the process.
func TestPanicIsServfail(t *testing.T) {
	s, reg := newServer(t, example())
	broken := *s.view.Load()
	broken.sets = nil
	s.view.Store(&broken)
	m := mustUnpack(t, s.handle(query(t, "www.example.org.", dns.TypeA, 0), netip.Addr{}, overUDP, nil))
	if m.Rcode != dns.RcodeServerFailure || m.Id != 0x1234 {
		t.Errorf("answered\n%v", m)
	}
	if m := mustUnpack(t, s.handle(query(t, "no.example.org.", dns.TypeA, 0), netip.Addr{}, overUDP, nil)); m.Rcode != dns.RcodeNameError {
		t.Errorf("the next query was answered\n%v", m)
	}
	if n := metric(t, reg, "node_dns_panics_total"); n != 1 {
		t.Errorf("%v panics counted", n)
	}
}

// flaky is a socket that is no UDPConn; its reads fail a few times before they work.
type flaky struct {
	net.PacketConn
	failures atomic.Int32
}

func (f *flaky) ReadFrom(b []byte) (int, net.Addr, error) {
	if f.failures.Add(-1) >= 0 {
		return 0, nil, errors.New("no buffer space")
	}
	return f.PacketConn.ReadFrom(b)
}

func TestUDPReadErrorsPass(t *testing.T) {
	s, reg := newServer(t, example())
	conn := listenUDP(t, "127.0.0.1:0")
	f := &flaky{PacketConn: conn}
	f.failures.Store(3)
	serve(t, s, []net.PacketConn{f}, nil)
	if m := exchange(t, conn.LocalAddr().String(), query(t, "www.example.org.", dns.TypeA, 0)); len(m.Answer) != 2 {
		t.Errorf("answered\n%v", m)
	}
	if n := metric(t, reg, "node_dns_dropped_total", "read", "udp"); n != 3 {
		t.Errorf("%v read errors counted", n)
	}
}

// A socket that someone else closes ends Serve with an error: nobody would answer.
func TestServeEndsWithItsSocket(t *testing.T) {
	s, _ := newServer(t, example())
	conn, other := listenUDP(t, "127.0.0.1:0"), listenUDP(t, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), []net.PacketConn{conn, other}, l) }()
	exchange(t, other.LocalAddr().String(), query(t, "www.example.org.", dns.TypeA, 0))
	conn.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), conn.LocalAddr().String()) {
		t.Errorf("Serve returned %v", err)
	}
	if err := s.Serve(context.Background(), nil, nil); err == nil {
		t.Error("Serve without a socket returned nil")
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still not so")
		}
	}
}
