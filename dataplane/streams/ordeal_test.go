package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/nettest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// ordeal lets the networks of connectors fail in simulated time, each so many times, and returns how streams went to
// them again: from both of their nodes, with an answer.
func ordeal(t testing.TB, seed uint64, connectors, each int, most time.Duration) []nettest.Recovery {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	internet, ca := nettest.New(), identitytest.New(t)
	var running sync.WaitGroup
	defer running.Wait()
	defer internet.Close()
	defer cancel()
	run := func(f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	known := map[string]bool{}
	name := func(i int) string { return fmt.Sprintf("connector%d", i) }
	for i := range connectors {
		known[name(i)] = true
	}
	var nodes []*Node
	to := ConnectorConfig{Nodes: map[string]endpoint.Endpoint{}}
	for i := range 2 {
		id, addr := fmt.Sprintf("node%d", i), netip.AddrFrom4([4]byte{198, 18, 2, byte(i + 1)})
		h := internet.Host(addr, false)
		l := h.Listen(443)
		n := NewNode(NodeOptions{Credentials: ca.Credentials(t, identity.Node, id), Log: quiet(), Registerer: prometheus.NewRegistry()})
		n.Apply(NodeConfig{Peers: known})
		run(func(ctx context.Context) error { return n.Serve(ctx, l) })
		run(func(ctx context.Context) error { reflect(ctx, h.ListenUDP(51820)); return nil })
		nodes, to.Nodes[id] = append(nodes, n), endpoint.At(netip.AddrPortFrom(addr, 443))
	}
	var hosts []*nettest.Host
	var links []*Connector
	for i := range connectors {
		h := internet.Host(netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}), true)
		c := NewConnector(Options{Credentials: ca.Credentials(t, identity.Connector, name(i)), TUN: func() bool { return false }, Log: quiet(), Registerer: prometheus.NewRegistry(),
			Handler: func(_ context.Context, conn net.Conn, _ string) {
				h.Awake()
				var b [1]byte
				if _, err := conn.Read(b[:]); err == nil {
					_, _ = conn.Write(b[:])
				}
			}})
		c.dial.Connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			h.Awake()
			return h.Dial(ctx, to)
		}
		c.Apply(to)
		run(c.Run)
		links = append(links, c)
		for id, at := range to.Nodes {
			run(func(ctx context.Context) error { beat(ctx, h, at.Addr.Addr(), func() { c.Doubt(id) }); return nil })
		}
		hosts = append(hosts, h)
	}
	defer func() {
		for i, c := range links {
			if c.others.any() {
				t.Errorf("connector %d, which comes back from faults of its network, takes itself for a copy", i)
			}
		}
	}()
	return nettest.Ordeal(seed, hosts, each, most, func(i int, since time.Time) bool {
		for _, n := range nodes {
			if !answered(ctx, n, name(i)) {
				return false
			}
		}
		return true
	})
}

// beat stands for the other carrier: it asks a node once a second, by datagrams that no translation stops for long,
// and tells when an answer is late and when there is one again.
func beat(ctx context.Context, h *nettest.Host, node netip.Addr, changed func()) {
	socket := h.ListenUDP(40000)
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	var heard atomic.Int64
	go func() {
		for b := make([]byte, 1); ; {
			if _, _, err := socket.Receive(b); err != nil {
				return
			}
			heard.Add(1)
		}
	}()
	for up := true; ctx.Err() == nil; time.Sleep(time.Second) {
		before := heard.Load()
		h.Awake()
		_ = socket.Send([]byte{1}, netip.AddrPortFrom(node, 51820))
		time.Sleep(150 * time.Millisecond)
		if now := heard.Load() > before; now != up {
			up = now
			changed()
		}
	}
}

// reflect is the node's end of beat.
func reflect(ctx context.Context, socket *nettest.Socket) {
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	for b := make([]byte, 1); ; {
		_, from, err := socket.Receive(b)
		if err != nil {
			return
		}
		_ = socket.Send(b, from)
	}
}

// answered asks a connector by a stream. Who is too long without an answer is asked again.
func answered(ctx context.Context, n *Node, connector string) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	s, err := n.Dial(ctx, connector, netip.AddrPortFrom(netip.IPv6Unspecified(), fabric.ConnectorPort))
	if err != nil {
		return false
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := s.Write([]byte{7}); err != nil {
		return false
	}
	var b [1]byte
	_, err = s.Read(b[:])
	return err == nil
}

// seed is drawn, printed, and set by WARREN_LAB_SEED.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := rand.Uint64()
	if v := os.Getenv("WARREN_LAB_SEED"); v != "" {
		var err error
		if s, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("WARREN_LAB_SEED: %v", err)
		}
	}
	t.Logf("WARREN_LAB_SEED=%d", s)
	return s
}

// Whatever happens to a connector's network, streams go to it again by themselves, soon after the network is back.
func TestStreamsRecoverFromWhateverHappensToTheNetwork(t *testing.T) {
	from := seed(t)
	bubbletest.Run(t, func(t *testing.T) {
		s := nettest.Summarize(ordeal(t, from, 8, 3, 90*time.Second))
		if len(s.Lost) > 0 || s.Max > 15*time.Second { // the bench has enough of them for a percentile
			t.Errorf("%d of %d recovered, p50 %v, worst %+v, lost %+v", s.Recovered, s.Faults, s.P50, s.Worst, s.Lost)
		}
	})
}

// BenchmarkOrdeal is that with a thousand faults, of up to an hour.
func BenchmarkOrdeal(b *testing.B) {
	from := seed(b)
	for b.Loop() {
		var s nettest.Summary
		if ok := runBubble(func(t *testing.T) { s = nettest.Summarize(ordeal(t, from, 40, 25, time.Hour)) }); !ok {
			b.Fatal("the simulation failed")
		}
		line, err := json.Marshal(map[string]any{
			"bench": "random faults at connectors, simulated", "carrier": "stream", "seed": from, "faults": s.Faults, "longest_s": s.Longest.Seconds(), "recovered": s.Recovered,
			"p50_ms": s.P50.Milliseconds(), "p99_ms": s.P99.Milliseconds(), "max_ms": s.Max.Milliseconds(), "worst": s.Worst.Fault,
			"wanted": "all recovered, p99 at most 5000 ms after the network returns",
		})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

// runBubble runs f in simulated time: synctest wants a test.
func runBubble(f func(t *testing.T)) (ok bool) {
	return testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{
		{Name: "simulation", F: func(t *testing.T) { bubbletest.Run(t, f) }},
	})
}

// An idle control connection asks every ten seconds; in doubt it asks at once.
func TestDoubtFindsAConnectionThatLeadsNowhere(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		internet, ca := nettest.New(), identitytest.New(t)
		addr := netip.MustParseAddr("198.18.2.1")
		l := internet.Host(addr, false).Listen(443)
		n := NewNode(NodeOptions{Credentials: ca.Credentials(t, identity.Node, "node"), Log: quiet(), Registerer: prometheus.NewRegistry()})
		n.Apply(NodeConfig{Peers: map[string]bool{"connector": true}})
		h := internet.Host(netip.MustParseAddr("198.19.0.1"), true)
		c := NewConnector(Options{Credentials: ca.Credentials(t, identity.Connector, "connector"), TUN: func() bool { return false }, Log: quiet(), Registerer: prometheus.NewRegistry(),
			Handler: func(_ context.Context, conn net.Conn, _ string) { _, _ = io.Copy(conn, conn) }})
		c.dial.Connect = h.Dial
		c.Apply(ConnectorConfig{Nodes: map[string]endpoint.Endpoint{"node": endpoint.At(netip.AddrPortFrom(addr, 443))}})
		var running sync.WaitGroup
		defer running.Wait()
		defer internet.Close()
		defer cancel()
		running.Go(func() { _ = n.Serve(ctx, l) })
		running.Go(func() { _ = c.Run(ctx) })
		c.Doubt("node")
		c.Doubt("nobody")
		for i := range 5 {
			time.Sleep(time.Minute)
			if !answered(ctx, n, "connector") {
				t.Fatal("no stream to begin with")
			}
			time.Sleep(time.Duration(21+2*i) * time.Second) // idle; it asks at another time each time
			h.Rebind()
			c.Doubt("node")
			time.Sleep(5 * time.Second)
			if !answered(ctx, n, "connector") {
				t.Fatal("no stream after other translations and a doubt")
			}
		}
	})
}
