package fabric

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// loopback is a carrier over TCP on this machine. It takes overlay addresses for names.
type loopback struct {
	mu     sync.Mutex
	listen map[netip.AddrPort]string
	down   map[string]bool
	dialed []string
}

func (l *loopback) Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error) {
	l.mu.Lock()
	l.dialed = append(l.dialed, peer)
	to, ok := l.listen[addr]
	l.mu.Unlock()
	if !ok {
		return nil, errors.New("nobody there")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to)
}

func (l *loopback) Up(peer string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.down[peer]
}

func (l *loopback) at(t *testing.T, addr netip.AddrPort) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listen == nil {
		l.listen = map[netip.AddrPort]string{}
	}
	l.listen[addr] = ln.Addr().String()
	return ln
}

// serve runs f until the test ends and waits for it.
func serve(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// echo is the end of a stream: it answers with a status, then sends back what it gets, and after the end
// of that a farewell. It hands out the headers that it sees.
func echo(t *testing.T, ln net.Listener, s Status) <-chan Header {
	headers := make(chan Header, 16)
	serve(t, func(ctx context.Context) error {
		return Serve(ctx, ln, func(_ context.Context, c net.Conn) {
			h, err := ReadHeader(c)
			if err != nil {
				return
			}
			headers <- h
			if WriteStatus(c, s) != nil || s != StatusConnected {
				return
			}
			if _, err := io.Copy(c, c); err != nil {
				return
			}
			_, _ = c.Write([]byte("bye"))
		})
	})
	return headers
}

var request = Request{Target: "t", Site: "s", Service: "v", Client: netip.MustParseAddrPort("203.0.113.9:4711"), Local: netip.MustParseAddrPort("198.51.100.1:443")}

// talk sends a message, closes its half and expects the message and the farewell.
func talk(t *testing.T, conn net.Conn) {
	t.Helper()
	msg := bytes.Repeat([]byte("warren"), 100_000)
	go func() {
		_, _ = conn.Write(msg)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, append(msg, "bye"...)) {
		t.Errorf("%d bytes came back, %v; %d were sent, and a farewell is due", len(got), err, len(msg))
	}
	_ = conn.Close()
}

// mesh is two nodes, of which the second has a tunnel to the connector; on loopback every stream comes
// from 127.0.0.1, so that is the address of the entrance.
func mesh(t *testing.T, entrance netip.Addr) (f *Fabric, near, far *loopback, headers <-chan Header) {
	cfg := func(self string) Config {
		return Config{
			Self:  self,
			Nodes: []Node{{ID: "n1", Addr: entrance}, {ID: "n2", Addr: overlay(2)}},
			Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(0xc1)}}, Nodes: []string{"n2", "n1"}}},
		}
	}
	near, far = &loopback{down: map[string]bool{"c1": true}}, &loopback{}
	headers = echo(t, far.at(t, netip.AddrPortFrom(overlay(0xc1), ConnectorPort)), StatusConnected)
	relay := newFabric(far)
	relay.Apply(cfg("n2"))
	ln := near.at(t, netip.AddrPortFrom(overlay(2), RelayPort))
	serve(t, func(ctx context.Context) error { return relay.ServeRelay(ctx, ln) })
	f = newFabric(near)
	f.Apply(cfg("n1"))
	return f, near, far, headers
}

func TestDialThroughRelay(t *testing.T) {
	f, _, _, headers := mesh(t, netip.MustParseAddr("127.0.0.1"))
	conn, err := f.DialTarget(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	h := <-headers
	want := Header{Target: "t", Site: "s", Service: "v", Client: request.Client, Local: request.Local, Hops: 1}
	if h != want {
		t.Errorf("the connector got %+v, want %+v", h, want)
	}
	talk(t, conn)
}

// A node that dies tells nobody: who waits for an answer through it learns of it by Cut, and only they.
func TestCutEndsWhatIsRelayedThroughANode(t *testing.T) {
	f, _, _, headers := mesh(t, netip.MustParseAddr("127.0.0.1"))
	open := func() net.Conn {
		t.Helper()
		conn, err := f.DialTarget(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		<-headers
		return conn
	}
	waiting, ended := open(), open()
	_ = ended.Close()
	got := make(chan error, 1)
	go func() {
		_, err := waiting.Read(make([]byte, 1))
		got <- err
	}()
	f.Cut("n3")
	talk(t, open()) // what goes another way stays
	f.Cut("n2")
	if err := <-got; err == nil {
		t.Error("the stream through the dead node gave something")
	}
	if n := len(f.relays.streams); n > 0 {
		t.Errorf("%d nodes are remembered", n)
	}
	talk(t, open()) // and it can be used again
}

func TestRelayServesOnlyNodes(t *testing.T) {
	f, _, far, _ := mesh(t, overlay(1))
	_, err := f.DialTarget(t.Context(), request)
	var de *DialError
	if !errors.As(err, &de) || de.Status != StatusNotAllowed {
		t.Errorf("error %v, want status %v", err, StatusNotAllowed)
	}
	if len(far.dialed) > 0 {
		t.Errorf("the relay dialled %v", far.dialed)
	}
}

func TestRelayDoesNotRelayOn(t *testing.T) {
	f, _, far, _ := mesh(t, netip.MustParseAddr("127.0.0.1"))
	far.mu.Lock()
	far.down = map[string]bool{"c1": true} // what is left to it are other nodes
	far.mu.Unlock()
	_, err := f.DialTarget(t.Context(), request)
	var de *DialError
	if !errors.As(err, &de) || de.Status != StatusNoTunnel {
		t.Errorf("error %v, want status %v", err, StatusNoTunnel)
	}
	far.mu.Lock()
	defer far.mu.Unlock()
	if len(far.dialed) > 0 {
		t.Errorf("the relay dialled %v", far.dialed)
	}
}

func TestRelayJudgesHops(t *testing.T) {
	_, near, _, _ := mesh(t, netip.MustParseAddr("127.0.0.1"))
	for hops, want := range map[uint8]Status{0: StatusBadRequest, 1: StatusConnected, 2: StatusBadRequest, 255: StatusBadRequest} {
		conn, err := near.Dial(t.Context(), "n2", netip.AddrPortFrom(overlay(2), RelayPort))
		if err != nil {
			t.Fatal(err)
		}
		h := Header{Target: "t", Site: "s", Client: request.Client, Local: request.Local, Hops: hops}
		b, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, err = open(conn, b)
		var refused statusError
		errors.As(err, &refused)
		if Status(refused) != want {
			t.Errorf("%d hops: %v, want %v", hops, err, want)
		}
		conn.Close()
	}
}

func TestRelayAnswersGarbage(t *testing.T) {
	_, near, _, _ := mesh(t, netip.MustParseAddr("127.0.0.1"))
	conn, err := near.Dial(t.Context(), "n2", netip.AddrPortFrom(overlay(2), RelayPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n")) // sixteen bytes, as many as are read
	b, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(b, []byte{byte(StatusBadRequest)}) {
		t.Errorf("answer %x, %v", b, err)
	}
}

func TestDialTargetErrors(t *testing.T) {
	cfg := Config{Self: "n1", Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(0xc1)}}}}}
	for _, tt := range []struct {
		name string
		edit func(*Request)
		end  Status
		want Status
	}{
		{"another site", func(r *Request) { r.Site = "x" }, StatusConnected, StatusNoTunnel},
		{"no client", func(r *Request) { r.Client = netip.AddrPort{} }, StatusConnected, StatusBadRequest},
		{"the target is off", func(*Request) {}, StatusDialFailed, StatusDialFailed},
		{"not a target of the connector", func(*Request) {}, StatusNotAllowed, StatusNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &loopback{}
			echo(t, l.at(t, netip.AddrPortFrom(overlay(0xc1), ConnectorPort)), tt.end)
			f := newFabric(l)
			f.Apply(cfg)
			r := request
			tt.edit(&r)
			conn, err := f.DialTarget(t.Context(), r)
			var de *DialError
			if conn != nil || !errors.As(err, &de) || de.Status != tt.want || de.Target != r.Target || de.Site != r.Site {
				t.Errorf("connection %v, error %v, want %v", conn, err, tt.want)
			}
		})
	}
}

// A peer that takes the connection and then says nothing.
func TestDialTargetEndsWithItsContext(t *testing.T) {
	l := &loopback{}
	ln := l.at(t, netip.AddrPortFrom(overlay(0xc1), ConnectorPort))
	taken := make(chan struct{}, 1)
	serve(t, func(ctx context.Context) error {
		return Serve(ctx, ln, func(ctx context.Context, c net.Conn) {
			taken <- struct{}{}
			_, _ = io.Copy(io.Discard, c)
		})
	})
	f := newFabric(l)
	f.Apply(Config{Self: "n1", Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(0xc1)}}}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-taken; cancel() }()
	if _, err := f.DialTarget(ctx, request); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestServeEndsStreams(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in := make(chan struct{})
	done := make(chan error)
	go func() {
		done <- Serve(ctx, ln, func(_ context.Context, c net.Conn) {
			close(in)
			_, _ = io.Copy(io.Discard, c) // ends only with the connection
		})
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-in
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is open")
	}
}

func TestServeReportsAListenerThatIsGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestSpliceEndsBothWhenOneFails(t *testing.T) {
	a, nearA := net.Pipe() // a pipe can't close one half
	b, nearB := net.Pipe()
	done := make(chan struct{})
	go func() { Splice(nearA, nearB); close(done) }()
	a.Close()
	<-done
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want the end", err)
	}
}
