package gossip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/porttest"
)

// real is a node on sockets of the kernel.
type real struct {
	*Gossip
	cfg  Config
	udp  net.PacketConn
	tcp  net.Listener
	end  context.CancelFunc
	done chan error
}

// listen opens a port for both, any if at is zero.
func listen(t testing.TB, at netip.AddrPort) (net.PacketConn, net.Listener, netip.AddrPort) {
	t.Helper()
	if !at.IsValid() {
		at = netip.MustParseAddrPort(porttest.Address(t)) // one that is still there for who comes back to it
	}
	tcp, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	return udp, tcp, at
}

// startReal starts nodes that know each other, and ends them with the test.
func startReal(t testing.TB, n int) []*real {
	t.Helper()
	all := make([]*real, n)
	var peers []Peer
	for i := range all {
		all[i] = &real{}
		var at netip.AddrPort
		all[i].udp, all[i].tcp, at = listen(t, at)
		peers = append(peers, Peer{fmt.Sprintf("node_%d", i), endpoint.At(at)})
	}
	for i, r := range all {
		r.cfg = Config{Self: peers[i].ID, Endpoint: peers[i].Endpoint, Keys: ringOf("a"), Peers: slices.Concat(peers[:i], peers[i+1:])}
		r.start(t)
	}
	return all
}

func (r *real) start(t testing.TB) {
	t.Helper()
	r.Gossip = New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	r.apply(t)
	ctx, cancel := context.WithCancel(context.Background())
	r.end, r.done = cancel, make(chan error, 1)
	go func() { r.done <- r.Serve(ctx, r.udp, r.tcp) }()
	t.Cleanup(func() {
		r.end()
		if err := <-r.done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", r.cfg.Self, err)
		}
	})
}

func (r *real) apply(t testing.TB) {
	t.Helper()
	if err := r.Apply(r.cfg); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something, however long a busy machine takes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}

// see reports whether all of those who look see a node in a state.
func see(who []*real, id string, s State) bool {
	for _, r := range who {
		if r.cfg.Self != id && r.View().Node(id).State != s {
			return false
		}
	}
	return true
}

func allAlive(t testing.TB, who []*real) {
	t.Helper()
	eventually(t, "all alive", func() bool {
		for _, r := range who {
			if !see(who, r.cfg.Self, Alive) {
				return false
			}
		}
		return true
	})
}

func TestKillOnLoopback(t *testing.T) {
	all := startReal(t, 5)
	allAlive(t, all)
	for _, r := range all { // forget what was told until now
		select {
		case <-r.Changed():
		default:
		}
	}
	start := time.Now()
	_, _ = all[0].udp.Close(), all[0].tcp.Close() // as the kernel does for a process that is killed
	eventually(t, "dead everywhere", func() bool { return see(all[1:], "node_0", Dead) })
	t.Logf("dead everywhere after about %d probe rounds", rounds(time.Since(start)))
	allAlive(t, all[1:]) // all the time: see TestDeadEverywhere, where no machine is slow
	select {
	case <-all[1].Changed(): // a moment after View
	case <-time.After(time.Minute):
		t.Error("nobody was told of a change")
	}
}

func TestStrangers(t *testing.T) {
	all := startReal(t, 3)
	allAlive(t, all)
	outsider := func(keys string) *real {
		r := &real{}
		var at netip.AddrPort
		r.udp, r.tcp, at = listen(t, at)
		r.cfg = Config{Self: "node_evil", Endpoint: endpoint.At(at), Keys: ringOf(keys)}
		for _, o := range all {
			r.cfg.Peers = append(r.cfg.Peers, Peer{o.cfg.Self, o.cfg.Endpoint})
		}
		r.start(t)
		return r
	}
	for _, keys := range []string{"x", "a"} { // a wrong key; the right one, of a node that is no peer
		evil := outsider(keys)
		dropped := func() float64 {
			return testutil.ToFloat64(all[0].m.dropped.WithLabelValues(dropMemberlist)) + testutil.ToFloat64(all[0].m.dropped.WithLabelValues(dropRefused))
		}
		before := dropped()
		eventually(t, "it is heard", func() bool { return dropped() > before+3 })
		for _, r := range all {
			if r.View().Len() != 2 || r.View().Node("node_evil").State != Unknown {
				t.Errorf("with key %s: %s sees %v", keys, r.cfg.Self, r.View())
			}
		}
		if keys == "x" && !see([]*real{evil}, "node_0", Unknown) {
			t.Error("a stranger sees who is there")
		}
	}
	// No key at all: gossip is off, not in the clear.
	mute := &real{}
	var at netip.AddrPort
	mute.udp, mute.tcp, at = listen(t, at)
	mute.cfg = Config{Self: "node_0", Endpoint: endpoint.At(at), Peers: []Peer{{"node_1", all[1].cfg.Endpoint}}}
	mute.start(t)
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if b, err := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("it says %q, %v", b, err)
	}
	if n := testutil.ToFloat64(mute.m.sent); n != 0 {
		t.Errorf("it sent %v bytes", n)
	}
}

func TestRevokedMember(t *testing.T) {
	all := startReal(t, 4)
	allAlive(t, all)
	rest := all[:3]
	for _, r := range rest { // the fourth is told nothing, and holds the right key
		r.cfg.Peers = slices.DeleteFunc(slices.Clone(r.cfg.Peers), func(p Peer) bool { return p.ID == "node_3" })
		r.apply(t)
	}
	gone := func() bool {
		for _, r := range rest {
			r.mu.Lock()
			_, member := r.members["node_3"]
			r.mu.Unlock()
			if member || r.View().Len() != 2 {
				return false
			}
		}
		return true
	}
	eventually(t, "it is no member", gone)
	// It starts again, and tries.
	all[3].end()
	if err := <-all[3].done; err != nil {
		t.Fatal(err)
	}
	all[3].done <- nil // for the cleanup
	refused := testutil.ToFloat64(all[0].m.dropped.WithLabelValues(dropRefused))
	again := &real{cfg: all[3].cfg}
	again.udp, again.tcp, _ = listen(t, all[3].cfg.Endpoint.Addr)
	again.start(t)
	eventually(t, "it is refused", func() bool {
		return testutil.ToFloat64(all[0].m.dropped.WithLabelValues(dropRefused)) > refused
	})
	if !gone() {
		t.Error("it is back")
	}
	allAlive(t, rest)
}

// A node that is off is turned on, and off again, by its configuration alone.
func TestOnAndOff(t *testing.T) {
	all := startReal(t, 3)
	allAlive(t, all)
	keys := all[0].cfg.Keys
	all[0].cfg.Keys = nil
	all[0].apply(t)
	eventually(t, "it has left", func() bool { return see(all[1:], "node_0", Dead) })
	eventually(t, "it knows nothing", func() bool { return see(all[:1], "node_1", Unknown) })
	all[0].cfg.Keys = keys
	all[0].apply(t)
	allAlive(t, all)
	// It moves: the others are told so by the control plane.
	udp, tcp, at := listen(t, netip.AddrPort{})
	all[0].end()
	if err := <-all[0].done; err != nil {
		t.Fatal(err)
	}
	all[0].done <- nil // for the cleanup
	moved := &real{udp: udp, tcp: tcp, cfg: all[0].cfg}
	moved.cfg.Endpoint = endpoint.At(at)
	moved.start(t)
	for _, r := range all[1:] {
		r.cfg.Peers = slices.Clone(r.cfg.Peers)
		for i, p := range r.cfg.Peers {
			if p.ID == "node_0" {
				r.cfg.Peers[i].Endpoint = endpoint.At(at)
			}
		}
		r.apply(t)
	}
	allAlive(t, []*real{moved, all[1], all[2]})
}

func TestMistakesInConfig(t *testing.T) {
	g := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	at := endpoint.MustParse("192.0.2.1:1")
	for want, cfg := range map[string]Config{
		"keys[1]: 16 bytes, want 32":  {Keys: []Key{key('a'), make(Key, 16)}},
		"peers[0].id: 0 bytes":        {Peers: []Peer{{"", at}}},
		"peers[0].id: x is this node": {Self: "x", Peers: []Peer{{"x", at}}},
		"peers[1].endpoint: \"\"":     {Peers: []Peer{{"a", at}, {ID: "b"}}},
	} {
		if err := g.Apply(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if g.View().Len() != 0 {
		t.Error("something of it was applied")
	}
}

// Garbage on both ports costs bounded memory and connections, and no member.
func TestGarbage(t *testing.T) {
	all := startReal(t, 3)
	allAlive(t, all)
	at := all[0].cfg.Endpoint.Addr
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	udp, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	rnd := mrand.New(mrand.NewPCG(1, 2))
	buf := make([]byte, 4000)
	for range 20_000 {
		_, _ = rand.Read(buf[:64])
		buf[0] = byte(rnd.IntN(16)) // types that memberlist knows
		_, _ = udp.Write(buf[:rnd.IntN(len(buf))])
	}
	// Connections that send for ever, that send nothing, and that claim to send 20 MB.
	var conns []net.Conn
	for i := range 200 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			continue
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		switch i % 3 {
		case 0:
			_, _ = c.Write([]byte{10, 0x01, 0x30, 0, 0}) // encryptMsg, 20 MB
			for range 300 {
				if _, err := c.Write(buf); err != nil {
					break
				}
			}
		case 1:
			_, _ = c.Write(buf)
		}
	}
	runtime.ReadMemStats(&after)
	if n := testutil.ToFloat64(all[0].m.conns); n > knownConns+otherConns {
		t.Errorf("%v connections", n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > (knownConns+otherConns)*maxStream*2 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if n := testutil.ToFloat64(all[0].m.dropped.WithLabelValues(dropConnections)); n == 0 {
		t.Error("every connection was taken")
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "the places are free again", func() bool { return testutil.ToFloat64(all[0].m.conns) < 4 })
	allAlive(t, all)
	if n := testutil.ToFloat64(all[0].m.restarts); n != 1 {
		t.Errorf("started %v times", n)
	}
}
