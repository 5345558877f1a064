package streams

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// meet makes nodes know each other. Site "s" is assigned to the first, by whose connectors it is reached.
func meet(nodes ...*edge) {
	for _, e := range nodes {
		cfg := fabric.Config{Self: e.id, Sites: []fabric.Site{{ID: "s", Nodes: []string{nodes[0].id}}}}
		if e == nodes[0] {
			cfg.Sites[0].Connectors = []fabric.Connector{{ID: "connector_1"}}
		}
		from, to := NodeConfig{Peers: map[string]bool{}}, ConnectorConfig{Nodes: map[string]endpoint.Endpoint{}}
		for _, o := range nodes {
			cfg.Nodes = append(cfg.Nodes, fabric.Node{ID: o.id})
			if o != e {
				from.Peers[o.id], to.Nodes[o.id] = true, endpoint.At(o.port)
			}
		}
		e.fab.Apply(cfg)
		e.others.Apply(from)
		e.relays.Apply(to)
	}
}

// meeting is a node with a connector, and another one that has none.
func meeting(t testing.TB) (with, without *edge, site *site) {
	ca := identitytest.New(t)
	with, without = newEdge(t, ca, "node_1", "connector_1"), newEdge(t, ca, "node_2")
	site = newSite(t, ca, "connector_1", echo(t), with)
	meet(with, without)
	with.wait(t, "connector_1")
	eventually(t, "the nodes have found each other", func() bool { return with.others.Up("node_2") && without.others.Up("node_1") })
	return with, without, site
}

// A stream through another node leads over a connection that is kept, and leaves it for the next one.
func TestRelay(t *testing.T) {
	with, without, _ := meeting(t)
	eventually(t, "one is kept", func() bool { idle, _, _ := without.others.counts(); return idle == restConns })
	streams, controls := accepted(t, without.others, ProtocolRelay), accepted(t, without.others, ProtocolRelayControl)
	for i := range 20 {
		conn, way, err := dialUp(without, request("t"))
		if want := (fabric.Way{Peer: "node_1", Carrier: fabric.CarrierStream, Relay: true}); err != nil || way != want {
			t.Fatalf("%v, by %+v", err, way)
		}
		talk(t, conn, 1<<i)
		free(t, without.others)
	}
	now := accepted(t, without.others, ProtocolRelay)
	if again := accepted(t, without.others, ProtocolRelayControl) - controls; now > streams+float64(size(1)-restConns)+again*float64(size(1)) {
		t.Errorf("%v connections for 20 streams, one after the other", now)
	}
	if q := without.others.Quality("node_1"); q.RTT <= 0 {
		t.Error("the path is not measured")
	}
	// The node that has the connector asks nobody else.
	if _, way, err := dialUp(with, request("t")); err != nil || way.Relay {
		t.Errorf("%+v, %v", way, err)
	}
}

// Who keeps a stream through another node learns that the connector behind that one is silent, while it waits for
// nothing; the stream goes on, and one that nobody keeps is left alone.
func TestSilenceBehindARelay(t *testing.T) {
	with, without, _ := meeting(t)
	for name, tt := range map[string]struct {
		kept bool
		peer string
		told bool
	}{
		"kept": {true, "connector_1", true}, "of somebody else": {true, "connector_2", false}, "not kept": {false, "connector_1", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("t")
			r.Kept = tt.kept
			conn, _, err := dialUp(without, r)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			told, came := make(chan struct{}, 9), make(chan []byte)
			conn.(fabric.Forsakable).OnForsaken(func() { told <- struct{}{} })
			go func() {
				b := make([]byte, 5)
				_, _ = io.ReadFull(conn, b)
				came <- b
			}()
			for range 3 {
				with.fab.Silent(tt.peer, fabric.CarrierStream)
			}
			if tt.told {
				<-told
			}
			if _, err := conn.Write([]byte("still")); err != nil {
				t.Error(err)
			}
			if b := <-came; string(b) != "still" { // behind whatever was told before
				t.Errorf("%q came back", b)
			}
			if len(told) > 0 {
				t.Error("told, once more or without reason")
			}
			late := make(chan struct{}, 9)
			conn.(fabric.Forsakable).OnForsaken(func() { late <- struct{}{} })
			if (len(late) == 1) != tt.told {
				t.Errorf("who asks late is told %d times", len(late))
			}
		})
	}
}

// Both ends let go of a node that is of the cluster no more, in the middle of a stream.
func TestRevokedNode(t *testing.T) {
	for name, revoke := range map[string]func(with, without *edge){
		"who relays learns of it":         func(with, _ *edge) { meet(with) },
		"who is relayed for learns of it": func(_, without *edge) { meet(without) },
	} {
		t.Run(name, func(t *testing.T) {
			with, without, _ := meeting(t)
			conn := enter(t, without)
			defer conn.Close()
			if _, err := conn.Write([]byte("still")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			revoke(with, without)
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if n, err := io.Copy(io.Discard, conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the stream goes on, or ended well: %d bytes, %v", n, err)
			}
			eventually(t, "neither relays for the other", func() bool { return !without.others.Up("node_1") && !with.others.Up("node_2") })
			if _, err := without.fab.DialTarget(t.Context(), request("t")); err == nil {
				t.Error("a stream came about")
			}
		})
	}
}

// Who moves to another address keeps its streams.
func TestMovedNode(t *testing.T) {
	with, without, _ := meeting(t)
	conn := enter(t, without)
	with.relays.Apply(ConnectorConfig{Nodes: map[string]endpoint.Endpoint{"node_2": endpoint.MustParse("127.0.0.1:1")}})
	eventually(t, "it is away", func() bool { return !without.others.Up("node_1") })
	talk(t, conn, 1000)
}

func TestStrangersAmongNodes(t *testing.T) {
	ca, other := identitytest.New(t), identitytest.New(t)
	e := newEdge(t, ca, "node_1", "connector_1")
	e.others.Apply(NodeConfig{Peers: map[string]bool{"node_2": true}})
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	with := func(cert *tls.Certificate) identity.Credentials {
		return identity.Credentials{Cluster: identitytest.Cluster, Certificate: func() *tls.Certificate { return cert }, Authorities: func() *x509.CertPool { return ca.Pool }}
	}
	ask := message{kind: kindAsk, seq: 1}.append(nil)
	for name, cert := range map[string]*tls.Certificate{
		"no certificate":         {},
		"another authority's":    other.Certificate(t, identitytest.Cluster, identity.Node, "node_2", later),
		"another cluster's":      ca.Certificate(t, "other", identity.Node, "node_2", later),
		"a connector's":          ca.Certificate(t, identitytest.Cluster, identity.Connector, "connector_1", later),
		"one of a node's name":   ca.Certificate(t, identitytest.Cluster, identity.Connector, "node_2", later),
		"a control replica's":    ca.Certificate(t, identitytest.Cluster, identity.Control, "node_2", later),
		"a node that is revoked": ca.Certificate(t, identitytest.Cluster, identity.Node, "node_3", later),
		"this node's own":        ca.Certificate(t, identitytest.Cluster, identity.Node, "node_1", later),
		"a node's, of yesterday": ca.Certificate(t, identitytest.Cluster, identity.Node, "node_2", earlier),
	} {
		for _, p := range []string{ProtocolRelayControl, ProtocolRelay} {
			t.Run(name+" "+p, func(t *testing.T) {
				if got, err := stranger(t, e, with(cert), p, ask); err == nil || len(got) > 0 {
					t.Errorf("a stranger got %x, %v", got, err)
				}
				if len(e.others.all()) > 0 {
					t.Error("a stranger has a pool")
				}
			})
		}
	}
	good := with(ca.Certificate(t, identitytest.Cluster, identity.Node, "node_2", later))
	if got, err := stranger(t, e, good, ProtocolRelayControl, []byte{kindAsk, 1, 0}); errors.Is(err, os.ErrDeadlineExceeded) || len(e.others.all()) != 1 {
		t.Errorf("the node itself: %x, %v: this test looks at nothing", got, err)
	}
	if len(e.node.all()) > 0 {
		t.Error("a node has a pool among the connectors")
	}
}

// A node does not relay for whoever answers in the place of another one.
func TestStrangeNodeAmongNodes(t *testing.T) {
	ca, other := identitytest.New(t), identitytest.New(t)
	for name, tt := range map[string]struct {
		ca *identitytest.Authority
		id string
	}{"another authority's": {other, "node_2"}, "another node": {ca, "node_3"}} {
		t.Run(name, func(t *testing.T) {
			with, stranger := newEdge(t, ca, "node_1", "connector_1"), newEdge(t, tt.ca, tt.id)
			stranger.id = "node_2" // with believes
			meet(with, stranger)
			eventually(t, "it has tried", func() bool { return counter(t, with.relays.m.fails.WithLabelValues(ProtocolRelayControl)) >= 2 })
			if stranger.others.Up("node_1") {
				t.Error("a stranger can have streams relayed")
			}
		})
	}
}

// Whoever carries streams for others takes no more when it ends; those in progress have their time.
func TestDrain(t *testing.T) {
	for name, tt := range map[string]struct{ drain, after, want time.Duration }{
		"no time":          {0, time.Hour, 0},
		"none in progress": {fabric.RelayDrain, 0, 0},
		"one that ends":    {fabric.RelayDrain, 3 * time.Second, 3 * time.Second},
		"one that goes on": {fabric.RelayDrain, time.Hour, fabric.RelayDrain},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.link.opts.Drain = tt.drain
				s := b.open(t)
				defer s.Close()
				if tt.after == 0 {
					_ = s.Close()
					time.Sleep(2 * lastWordTime)
				} else {
					time.AfterFunc(tt.after, func() { _ = s.Close() })
				}
				synctest.Wait()
				start := time.Now()
				b.stopLink()
				if took := time.Since(start); took != tt.want {
					t.Errorf("ended after %v, want %v", took, tt.want)
				}
				// A node that has not noticed yet hands out a connection that stood idle. It says so (Prepared), and whoever
				// speaks into it finds it dead.
				synctest.Wait()
				if _, err := b.node.Dial(t.Context(), "connector_1", netip.AddrPortFrom(netip.Addr{}, fabric.ConnectorPort)); !errors.Is(err, errDown) {
					t.Errorf("a stream with somebody who has ended: %v, want %v", err, errDown)
				}
			})
		})
	}
}
