package httpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// through makes what is dialled from now on lead through a peer.
func (e *edge) through(peer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.way = fabric.Way{Peer: peer}
}

func (e *edge) dials() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.dialled)
}

// Of two connectors one falls silent: the connections through the other one are kept, to the same target as well.
func TestReconnectLeavesOnlyTheLostWay(t *testing.T) {
	held, release := make(chan struct{}, 2), make(chan struct{})
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			held <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	client := e.client(t, true, "")
	// One connection by each: requests at the same time need one each.
	came := make(chan string, 2)
	ask := func(path string) {
		_, from := get(t, client, "https://a.example"+path)
		came <- from
	}
	e.through("connector_1")
	go ask("/slow")
	<-held
	e.through("connector_2")
	go ask("/slow")
	<-held
	close(release)
	both := map[string]bool{<-came: true, <-came: true}
	if e.dials() != 2 || len(both) != 2 {
		t.Fatalf("%d dials, %v", e.dials(), both)
	}
	e.Reconnect("connector_3")
	e.Reconnect()
	e.Reconnect("connector_1", "node_1")
	var from string
	for range 10 {
		var again string
		if _, again = get(t, client, "https://a.example/"); !both[again] || from != "" && again != from {
			t.Fatalf("a request came over %s, of %v", again, both)
		}
		from = again
	}
	e.through("connector_3")
	e.Reconnect("connector_2")
	if _, again := get(t, client, "https://a.example/"); both[again] || e.dials() != 3 {
		t.Errorf("over %s after %d dials: a lost way was kept", again, e.dials())
	}
	e.ways.mu.Lock()
	defer e.ways.mu.Unlock()
	if len(e.ways.by) != 1 || len(e.ways.by["connector_3"]) != 1 {
		t.Errorf("remembered: %v", e.ways.by)
	}
}

// A request that is on its way is left alone, and its connection not kept.
func TestReconnectWaitsForRequests(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(held)
			<-release
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	})})
	e.through("connector_1")
	e.serve(t, map[string]string{"a.example": "b"})
	client := e.client(t, true, "")
	slow := make(chan string)
	go func() {
		_, from := get(t, client, "https://a.example/slow")
		slow <- from
	}()
	<-held
	e.Reconnect("connector_1")
	close(release)
	first := <-slow
	if first == "" {
		t.Error("the request was cut")
	}
	if _, next := get(t, client, "https://a.example/"); next == first {
		t.Error("its connection was kept")
	}
}

// The transport may hand out a connection at the moment at which it is left: nothing is written on it, and the
// request goes another way, whatever its method and with its body.
func TestReconnectBetweenChoiceAndUse(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+string(b))
	})})
	e.through("connector_1")
	e.serve(t, map[string]string{"a.example": "b"})
	client := e.client(t, true, "")
	get(t, client, "https://a.example/")
	for k := range e.ways.by["connector_1"] { // as leave does when a request has just been counted
		k.mu.Lock()
		k.leaving = true
		k.mu.Unlock()
	}
	resp, err := client.Post("https://a.example/", "text/plain", strings.NewReader("whole"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || string(b) != "POST whole" || e.dials() != 2 {
		t.Errorf("%d %q after %d dials", resp.StatusCode, b, e.dials())
	}
}

func TestKept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shared bool
		do     func(w *ways, k *kept)
		closed bool
	}{
		{"idle", false, func(w *ways, k *kept) { w.leave("p") }, true},
		{"by its carrier", false, func(w *ways, k *kept) { w.leave("p", fabric.CarrierLocal, fabric.CarrierStream) }, true},
		{"by other carriers", false, func(w *ways, k *kept) { w.leave("p", fabric.CarrierLocal, fabric.CarrierWireGuard) }, false},
		{"of somebody else", false, func(w *ways, k *kept) { w.leave("q") }, false},
		{"in use", false, func(w *ways, k *kept) { k.use(); w.leave("p") }, false},
		{"until its use is over", false, func(w *ways, k *kept) { k.use(); w.leave("p"); k.done() }, true},
		{"used before", false, func(w *ways, k *kept) { k.use(); k.done(); w.leave("p") }, true},
		{"given to the next one while it is being left", false, func(w *ways, k *kept) { k.use(); w.leave("p"); k.use() }, true},
		{"shared: the next one may join", true, func(w *ways, k *kept) { k.use(); w.leave("p"); k.use(); k.done() }, false},
		{"until the last one is done", true, func(w *ways, k *kept) { k.use(); w.leave("p"); k.use(); k.done(); k.done() }, true},
		{"twice", false, func(w *ways, k *kept) { w.leave("p"); w.leave("p"); k.use(); k.done(); k.done() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			var w ways
			k := w.add(near, fabric.Way{Peer: "p", Carrier: fabric.CarrierStream}, tt.shared)
			tt.do(&w, k)
			go func() { _, _ = far.Read(make([]byte, 1)) }()
			_, err := k.Write([]byte("x"))
			if closed := errors.Is(err, errLeft); closed != tt.closed || !closed && err != nil {
				t.Errorf("write: %v, want left: %v", err, tt.closed)
			}
			_, err = k.ReadFrom(strings.NewReader(""))
			if closed := errors.Is(err, errLeft); closed != tt.closed {
				t.Errorf("read from: %v, want left: %v", err, tt.closed)
			}
			_ = k.Close()
			if len(w.by) != 0 {
				t.Errorf("remembered: %v", w.by)
			}
		})
	}
}

// net/http says which connection a request was given for HTTP/2 without TLS as well: else gRPC would never leave.
func TestSharedConnectionsAreTold(t *testing.T) {
	addr := named(t, "b")
	p := newPool(poolKey{}, func(ctx context.Context, _ fabric.Request) (net.Conn, fabric.Way, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		return c, fabric.Way{Peer: "connector_1"}, err
	}, new(ways))
	defer p.close()
	var got *kept
	for range 2 {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { got, _ = i.Conn.(*kept) }})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://target/", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.http2.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got == nil || !got.shared || got.way.Peer != "connector_1" {
			t.Errorf("given %+v", got)
		}
	}
}

// telling is a connection through a relay that can tell.
type telling struct {
	net.Conn
	tell func()
}

func (c *telling) OnForsaken(f func()) { c.tell = f }

// A connection is left when the relay that it leads through tells that nobody is behind it any more.
func TestForsaken(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	through := &telling{Conn: near}
	p := newPool(poolKey{}, func(_ context.Context, r fabric.Request) (net.Conn, fabric.Way, error) {
		if !r.Kept {
			t.Error("the fabric is not told that the connection is kept")
		}
		return through, fabric.Way{Peer: "node_1", Relay: true}, nil
	}, new(ways))
	c, err := p.dialContext(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	k := c.(*kept)
	k.use()
	through.tell()
	if k.left.Load() {
		t.Error("left while a request uses it")
	}
	k.done()
	if !k.left.Load() {
		t.Error("kept for the next request")
	}
}
