package fabric

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// Streams between nodes and the tunnel between them stand in for each other, in the time in which another node would
// be asked.
func TestRelayStandsIn(t *testing.T) {
	for _, tt := range []struct {
		name              string
		stream, wireguard standby
		within            time.Duration
		carrier           string
	}{
		{"both are well", standby{up: true}, standby{up: true}, 0, CarrierStream},
		{"streams are down", standby{}, standby{up: true}, 0, CarrierWireGuard},
		{"the tunnel is down", standby{up: true}, standby{}, 0, CarrierStream},
		{"streams are silent, and nobody knows yet", standby{up: true, silent: true}, standby{up: true}, stagger, CarrierWireGuard},
		{"kept connections are dead", standby{up: true, dead: triesMost}, standby{up: true}, 0, CarrierWireGuard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				stream, wireguard := tt.stream, tt.wireguard
				f := New(Carriers{WireGuard: &wireguard, Nodes: &stream}, newFabric(never{}).log, newRegistry())
				f.Apply(Config{Self: "n1", Nodes: []Node{{ID: "n1"}, {ID: "n2", Addr: overlay(2)}}, Sites: []Site{{ID: "s", Nodes: []string{"n2"}}}})
				start := time.Now()
				conn, way, err := f.Dial(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if took, want := time.Since(start), (Way{Peer: "n2", Carrier: tt.carrier, Relay: true}); took != tt.within || way != want {
					t.Errorf("%+v after %v, want %+v after %v", way, took, want, tt.within)
				}
				if n := count(t, f.m.relays.WithLabelValues(tt.carrier)); n != 1 {
					t.Errorf("counted %v times", n)
				}
			})
		})
	}
}

// Whoever has proved to be a node is relayed for only as long as it is one, and never is a node for itself.
func TestRelayStreamServesOnlyNodes(t *testing.T) {
	far := &loopback{}
	echo(t, far.at(t, netip.AddrPortFrom(overlay(0xc1), ConnectorPort)), StatusConnected)
	f := newFabric(far)
	f.Apply(Config{Self: "n2", Nodes: []Node{{ID: "n1"}, {ID: "n2"}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(0xc1)}}, Nodes: []string{"n2"}}}})
	header := func(hops uint8) []byte {
		b, err := Header{Target: "t", Site: "s", Client: request.Client, Local: request.Local, Hops: hops}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tt := range []struct {
		node string
		hops uint8
		want Status
	}{{"n1", 1, StatusConnected}, {"n1", 2, StatusBadRequest}, {"n1", 0, StatusBadRequest}, {"n2", 1, StatusNotAllowed}, {"n3", 1, StatusNotAllowed}, {"c1", 1, StatusNotAllowed}, {"", 1, StatusNotAllowed}} {
		near, conn := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer conn.Close()
			f.RelayStream(t.Context(), conn, tt.node)
		}()
		_, _ = near.Write(header(tt.hops))
		var status [1]byte
		if _, err := io.ReadFull(near, status[:]); err != nil || Status(status[0]) != tt.want {
			t.Errorf("node %q, %d hops: %v, %v, want %v", tt.node, tt.hops, Status(status[0]), err, tt.want)
		}
		_ = near.Close()
		<-done
	}
}

// pipes is a listener of connections that are put into it.
type pipes struct {
	conns chan net.Conn
	shut  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.shut:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.shut) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection from an address.
type from struct {
	net.Conn
	addr netip.Addr
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.addr, 1)) }

// holding is a carrier whose streams stay open.
type holding struct{}

func (holding) Up(string) bool { return true }

func (holding) Dial(context.Context, string, netip.AddrPort) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, err := ReadHeader(far); err == nil && WriteStatus(far, StatusConnected) == nil {
			_, _ = io.Copy(io.Discard, far)
		}
	}()
	return near, nil
}

func count(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// A node that ends takes no more streams of others; those in progress have as long as connections of clients.
func TestRelayDrains(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration // until the stream ends by itself
		want  time.Duration // until the node is done
	}{
		"none":             {0, 0},
		"one that ends":    {3 * time.Second, 3 * time.Second},
		"one that doesn't": {time.Hour, RelayDrain},
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				l := &pipes{conns: make(chan net.Conn), shut: make(chan struct{})}
				f := newFabric(holding{})
				f.Apply(Config{Self: "n2", Nodes: []Node{{ID: "n1", Addr: overlay(1)}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1"}}}}})
				ctx, end := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- f.ServeRelay(ctx, l) }()
				if tt.after > 0 {
					near, far := net.Pipe()
					l.conns <- from{far, overlay(1)}
					b, _ := Header{Target: "t", Site: "s", Client: request.Client, Local: request.Local, Hops: 1}.Marshal()
					_, _ = near.Write(b)
					if _, err := io.ReadFull(near, make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(tt.after, func() { _ = near.Close() })
					defer near.Close()
				}
				start := time.Now()
				end()
				if err := <-done; err != nil || time.Since(start) != tt.want {
					t.Errorf("%v after %v, want %v", err, time.Since(start), tt.want)
				}
			})
		})
	}
}

// forsakes is a connection of another node that can be told.
type forsakes struct {
	net.Conn
	told chan struct{}
}

func (f forsakes) Forsake() { f.told <- struct{}{} }

// Nodes that keep streams are told of silence behind this one, also of one that nobody saw the stream come about in.
func TestSilenceIsPassedOn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kept   bool
		up     bool // the connector still is, when the stream has come about
		silent string
		by     string
		want   int
	}{
		{"kept", true, true, "c1", CarrierWireGuard, 1},
		{"not kept", false, true, "c1", CarrierWireGuard, 0},
		{"another connector", true, true, "c2", CarrierWireGuard, 0},
		{"by the other carrier alone", true, true, "c1", CarrierStream, 0},
		{"before the stream was there", true, false, "", "", 1},
		{"not kept, before", false, false, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFabric(&fading{fades: !tt.up})
			f.Apply(Config{Self: "n2", Nodes: []Node{{ID: "n1"}, {ID: "n2"}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1"}}}}})
			header, err := Header{Target: "t", Site: "s", Client: request.Client, Local: request.Local, Hops: 1, Kept: tt.kept}.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			near, conn := net.Pipe()
			told := make(chan struct{}, 9)
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.RelayStream(t.Context(), forsakes{conn, told}, "n1")
			}()
			_, _ = near.Write(header)
			var status [1]byte
			if _, err := io.ReadFull(near, status[:]); err != nil || Status(status[0]) != StatusConnected {
				t.Fatalf("%v, %v", Status(status[0]), err)
			}
			f.Silent(tt.silent, tt.by)
			if len(told) != tt.want {
				t.Errorf("told %d times, want %d", len(told), tt.want)
			}
			_ = near.Close()
			<-done
			if f.Silent("c1", CarrierWireGuard); len(told) != tt.want || len(f.passing.by) != 0 {
				t.Error("a stream that is over is remembered")
			}
		})
	}
}

// fading is a carrier that may be down as soon as a stream has come about.
type fading struct {
	holding
	fades bool
	gone  atomic.Bool
}

func (f *fading) Up(string) bool { return !f.gone.Load() }

func (f *fading) Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error) {
	defer f.gone.Store(f.fades)
	return f.holding.Dial(ctx, peer, addr)
}
