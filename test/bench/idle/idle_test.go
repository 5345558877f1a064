package idle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
	"github.com/warrenedge/warren/shared/wgkey"
	"github.com/warrenedge/warren/test/bench/measure"
)

// sitesVariable sets another number of sites.
const sitesVariable = "WARREN_BENCH_SITES"

// profileVariable names a folder for profiles of the node.
const profileVariable = "WARREN_BENCH_PROFILE"

// Times of the bench.
const (
	apart    = 15 * time.Millisecond // of connectors: all have one address here, of which WireGuard takes 20 handshakes a second when it is busy
	settle   = 80 * time.Second      // until heartbeats are at their pace of idleness
	interval = time.Minute
)

// program is the node, as who started it sees it.
type program struct {
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

func startNode(b *testing.B) *program {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the node ended with %v", err)
		}
	})
	return &program{cmd, json.NewEncoder(in), json.NewDecoder(out)}
}

// tell gives the node an order and returns what it says.
func (p *program) tell(b *testing.B, o order) (w word) {
	b.Helper()
	if err := p.in.Encode(o); err != nil {
		b.Fatal(err)
	}
	if err := p.out.Decode(&w); err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkNode prints what each of two thousand idle sites costs a node, both carriers up.
func BenchmarkNode(b *testing.B) {
	sites := 2000
	if v := os.Getenv(sitesVariable); v != "" {
		var err error
		if sites, err = strconv.Atoi(v); err != nil || sites < 1 {
			b.Fatalf("%s=%q: want a number from 1", sitesVariable, v)
		}
	}
	for b.Loop() {
		benchNode(b, sites)
	}
}

func benchNode(b *testing.B, sites int) {
	ca := identitytest.New(b)
	cert, key, err := chain(ca.Credentials(b, identity.Node, "node_1").Certificate())
	if err != nil {
		b.Fatal(err)
	}
	first := order{Cluster: identitytest.Cluster, Cert: cert, Key: key, CA: string(ca.PEM()), Addr: netip.MustParseAddr("fd57:6172:7265::1")}
	node := startNode(b)
	at := node.tell(b, first) // without a site
	empty := usage(b, node)
	var all order
	var keys []wgkey.Private
	for i := range sites {
		k, err := wgkey.New()
		if err != nil {
			b.Fatal(err)
		}
		public := k.Public()
		keys = append(keys, k)
		all.Sites = append(all.Sites, site{fmt.Sprintf("connector_%d", i), public[:], netip.MustParseAddr(fmt.Sprintf("fd57:6172:7265:1::%x", i+1))})
	}
	node.tell(b, all)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i, s := range all.Sites {
		time.Sleep(apart)
		connect(b, ctx, &running, ca, s, keys[i], at)
	}
	deadline := time.Now().Add(5 * time.Minute)
	for w := node.tell(b, order{}); w.Up < sites; w = node.tell(b, order{}) {
		if time.Now().After(deadline) {
			b.Fatalf("only %d of %d sites are up", w.Up, sites)
		}
		b.Logf("%d of %d sites are up", w.Up, sites)
		time.Sleep(2 * time.Second)
	}
	time.Sleep(settle)
	node.tell(b, order{}) // gives back what the beginning took
	before := usage(b, node)
	since := time.Now()
	time.Sleep(interval)
	after := usage(b, node)
	share := float64(after.cpu-before.cpu) / float64(time.Since(since))
	last := node.tell(b, order{})
	each := func(now, then uint64) float64 {
		return measure.Round((float64(now) - float64(then)) / float64(sites) / 1024)
	}
	err = measure.Figure{
		"bench": "idle sites on one node", "sites": sites, "up": last.Up, "heap_kib_per_site": each(last.Heap, at.Heap), "resident_kib_per_site": each(after.resident, empty.resident),
		"cpu_percent": measure.Round(100 * share * 2000 / float64(sites)), "wanted": "<= 100 KiB each, <= 3 % CPU for 2000",
	}.Print(os.Stdout)
	if err != nil {
		b.Fatal(err)
	}
}

// connect starts a connector with both carriers.
func connect(b *testing.B, ctx context.Context, running *sync.WaitGroup, ca *identitytest.Authority, s site, key wgkey.Private, at word) {
	b.Helper()
	nodeKey, err := wgkey.PublicFromBytes(at.Key)
	if err != nil {
		b.Fatal(err)
	}
	c, log := ca.Credentials(b, identity.Connector, s.ID), slog.New(slog.DiscardHandler)
	tun, err := tunnel.New(tunnel.Options{Mode: tunnel.ModeNetstack, Key: key, Filter: tunnel.ConnectorRole, TLS: &c, Log: log, Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	dials := streams.NewConnector(streams.Options{
		Credentials: c, Handler: func(context.Context, net.Conn, string) {}, TUN: func() bool { return false }, Log: log, Registerer: prometheus.NewRegistry(),
	})
	running.Go(func() { _ = tun.Run(ctx) })
	running.Go(func() { _ = dials.Run(ctx) })
	endpoint := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.WireGuard)
	err = tun.Apply(ctx, tunnel.Config{Addr: s.Addr, Peers: []tunnel.Peer{{
		ID: "node_1", Kind: tunnel.Node, Key: nodeKey, Endpoint: endpoint, TLS: at.TLS, Addr: netip.MustParseAddr("fd57:6172:7265::1"), Keepalive: 25 * time.Second,
	}}})
	if err != nil {
		b.Fatal(err)
	}
	dials.Apply(streams.ConnectorConfig{Nodes: map[string]netip.AddrPort{"node_1": at.TLS}})
}

// used is what a process has used and holds.
type used struct {
	cpu      time.Duration
	resident uint64
}

func usage(b *testing.B, p *program) used {
	b.Helper()
	cpu, err := measure.CPUOf(p.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	kib, err := measure.ResidentOf(p.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	return used{cpu, kib << 10}
}
