package apply

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/resource"
)

func TestStand(t *testing.T) {
	alive, draining, dead := gossip.Node{State: gossip.Alive}, gossip.Node{State: gossip.Draining}, gossip.Node{State: gossip.Dead}
	unknown, cutOff := gossip.Node{}, gossip.Node{Unreachable: true}
	for _, tt := range []struct {
		name          string
		says          gossip.Node
		ordered, down bool
		want          standing
	}{
		{"alive", alive, false, false, standing{}},
		{"alive wins over the control plane", alive, false, true, standing{}},
		{"alive, and draining by order", alive, true, false, standing{draining: true}},
		{"draining before the control plane says so", draining, false, false, standing{draining: true}},
		{"draining wins over the control plane", draining, false, true, standing{draining: true}},
		{"dead wins over the control plane", dead, false, false, standing{down: true, away: true}},
		{"dead and draining", dead, true, true, standing{draining: true, down: true, away: true}},
		{"unknown: up was the last word", unknown, false, false, standing{}},
		{"unknown: down was the last word", unknown, false, true, standing{down: true, away: true}},
		{"cut off: names stay, fabric asks it last", cutOff, false, false, standing{away: true}},
		{"cut off, and down was the last word", cutOff, true, true, standing{draining: true, down: true, away: true}},
	} {
		if got := stand(tt.says, tt.ordered, tt.down); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// chatter is a gossip that says what a test wants.
type chatter struct {
	mu      sync.Mutex
	cfg     gossip.Config
	view    gossip.View
	sites   []string
	drained bool
	load    int
	changed chan struct{}
}

func (c *chatter) Apply(cfg gossip.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg = cfg
	return nil
}

func (c *chatter) View() gossip.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

func (c *chatter) SetSites(s []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sites = slices.Sorted(slices.Values(s)) // a copy, as the real one keeps
}

func (c *chatter) SetLoad(thousandths int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load = thousandths
}

func (c *chatter) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drained = true
}

func (c *chatter) Changed() <-chan struct{} { return c.changed }

func (c *chatter) say(nodes map[string]gossip.Node) {
	c.mu.Lock()
	c.view = gossip.NewView(nodes)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// gossiping is a message of a node with gossip.
func gossiping(id, name string, i byte, at string) *nodev1.Node {
	m := nodeMsg(id, name, i)
	m.GossipEndpoint = at
	return m
}

func TestGossipGetsKeysAndPeers(t *testing.T) {
	n, _ := newNode(t, t.TempDir())
	c := &chatter{changed: make(chan struct{}, 1)}
	n.sub.Gossip, n.sub.Up = c, func(string) bool { return false }
	must(t, n, world(t))
	want := gossip.Config{Self: me}
	if diff := cmp.Diff(want, c.cfg, addrs); diff != "" {
		t.Errorf("of a control plane that knows of no gossip: %s", diff)
	}
	cfg := nodeConfigMsg()
	cfg.GossipKeys = [][]byte{keyOf(7), keyOf(8)}
	self := gossiping(me, "me", 1, "198.51.100.1:7946")
	self.Lifecycle = nodev1.NodeLifecycle_NODE_LIFECYCLE_DRAINING
	must(t, n, tx(6, res(t, "nodeconfig/"+me, cfg), res(t, "node/"+me, self), res(t, "node/node_b", gossiping("node_b", "b", 2, "[2001:db8::2]:7947")), res(t, "node/node_c", nodeMsg("node_c", "c", 3))))
	want = gossip.Config{
		Self: me, Endpoint: endpoint.MustParse("198.51.100.1:7946"), Draining: true, Keys: []gossip.Key{keyOf(7), keyOf(8)},
		Peers: []gossip.Peer{{ID: "node_b", Endpoint: endpoint.MustParse("[2001:db8::2]:7947")}},
	}
	if diff := cmp.Diff(want, c.cfg, addrs); diff != "" {
		t.Error(diff)
	}
	// What is wrong is named, and what was good stays.
	cfg.GossipKeys[1] = keyOf(8)[:16]
	rej := must(t, n, tx(7, res(t, "nodeconfig/"+me, cfg), res(t, "node/node_b", gossiping("node_b", "b", 2, "198.51.100.2:0")), res(t, "node/node_c", gossiping("node_c", "c", 3, "nowhere"))))
	var reasons []string
	for _, r := range rej {
		reasons = append(reasons, r.GetReason())
	}
	for _, want := range []string{"gossip_endpoint: 198.51.100.2:0 has no port", "gossip_endpoint: not an ip:port", "gossip_keys[1]: 16 bytes, want 32"} {
		if !slices.Contains(reasons, want) {
			t.Errorf("reasons %q, want %q among them", reasons, want)
		}
	}
	if diff := cmp.Diff(want, c.cfg, addrs); diff != "" {
		t.Error(diff)
	}
}

func TestFollow(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n, m := newNode(t, t.TempDir())
		c := &chatter{changed: make(chan struct{}, 1)}
		var up atomic.Bool
		n.sub.Load = func() int { return 640 }
		n.sub.Gossip, n.sub.Up = c, func(peer string) bool { return up.Load() && peer == "connector_site_1" }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Follow(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if c.sites != nil || len(m.took()) != 0 {
			t.Error("something is told or done before anything is applied")
		}
		must(t, n, world(t))
		m.took()
		b := func() (dns.Node, bool) {
			i := slices.IndexFunc(m.dns.Nodes, func(o dns.Node) bool { return o.ID == "node_b" })
			return m.dns.Nodes[i], m.fabric.Nodes[i].Down
		}
		for _, tt := range []struct {
			says  gossip.Node
			down  bool // for DNS
			away  bool // for the fabric
			drain bool
			calls []string
		}{
			{gossip.Node{State: gossip.Alive, Sites: []string{"site_2"}, Load: 4}, false, false, false, []string{"fabric", "dns"}},
			{gossip.Node{State: gossip.Dead}, true, true, false, []string{"fabric", "dns", "cut", "reconnect node_b"}},
			{gossip.Node{State: gossip.Alive}, false, false, false, []string{"fabric", "dns"}},
			{gossip.Node{State: gossip.Draining}, false, false, true, []string{"fabric", "dns", "reconnect node_b"}},
			{gossip.Node{State: gossip.Unknown, Unreachable: true}, false, true, false, []string{"fabric", "dns", "reconnect node_b"}},
			{gossip.Node{State: gossip.Alive}, false, false, false, []string{"fabric", "dns"}},
		} {
			for range 10 { // a burst is applied once
				c.say(map[string]gossip.Node{"node_b": tt.says})
				time.Sleep(time.Millisecond)
			}
			time.Sleep(5 * gossipQuiet)
			synctest.Wait()
			calls := m.took()
			// What was said while the first was applied is looked at once more.
			if more := append(slices.Clone(tt.calls), "fabric", "dns"); !slices.Equal(calls, tt.calls) && !slices.Equal(calls, more) {
				t.Errorf("%s: calls %v, want %v", tt.says.State, calls, tt.calls)
			}
			got, away := b()
			if got.Down != tt.down || away != tt.away || got.Draining != tt.drain {
				t.Errorf("%s: dns %+v, fabric down %v", tt.says.State, got, away)
			}
			i := slices.IndexFunc(m.dns.Nodes, func(o dns.Node) bool { return o.ID == "node_b" })
			if f := m.fabric.Nodes[i]; !slices.Equal(f.Connected, tt.says.Sites) || f.Load != tt.says.Load {
				t.Errorf("%s: fabric %+v", tt.says.State, f)
			}
		}
		// The control plane says otherwise: gossip knows better, also at the next transaction.
		n.Presence(ctx, resource.NodeHealth, []ads.Resource{nodeHealth(t, "node_b", nodev1.NodeState_NODE_STATE_DOWN)}, nil, true)
		must(t, n, tx(6))
		if got, _ := b(); got.Down {
			t.Error("the control plane's word won")
		}
		up.Store(true)
		time.Sleep(2 * tellInterval)
		synctest.Wait()
		c.mu.Lock()
		if !slices.Equal(c.sites, []string{"site_1"}) {
			t.Errorf("sites told: %v", c.sites)
		}
		c.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		c.mu.Lock()
		if c.load < 410 || c.load > 640 { // told only when it is half as much again
			t.Errorf("load told: %d", c.load)
		}
		c.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// far is a node with real gossip, of which only what it tells DNS is looked at.
type far struct {
	*Node
	id   string
	dir  string
	dns  *seen
	udp  net.PacketConn
	tcp  net.Listener
	end  context.CancelFunc
	done chan error
}

// seen keeps the newest configuration of the DNS.
type seen struct {
	mu  sync.Mutex
	cfg dns.Config
}

func (s *seen) Apply(cfg dns.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = cfg
	return nil
}

// named are the nodes that DNS names.
func (s *seen) named() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.cfg.Nodes {
		if !n.Down && !n.Draining {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// newFar makes a node with a state directory, on sockets that stay its own until it ends: a port that is let go
// may be taken by another program.
func newFar(t *testing.T, id string) *far {
	t.Helper()
	f := &far{id: id, dir: t.TempDir(), dns: &seen{}, done: make(chan error, 2)}
	for range 20 { // the same port of UDP may be taken
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			f.udp, f.tcp = udp, tcp
			t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
			return f
		}
		_ = tcp.Close()
	}
	t.Fatal("no port is free for both")
	return nil
}

// told keeps what the control plane says in the state directory, as a process before this one did.
func (f *far) told(t *testing.T, x ads.Transaction) {
	t.Helper()
	must(t, f.node(t, nil), x)
}

func (f *far) node(t *testing.T, g Gossip) *Node {
	t.Helper()
	disk, err := OpenDisk(f.dir, f.id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{}
	return NewNode(f.id, Subsystems{
		Tunnel: tunnelOf{m}, Streams: nodeStreamsOf{m}, Nodes: relayedOf{m}, Relay: siteStreamsOf{m}, Local: localOf{m}, Checks: localChecksOf{m}, Fabric: fabricOf{m}, Proxy: proxyOf{m}, L4: l4Of{m}, SNI: sniOf{m}, Tenants: inbound.NewTenants(inbound.NewLimiter(10, 10)), Access: accessOf{m}, DNS: f.dns, Asked: askedOf{m}, Trust: m.keep,
		Gossip: g, Up: func(string) bool { return false }, Load: func() int { return 0 },
	}, disk, quiet(), prometheus.NewRegistry())
}

// start starts it from its state directory.
func (f *far) start(t *testing.T) {
	t.Helper()
	g := gossip.New(gossip.Options{Log: quiet(), Registerer: prometheus.NewRegistry()})
	f.Node = f.node(t, g)
	var ctx context.Context
	ctx, f.end = context.WithCancel(context.Background())
	go func() { f.done <- g.Serve(ctx, f.udp, f.tcp) }()
	go func() { f.done <- f.Follow(ctx) }()
	t.Cleanup(f.stop)
	if _, err := f.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *far) stop() {
	f.end()
	for range cap(f.done) {
		<-f.done
		f.done <- errors.New("stopped")
	}
}

// With the control plane gone, nodes that start from their disks find each other, and DNS follows a death.
func TestGossipFromDisk(t *testing.T) {
	all, ids := make([]*far, 3), make([]string, 3)
	var nodes []ads.Resource
	for i := range all {
		ids[i] = fmt.Sprintf("node_%d", i)
		all[i] = newFar(t, ids[i])
		nodes = append(nodes, res(t, "node/"+ids[i], gossiping(ids[i], fmt.Sprint("n", i), byte(i+1), all[i].tcp.Addr().String())))
	}
	for _, f := range all {
		cfg := nodeConfigMsg()
		cfg.NodeId, cfg.GossipKeys = f.id, [][]byte{keyOf(9)}
		f.told(t, tx(5, append(nodes, res(t, "nodeconfig/"+f.id, cfg))...))
	}
	for _, f := range all {
		f.start(t)
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for range 6000 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("never: " + what)
	}
	wait("all see all", func() bool {
		for _, f := range all {
			for _, id := range ids {
				if id != f.id && f.sub.Gossip.View().Node(id).State != gossip.Alive {
					return false
				}
			}
		}
		return true
	})
	_, _ = all[0].udp.Close(), all[0].tcp.Close() // killed
	wait("DNS of the others names it no longer", func() bool {
		return slices.Equal(all[1].dns.named(), ids[1:]) && slices.Equal(all[2].dns.named(), ids[1:])
	})
	all[1].stop() // ends as told
	wait("DNS of the last names only itself", func() bool { return slices.Equal(all[2].dns.named(), ids[2:]) })
}
