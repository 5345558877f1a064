package streams

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// stranger dials an edge's TLS port with credentials and tries to be taken for a connector. It returns when
// the node has ended the connection, with what the node sent.
func stranger(t *testing.T, e *edge, c identity.Credentials, protocol string, send []byte) ([]byte, error) {
	t.Helper()
	cfg := clientTLS(c, e.id, protocol, nil)
	conn, err := tls.Dial("tcp", e.port.String(), cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = conn.Write(send)
	return io.ReadAll(conn)
}

func TestStrangers(t *testing.T) {
	ca, other := identitytest.New(t), identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	e.node.Apply(NodeConfig{Peers: map[string]bool{"connector_1": true, "connector_2": false}})
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	with := func(cert *tls.Certificate) identity.Credentials {
		return identity.Credentials{Cluster: identitytest.Cluster, Certificate: func() *tls.Certificate { return cert }, Authorities: func() *x509.CertPool { return ca.Pool }}
	}
	ask := message{kind: kindAsk, seq: 1}.append(nil)
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
	}{
		{"no certificate", &tls.Certificate{}},
		{"another authority's", other.Certificate(t, identitytest.Cluster, identity.Connector, "connector_1", later)},
		{"another cluster's", ca.Certificate(t, "other", identity.Connector, "connector_1", later)},
		{"a node's", ca.Certificate(t, identitytest.Cluster, identity.Node, "node_1", later)},
		{"a control replica's", ca.Certificate(t, identitytest.Cluster, identity.Control, "connector_1", later)},
		{"a connector's that nobody knows", ca.Certificate(t, identitytest.Cluster, identity.Connector, "connector_9", later)},
		{"a connector's of another node's site", ca.Certificate(t, identitytest.Cluster, identity.Connector, "connector_2", later)},
		{"an expired one", ca.Certificate(t, identitytest.Cluster, identity.Connector, "connector_1", earlier)},
	} {
		for _, p := range []string{ProtocolControl, ProtocolStream} {
			t.Run(tt.name+" "+p, func(t *testing.T) {
				if got, err := stranger(t, e, with(tt.cert), p, ask); err == nil || len(got) > 0 {
					t.Errorf("a stranger got %x, %v", got, err)
				}
				if len(e.node.all()) > 0 {
					t.Error("a stranger has a pool")
				}
			})
		}
	}
}

// The connector does not take a stranger for its node either.
func TestStrangeNode(t *testing.T) {
	ca, other := identitytest.New(t), identitytest.New(t)
	for _, tt := range []struct {
		name string
		ca   *identitytest.Authority
		id   string
	}{{"another authority's", other, "node_1"}, {"another node", ca, "node_2"}} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEdge(t, tt.ca, tt.id, "connector_1")
			e.id = "node_1" // the connector believes
			s := newSite(t, ca, "connector_1", "127.0.0.1:1", e)
			eventually(t, "the connector has tried", func() bool { return counter(t, s.link.m.fails.WithLabelValues(ProtocolControl)) >= 2 })
			if e.node.Up("connector_1") {
				t.Error("the connector has taken it for its node")
			}
		})
	}
}

// A ticket does not outlive the right to connect.
func TestResumedStranger(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	session := &newest{}
	cfg := clientTLS(ca.Credentials(t, identity.Connector, "connector_1"), "node_1", ProtocolStream, session)
	once := func() (resumed bool, err error) {
		conn, err := tls.Dial("tcp", e.port.String(), cfg)
		if err != nil {
			return false, err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = conn.Read(make([]byte, 1)) // takes the ticket in; the node closes what is too much
		return conn.ConnectionState().DidResume, err
	}
	eventually(t, "the node wants no more", func() bool { idle, _, _ := e.node.counts(); return idle == restConns })
	if _, err := once(); err != io.EOF {
		t.Fatal(err)
	}
	if resumed, err := once(); !resumed || err != io.EOF {
		t.Fatalf("resumed %v, %v: this test looks at nothing", resumed, err)
	}
	e.node.Apply(NodeConfig{})
	if resumed, err := once(); !resumed || err == nil || err == io.EOF {
		t.Errorf("resumed %v, %v, want a refusal", resumed, err)
	}
}

// Garbage inside TLS ends the connection it came on, nothing else.
func TestGarbage(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	creds := ca.Credentials(t, identity.Connector, "connector_1")
	for _, tt := range []struct {
		name string
		send []byte
	}{
		{"a short ask", []byte{kindAsk, 1, 0}},
		{"a flood", bytes.Repeat(message{kind: kindAnswer}.append(nil), 100*floodMost)},
		{"a flood of nothing that is known", bytes.Repeat([]byte{77, 0}, 100*floodMost)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stranger(t, e, creds, ProtocolControl, tt.send)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the node took it")
			}
		})
	}
	// On a stream connection that is idle a byte is one too many: it is not used.
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	eventually(t, "one is idle", func() bool { idle, _, _ := e.node.counts(); return idle == restConns })
	p := e.node.pool("connector_1", false)
	near, far := tcpPair(t)
	p.mu.Lock()
	p.wanted++
	p.mu.Unlock()
	if !p.add(&wire{tls: tls.Server(near, e.node.tls)}) {
		t.Fatal("no room")
	}
	_, _ = far.Write([]byte("x"))
	eventually(t, "the byte is there", func() bool { return !silent(near) })
	talk(t, enter(t, e), 1000) // the newest would have been first
	_ = far.Close()
}

func tcpPair(t *testing.T) (near, far net.Conn) {
	l := listen(t)
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// A connector that is out of its mind gets no more connections than the node asked for, and one without a
// control connection none.
func TestIdleFlood(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	creds := ca.Credentials(t, identity.Connector, "connector_1")
	cfg := clientTLS(creds, "node_1", ProtocolStream, nil)
	flood := func() {
		for range 20 {
			conn, err := tls.Dial("tcp", e.port.String(), cfg)
			if err == nil {
				t.Cleanup(func() { _ = conn.Close() })
			}
		}
	}
	flood()
	eventually(t, "all are refused", func() bool { return counter(t, e.node.m.refuses.WithLabelValues("surplus")) == 20 })
	newSite(t, ca, "connector_1", echo(t), e)
	eventually(t, "what is wanted is there", func() bool { idle, _, _ := e.node.counts(); return idle == restConns })
	flood()
	eventually(t, "all are refused", func() bool { return counter(t, e.node.m.refuses.WithLabelValues("surplus")) == 40 })
	talk(t, enter(t, e), 1000)
}

// A handshake that does not go on ends in time and stops nobody else.
func TestSlowHandshake(t *testing.T) {
	ca := identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	var hello bytes.Buffer
	cfg := clientTLS(ca.Credentials(t, identity.Connector, "connector_1"), "node_1", ProtocolControl, nil)
	_ = tls.Client(recorder{&hello}, cfg).HandshakeContext(context.Background()) // ends at the first read
	var slow []net.Conn
	for range 50 {
		conn, err := net.Dial("tcp", e.port.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(hello.Bytes())
		slow = append(slow, conn)
	}
	newSite(t, ca, "connector_1", echo(t), e)
	e.wait(t, "connector_1")
	talk(t, enter(t, e), 1000)
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a handshake goes on for ever")
		}
	}
}

// handed is a listener of connections that a test hands over.
type handed chan net.Conn

func (h handed) Accept() (net.Conn, error) {
	if c, ok := <-h; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (h handed) Close() error { close(h); return nil }
func (handed) Addr() net.Addr { return &net.TCPAddr{} }

// However many handshakes somebody has begun, a connector's is not one that waits.
func TestHandshakesDoNotWaitForSlowOnes(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ca := identitytest.New(t)
		n := NewNode(NodeOptions{Credentials: ca.Credentials(t, identity.Node, "node_1"), From: identity.Connector, Log: quiet(), Registerer: prometheus.NewRegistry()})
		n.shaking = inbound.NewHandshakes(10)
		n.Apply(NodeConfig{Peers: map[string]bool{"connector_1": true}})
		l := make(handed)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Serve(ctx, l) }()
		for range 50 {
			near, far := net.Pipe() // says nothing
			defer far.Close()
			l <- near
		}
		begin := time.Now()
		near, far := net.Pipe()
		defer far.Close()
		l <- near
		conn := tls.Client(far, clientTLS(ca.Credentials(t, identity.Connector, "connector_1"), "node_1", ProtocolControl, nil))
		if err := conn.HandshakeContext(ctx); err != nil || time.Since(begin) > 0 {
			t.Errorf("a connector's handshake took %v: %v", time.Since(begin), err)
		}
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// recorder is a connection that keeps what is written and has nothing to read.
type recorder struct{ out *bytes.Buffer }

func (r recorder) Write(p []byte) (int, error)      { return r.out.Write(p) }
func (r recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r recorder) Close() error                     { return nil }
func (r recorder) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r recorder) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (r recorder) SetDeadline(time.Time) error      { return nil }
func (r recorder) SetReadDeadline(time.Time) error  { return nil }
func (r recorder) SetWriteDeadline(time.Time) error { return nil }
