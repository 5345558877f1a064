package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// The whole way: fabric, node, TLS port, connector, target; both halves end one after the other.
func TestStream(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	for _, size := range []int{0, 1, frameMost - 1, frameMost, frameMost + 1, 32 << 20} {
		talk(t, enter(t, e), size)
	}
	if !e.node.TUN("connector_1") || e.fab.CarrierOf("connector_1") != fabric.CarrierStream {
		t.Error("the connector's hello did not arrive, or streams go elsewhere")
	}
	eventually(t, "a round trip is measured", func() bool { return e.node.Quality("connector_1").RTT > 0 })
}

// A connector whose tunnel to one node does not come up says so to that one.
func TestStuckTunnelIsTold(t *testing.T) {
	ca := identitytest.New(t)
	e, other := newEdge(t, ca, "node_1", "connector_1"), newEdge(t, ca, "node_2", "connector_1")
	s := newSite(t, ca, "connector_1", echo(t), e, other)
	e.wait(t, "connector_1")
	other.wait(t, "connector_1")
	if e.stuck.Load() != nil {
		t.Error("stuck before it was")
	}
	s.stuck.Store("node_1")
	eventually(t, "the node hears of it", func() bool { return e.stuck.Load() == "connector_1" })
	if other.stuck.Load() != nil {
		t.Error("the other node hears of it, too")
	}
}

// Connections are used again: a thousand streams, a hundred at once, need no more than there were at one time.
func TestManyStreams(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 10 {
				conn, _, err := dialUp(e, request("t"))
				if err != nil {
					t.Error(err)
					return
				}
				talk(t, conn, 3000)
			}
		})
	}
	wg.Wait()
	eventually(t, "every connection is idle again", func() bool {
		idle, busy, _ := e.node.counts()
		return busy == 0 && idle <= size(100)
	})
	if made, most := accepted(t, e.node, ProtocolStream), accepted(t, e.node, ProtocolControl)*float64(size(100))+10; made > most {
		t.Errorf("%v connections were made for 1,000 streams, 100 at once, want %v at most", made, most)
	}
}

// A stream that one end gives up is no end of a file for the other, and costs no connection.
func TestGivenUp(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	target := listen(t)
	heard := make(chan error, 1)
	serve(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, target, func(_ context.Context, c net.Conn) {
			_, _ = c.Write([]byte("hello"))
			_, err := io.ReadAll(c)
			heard <- err
		})
	})
	newSite(t, ca, "connector_1", target.Addr().String(), e)
	e.wait(t, "connector_1")
	for range 20 {
		conn := enter(t, e)
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		blocked := make(chan error)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			blocked <- err
		}()
		_ = conn.Close()
		if err := <-blocked; err == nil || err == io.EOF {
			t.Errorf("a read across Close: %v", err)
		}
		<-heard
		if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		if err := conn.SetDeadline(time.Unix(1, 0)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a deadline after Close: %v", err)
		}
		free(t, e.node)
	}
	if made := counter(t, e.node.m.accepts.WithLabelValues(ProtocolStream, "true")); made > 10 { // some, of last words that came late
		t.Errorf("%v connections for 20 streams, one at a time", made)
	}
}

// What the target breaks off arrives broken, not complete.
func TestBrokenTarget(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	target := listen(t)
	serve(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, target, func(_ context.Context, c net.Conn) {
			_, _ = c.Write([]byte("half of it"))
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0) // RST
		})
	})
	newSite(t, ca, "connector_1", target.Addr().String(), e)
	e.wait(t, "connector_1")
	conn := enter(t, e)
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("x"))
	if n, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the end of a broken stream: %d, %v", n, err)
	}
}

// Refusals come back as they are, and cost no connection.
func TestRefused(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	for range 20 {
		_, _, err := dialUp(e, request("x"))
		var de *fabric.DialError
		if !errors.As(err, &de) || de.Status != fabric.StatusNotAllowed {
			t.Fatalf("error %v", err)
		}
		free(t, e.node)
	}
	if made := counter(t, e.node.m.accepts.WithLabelValues(ProtocolStream, "true")); made > 10 { // some, of last words that came late
		t.Errorf("%v connections for 20 refusals, one at a time", made)
	}
}

// A node that dies takes its own streams along and nothing else; one that comes back is used again.
func TestNodeDies(t *testing.T) {
	ca := identitytest.New(t)
	a, b := newEdge(t, ca, "node_a", "connector_1"), newEdge(t, ca, "node_b", "connector_1")
	s := newSite(t, ca, "connector_1", echo(t), a, b)
	a.wait(t, "connector_1")
	b.wait(t, "connector_1")
	held := enter(t, b)
	eventually(t, "the connector is told of both", func() bool {
		return told(&s.watched, "node_a", true) && told(&s.watched, "node_b", true) && gauge(t, s.link.m.nodes) == 2
	})
	a.stop()
	eventually(t, "the connector is told of the end", func() bool {
		return told(&s.watched, "node_a", false) && told(&s.watched, "node_b", true) && gauge(t, s.link.m.nodes) == 1
	})
	if a.node.Up("connector_1") {
		t.Error("a node that is over says that it has a connector")
	}
	talk(t, held, 1000)
	talk(t, enter(t, b), 1000)
	c := newEdge(t, ca, "node_a", "connector_1") // at another port
	s.link.Apply(endpoints(b, c))
	c.wait(t, "connector_1")
	talk(t, enter(t, c), 1000)
}

func TestConnectorDies(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1", "connector_2")
	one := newSite(t, ca, "connector_1", echo(t), e)
	newSite(t, ca, "connector_2", echo(t), e)
	e.wait(t, "connector_1", "connector_2")
	one.stop()
	for range 10 { // the other one serves, whatever is known of the first
		talk(t, enter(t, e), 1000)
	}
	eventually(t, "the node knows", func() bool {
		return !e.node.Up("connector_1") && told(&e.watched, "connector_1", false) && told(&e.watched, "connector_2", true)
	})
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
}

// A connector that is no longer there loses its streams; one whose site has moved keeps those it has.
func TestWithdrawn(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	kept := enter(t, e)
	e.node.Apply(NodeConfig{Peers: map[string]bool{"connector_1": false}})
	if e.node.Up("connector_1") {
		t.Error("a connector of another node's site is up")
	}
	if _, err := kept.Write([]byte("still")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(kept, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	e.node.Apply(NodeConfig{})
	if n, err := io.Copy(io.Discard, kept); err == nil {
		t.Errorf("a withdrawn connector's stream ended well after %d bytes", n)
	}
	_ = kept.Close()
	e.know("connector_1")
	e.wait(t, "connector_1")
	talk(t, enter(t, e), 1000)
}

// An idle stream holds no copy buffer at either end, and bytes that arrive are passed on at once.
func TestInteractive(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	client, near := net.Pipe()
	conn := enter(t, e)
	done := make(chan struct{})
	go func() {
		defer close(done)
		fabric.Splice(near, conn)
	}()
	for _, line := range []string{"a", "bc", "def"} {
		go func() { _, _ = client.Write([]byte(line)) }()
		got := make([]byte, len(line))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, []byte(line)) {
			t.Fatalf("%q came back as %q, %v", line, got, err)
		}
	}
	_ = client.Close()
	<-done
}
