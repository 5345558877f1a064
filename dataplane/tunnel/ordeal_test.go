package tunnel

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/nettest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// ordeal lets the networks of connectors fail in simulated time, each so many times, and returns how their tunnels to
// two nodes were up again: both, with a heartbeat answered since.
func ordeal(t testing.TB, seed uint64, connectors, each int, most time.Duration) []nettest.Recovery {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	run := func(f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	ca, internet := identitytest.New(t), nettest.New()
	defer internet.Close()
	overlay := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd57:6172:7265::%x", i)) }
	var nodes, sites []*simEnd
	var asNodes, asSites []Peer
	for i := range 2 {
		addr := netip.AddrFrom4([4]byte{198, 18, 2, byte(i + 1)})
		n := newSimEnd(t, ca, fmt.Sprintf("node%d", i), NodeRole, overlay(i+1), internet.Host(addr, false))
		nodes = append(nodes, n)
		asNodes = append(asNodes, Peer{ID: n.id, Kind: Node, Key: n.opts.Key.Public(), Addr: n.addr, Keepalive: 25 * time.Second,
			Endpoint: endpoint.At(netip.AddrPortFrom(addr, 51820)), TLS: endpoint.At(netip.AddrPortFrom(addr, 443))})
	}
	var hosts []*nettest.Host
	for i := range connectors {
		h := internet.Host(netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}), true)
		c := newSimEnd(t, ca, fmt.Sprintf("connector%d", i), ConnectorRole, overlay(0x100+i), h)
		hosts, sites = append(hosts, h), append(sites, c)
		asSites = append(asSites, Peer{ID: c.id, Kind: Connector, Key: c.opts.Key.Public(), Addr: c.addr, Keepalive: 25 * time.Second})
	}
	for _, n := range nodes {
		run(n.Run)
		if err := n.Apply(ctx, Config{Addr: n.addr, Peers: asSites}); err != nil {
			t.Fatal(err)
		}
		n.hold(asSites)
		l := n.host.Listen(443)
		run(func(ctx context.Context) error { return n.ServeTLS(ctx, l) })
	}
	for _, c := range sites {
		run(c.Run)
		if err := c.Apply(ctx, Config{Addr: c.addr, Peers: asNodes}); err != nil {
			t.Fatal(err)
		}
		c.hold(asNodes)
	}
	return nettest.Ordeal(seed, hosts, each, most, func(i int, since time.Time) bool {
		c := sites[i]
		if !c.answeredSince(since) {
			return false
		}
		for _, n := range nodes {
			if !c.beats.Up(n.id) || !n.beats.Up(c.id) {
				return false
			}
		}
		return true
	})
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

// Whatever happens to a connector's network, its tunnels come back by themselves, soon after the network does.
func TestTunnelsRecoverFromWhateverHappensToTheNetwork(t *testing.T) {
	from := seed(t)
	bubbletest.Run(t, func(t *testing.T) {
		s := nettest.Summarize(ordeal(t, from, 8, 3, 90*time.Second))
		if len(s.Lost) > 0 || s.Max > 15*time.Second { // the bench has enough of them for a percentile
			t.Errorf("%d of %d recovered, p50 %v, worst %+v, lost %+v", s.Recovered, s.Faults, s.P50, s.Worst, s.Lost)
		}
	})
}

// BenchmarkOrdeal is that with a thousand faults.
func BenchmarkOrdeal(b *testing.B) {
	from := seed(b)
	for b.Loop() {
		var s nettest.Summary
		var took time.Duration
		if ok := runBubble(func(t *testing.T) {
			start := time.Now()
			s = nettest.Summarize(ordeal(t, from, 40, 25, time.Hour))
			took = time.Since(start)
		}); !ok {
			b.Fatal("the simulation failed")
		}
		line, err := json.Marshal(map[string]any{
			"bench": "random faults at connectors, simulated", "carrier": "wireguard", "seed": from, "faults": s.Faults, "longest_s": s.Longest.Seconds(), "recovered": s.Recovered,
			"p50_ms": s.P50.Milliseconds(), "p99_ms": s.P99.Milliseconds(), "max_ms": s.Max.Milliseconds(), "worst": s.Worst.Fault, "simulated_s": took.Seconds(),
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
