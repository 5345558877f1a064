package connector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// localNode is a node in the network of local sites; the machine that the tests run on counts as another one.
func localNode(t *testing.T, sites ...Config) (*Local, *fabric.Fabric) {
	t.Helper()
	l := NewLocal(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	l.by.permit = permit
	for _, cfg := range sites { // in Apply's stead, which takes no loopback
		table, bad := newTable(cfg, permit)
		if bad != nil {
			t.Fatal(bad)
		}
		table.served[thisNode] = true
		(*l.sites.Load())[cfg.Site] = table
	}
	f := fabric.New(fabric.Carriers{WireGuard: nowhere{}, Local: l}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	cfg := fabric.Config{Self: "n"}
	for _, id := range []string{"s", "other"} {
		cfg.Sites = append(cfg.Sites, fabric.Site{ID: id, Local: true, Nodes: []string{"n"}})
	}
	f.Apply(cfg)
	return l, f
}

// nowhere is a carrier to nobody.
type nowhere struct{}

func (nowhere) Dial(context.Context, string, netip.AddrPort) (net.Conn, error) {
	return nil, errors.New("nobody there")
}
func (nowhere) Up(string) bool { return false }

func TestLocalStream(t *testing.T) {
	l, f := localNode(t, Config{Site: "s", Targets: map[string]Target{"t": {Address: echo(t)}}})
	serve(t, l.Run)
	conn, err := f.DialTarget(t.Context(), request("t"))
	if err != nil {
		t.Fatal(err)
	}
	talk(t, conn) // ends with a half-close
	for name, r := range map[string]fabric.Request{
		"a target of nobody":      request("x"),
		"datagrams":               edit(func(r *fabric.Request) { r.Network = fabric.UDP }),
		"a port too many":         edit(func(r *fabric.Request) { r.Port = 1 }),
		"another site's, by name": edit(func(r *fabric.Request) { r.Target, r.Site = "t", "other" }),
	} {
		t.Run(name, func(t *testing.T) {
			want := fabric.StatusNotAllowed
			if r.Site == "other" {
				want = fabric.StatusNoTunnel // this node does not know that it stands there
			}
			_, err := f.DialTarget(t.Context(), r)
			wantStatus(t, err, want)
		})
	}
}

// Checks go the way of streams: to targets of the sites, and where no target may be they don't lead either.
func TestLocalTargetsCanBeChecked(t *testing.T) {
	at := echo(t)
	l, _ := localNode(t, Config{Site: "other"}, Config{Site: "s", Targets: map[string]Target{"t": {Address: at}}})
	conn, err := l.DialTarget(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := l.DialTarget(t.Context(), "x"); err == nil {
		t.Error("dialled what is a target of nobody")
	}
	l.by.permit = permitOnNode(net.InterfaceAddrs) // as NewLocal sets it
	if _, err := l.DialTarget(t.Context(), "t"); err == nil {
		t.Error("dialled an address of the node's own")
	} else if _, denied := errors.AsType[*DeniedError](err); !denied {
		t.Errorf("%v", err)
	}
}

// A stream takes one file, that of the connection to its target: what the bounds on clients count.
func TestLocalStreamTakesOneFile(t *testing.T) {
	ln := listen(t)
	defer ln.Close()
	l, f := localNode(t, Config{Site: "s", Targets: map[string]Target{"t": {Address: ln.Addr().String()}}})
	serve(t, l.Run)
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	const streams = 40
	before := files()
	for range streams {
		conn, err := f.DialTarget(t.Context(), request("t"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		target, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
	}
	if took := files() - before; took > 2*streams+5 { // the target's end is in this process, too
		t.Errorf("%d streams took %d files", streams, took)
	}
}

// Deadlines that were set while the target was dialled hold on the connection to it; what moved is counted.
func TestLocalStreamIsAConnection(t *testing.T) {
	for patience := 50 * time.Millisecond; !isAConnection(t, patience); patience *= 4 {
		t.Logf("the answer took longer than %v", patience)
	}
}

// isAConnection looks at a stream whose deadline for reading is so near; false: it was over before the target was there.
func isAConnection(t *testing.T, patience time.Duration) bool {
	t.Helper()
	near, far := newLocalStream()
	ln := listen(t)
	target, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	_ = near.SetReadDeadline(time.Now().Add(patience))
	wait := far.hand(t.Context(), target.(*net.TCPConn))
	told := make(chan struct{})
	go func() { defer close(told); _ = fabric.WriteStatus(far, fabric.StatusConnected) }()
	if _, err := near.Read(make([]byte, 9)); errors.Is(err, os.ErrDeadlineExceeded) && patience < time.Minute {
		_ = near.Close()
		<-told
		_, _ = wait(nil, nil)
		return false
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	_ = near.SetDeadline(time.Now().Add(time.Minute))
	if _, err := near.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if n, err := near.ReadFrom(strings.NewReader("and more")); n != 8 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	_ = near.CloseWrite()
	got, err := io.ReadAll(peer)
	if string(got) != "pingand more" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = peer.Write([]byte("pong"))
	_ = peer.(*net.TCPConn).CloseWrite()
	var back strings.Builder
	if n, err := io.Copy(&back, near); n != 4 || err != nil || back.String() != "pong" {
		t.Errorf("%q, %d, %v", back.String(), n, err)
	}
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	if in, out := wait(nil, nil); in != 12 || out != 4 {
		t.Errorf("counted %d and %d", in, out)
	}
	if _, err := target.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection to the target outlives the stream: %v", err)
	}
	return true
}

// A target of one local site is none of another.
func TestLocalSitesAreApart(t *testing.T) {
	l, f := localNode(t, Config{Site: "s", Targets: map[string]Target{"t": {Address: echo(t)}}}, Config{Site: "other"})
	serve(t, l.Run)
	_, err := f.DialTarget(t.Context(), edit(func(r *fabric.Request) { r.Site = "other" }))
	wantStatus(t, err, fabric.StatusNotAllowed)
}

func TestLocalDatagrams(t *testing.T) {
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	l, f := localNode(t, Config{Site: "s", Targets: map[string]Target{"t": {Address: target.LocalAddr().String(), Network: fabric.UDP}}})
	serve(t, l.Run)
	conn, err := f.DialTarget(t.Context(), edit(func(r *fabric.Request) { r.Network = fabric.UDP }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := fabric.NewDatagrams(conn)
	if err := d.WritePacket([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	_ = target.SetDeadline(time.Now().Add(time.Minute))
	n, from, err := target.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "ping" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if _, err := target.WriteTo([]byte("pong"), from); err != nil {
		t.Fatal(err)
	}
	if b, err := d.ReadPacket(); err != nil || string(b) != "pong" {
		t.Errorf("%q, %v", b, err)
	}
}

// Streams end with Run, and none is opened by a node that does not serve.
func TestLocalEndsWithRun(t *testing.T) {
	l, f := localNode(t, Config{Site: "s", Targets: map[string]Target{"t": {Address: echo(t)}}})
	stop := serve(t, l.Run)
	conn, err := f.DialTarget(t.Context(), request("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stream is open after the end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := l.Dial(ctx, "s", netip.AddrPort{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", conn, err)
	}
}

func TestLocalApply(t *testing.T) {
	l := NewLocal(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	targets := map[string]Target{
		"a": {Address: "10.0.0.1:80"}, "b": {Address: "localhost:80"}, "c": {Address: "127.0.0.1:80"}, "d": {Address: "web.internal:80"}, "e": {Address: "100.100.100.200:80"},
	}
	err := l.Apply([]Config{{Site: "s", Targets: targets}, {Site: "other"}})
	var bad []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			e, ok := errors.AsType[*TargetError](err)
			if !ok {
				t.Fatalf("%T", err)
			}
			bad = append(bad, e.ID)
		}
	}
	if strings.Join(bad, " ") != "b c e" || !l.Up("s") || !l.Up("other") || l.Up("third") {
		t.Errorf("%v", err)
	}
	if err := l.Apply(nil); err != nil || l.Up("s") {
		t.Errorf("a site that is gone is up, %v", err)
	}
	if _, err := l.Dial(t.Context(), "s", netip.AddrPort{}); err == nil {
		t.Error("a site that is gone is dialled")
	}
}

func TestPermitOnNode(t *testing.T) {
	own := func() ([]net.Addr, error) {
		return []net.Addr{
			&net.IPNet{IP: net.ParseIP("192.0.2.1"), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)},
			&net.IPNet{IP: net.ParseIP("fe80::1"), Mask: net.CIDRMask(64, 128)},
		}, nil
	}
	for addr, want := range map[string]string{
		"192.0.2.2": "", "10.0.0.1": "", "2001:db8::2": "", "fd00:ec2::255": "", "::ffff:10.0.0.1": "",
		"192.0.2.1": "the node's own", "::ffff:192.0.2.1": "the node's own", "2001:db8::1": "the node's own", "2001:db8::1%eth0": "the node's own",
		"127.0.0.1": "loopback", "127.9.9.9": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "unspecified", "::": "unspecified", "169.254.169.254": "link-local", "fe80::1": "link-local", "ff02::1": "multicast",
		"fd57:6172:7265::1": "inside the tunnels", "fd00:ec2::254": "secrets", "fd00:ec2::254%eth0": "secrets", "168.63.129.16": "secrets", "::ffff:168.63.129.16": "secrets",
	} {
		for _, loopback := range []bool{false, true} { // whatever its name says
			err := permitOnNode(own)(netip.MustParseAddr(addr), loopback)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", addr, err, want)
			}
		}
	}
	broken := func() ([]net.Addr, error) { return nil, errors.New("no netlink") }
	if err := permitOnNode(broken)(netip.MustParseAddr("10.0.0.1"), false); err == nil {
		t.Error("permitted by a node that does not know its addresses")
	}
}

// The addresses are those of the machine: a name that leads there is refused when it is dialled.
func TestLocalTargetIsNeverTheNodeItself(t *testing.T) {
	l := NewLocal(names(t, map[string][]string{"self.test.": {"127.0.0.1"}}), nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	_, port, _ := net.SplitHostPort(echo(t))
	targets := map[string]Target{"name": {Address: "self.test.:" + port}}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip := a.(*net.IPNet).IP; ip.IsGlobalUnicast() {
			targets[ip.String()] = Target{Address: net.JoinHostPort(ip.String(), port)}
		}
	}
	if err := l.Apply([]Config{{Site: "s", Targets: targets}}); err != nil {
		t.Fatal(err)
	}
	serve(t, l.Run)
	f := fabric.New(fabric.Carriers{WireGuard: nowhere{}, Local: l}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Apply(fabric.Config{Self: "n", Sites: []fabric.Site{{ID: "s", Local: true, Nodes: []string{"n"}}}})
	for id := range targets {
		_, err := f.DialTarget(t.Context(), request(id))
		wantStatus(t, err, fabric.StatusNotAllowed)
	}
}
