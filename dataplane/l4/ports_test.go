package l4

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/porttest"
)

func TestPortsOpenAndCloseWhileOthersServe(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{"a": {Address: echo(t, "a")}, "b": {Address: echo(t, "b")}}))
	run(t, s.Run)
	port := porttest.Free(t, 3)
	a := Forward{Service: "a", FirstPort: port, LastPort: port, Targets: targets("a")}
	b := Forward{Service: "b", FirstPort: port + 1, LastPort: port + 1, Targets: targets("b")}
	apply(t, s, a)
	ca := dial(t, "tcp", port)
	say(t, ca, "1", "a1")
	apply(t, s, a, b)
	cb := dial(t, "tcp", port+1)
	say(t, cb, "2", "b2")
	say(t, ca, "3", "3")

	apply(t, s, b)
	if _, err := net.Dial("tcp", at(port)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v, want a refusal", err)
	}
	say(t, ca, "4", "4") // goes on for a while
	say(t, cb, "5", "5")

	// The half-close passes through, and what comes after it.
	_ = cb.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(cb); err != nil || string(rest) != "bye" {
		t.Errorf("after the end: %q, %v", rest, err)
	}

	// A port may become another service's.
	b.Service, b.Targets = "c", targets("a")
	apply(t, s, b)
	say(t, dial(t, "tcp", port+1), "6", "a6")
}

func TestRange(t *testing.T) {
	// Two ports in a row of a real target, behind the first two of the range.
	first := porttest.Free(t, 2)
	for i, name := range []string{"x", "y"} {
		l, err := net.Listen("tcp", at(first+uint16(i)))
		if err != nil {
			t.Fatal(err)
		}
		serveEcho(t, l, name)
	}
	s := newServer(site(t, map[string]connector.Target{"t": {Address: at(first), Ports: 2}}))
	run(t, s.Run)
	const ports = 1000
	port := porttest.Free(t, ports)
	files, routines := openFiles(t), runtime.NumGoroutine()
	apply(t, s, Forward{Service: "s", FirstPort: port, LastPort: port + ports - 1, Targets: targets("t")})
	say(t, dial(t, "tcp", port), "1", "x1")
	say(t, dial(t, "tcp", port+1), "1", "y1")
	// The connector knows of two ports only.
	wantReset(t, port+ports-1)
	const spare = 60 // of the connections above
	if n := openFiles(t) - files; n > ports+spare {
		t.Errorf("%d more files are open", n)
	}
	if n := runtime.NumGoroutine() - routines; n > ports+spare {
		t.Errorf("%d more goroutines", n)
	}
	apply(t, s)
	waitFor(t, "closed ports give back goroutines", func() bool { return runtime.NumGoroutine()-routines < spare })
	if n := openFiles(t) - files; n > spare {
		t.Errorf("%d more files are open after closing", n)
	}
}

// wantReset expects that a connection is taken and shed.
func wantReset(t *testing.T, port uint16) {
	t.Helper()
	c, err := net.Dial("tcp", at(port))
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("port %d: %v, want a reset", port, err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestPortOfSomebodyElse(t *testing.T) {
	for _, network := range []fabric.Network{fabric.TCP, fabric.UDP} {
		t.Run(network.String(), func(t *testing.T) {
			s := newServer(site(t, map[string]connector.Target{"t": {Address: echo(t, "t")}, "u": {Address: udpEcho(t, "u"), Network: fabric.UDP}}))
			run(t, s.Run)
			port := porttest.Free(t, 3)
			var other io.Closer
			var err error
			if network == fabric.UDP {
				other, err = net.ListenPacket("udp", at(port+1))
			} else {
				other, err = net.Listen("tcp", at(port+1))
			}
			if err != nil {
				t.Fatal(err)
			}
			target := map[fabric.Network]string{fabric.TCP: "t", fabric.UDP: "u"}[network]
			cfg := Config{Forwards: []Forward{
				{Service: "taken", Network: network, FirstPort: port, LastPort: port + 1, Targets: targets(target)},
				{Service: "fine", FirstPort: port + 2, LastPort: port + 2, Targets: targets("t")},
			}}
			for range 2 { // and again, as long as that lasts
				err = wantFault(t, s.Apply(cfg), "taken")
				if want := (key{network, port + 1}).String() + ": address already in use"; !errors.Is(err, syscall.EADDRINUSE) || !strings.HasSuffix(err.Error(), want) {
					t.Fatalf("error %q, want %q", err, want)
				}
			}
			if n := value(t, s.m.unopened); n != 1 {
				t.Errorf("%v ports count as unopened", n)
			}
			say(t, dial(t, "tcp", port+2), "1", "t1")
			talk := func(p uint16) {
				c := dial(t, network.String(), p)
				if network == fabric.UDP {
					if got := ask(t, c, "1"); got != "u1" {
						t.Errorf("answer %q", got)
					}
				} else {
					say(t, c, "1", "t1")
				}
			}
			_ = other.Close()
			if err := s.Apply(cfg); err != nil {
				t.Fatal(err)
			}
			if network == fabric.TCP { // the second of a target with one
				wantReset(t, port+1)
			}
			talk(port)
		})
	}
}

func TestForwardsThatMakeNoSense(t *testing.T) {
	s := newServer(nil)
	run(t, s.Run)
	s.maxPorts = 4
	port := porttest.Free(t, 4)
	one := func(service string) Forward {
		return Forward{Service: service, FirstPort: port, LastPort: port, Targets: targets("t")}
	}
	edit := func(f func(*Forward)) Forward { g := one("bad"); f(&g); return g }
	for _, tt := range []struct {
		bad  Forward
		want string
	}{
		{edit(func(f *Forward) { f.FirstPort = 0 }), "first port: 0"},
		{edit(func(f *Forward) { f.LastPort-- }), "is below the first one"},
		{edit(func(f *Forward) { f.ProxyProtocol = 3 }), "proxy protocol: version 3"},
		{edit(func(f *Forward) { f.ProxyProtocol = -1 }), "proxy protocol: version -1"},
		{edit(func(f *Forward) { f.Network, f.ProxyProtocol = fabric.UDP, 2 }), "version 2 can't be sent to UDP targets"},
		{edit(func(f *Forward) { f.LastPort = port + 1 }), "is one of service good"},
		{edit(func(f *Forward) { f.FirstPort, f.LastPort = 1, 65535 }), "65535 ports, of the 4 that this process may open 3 are left"},
	} {
		err := wantFault(t, s.Apply(Config{Forwards: []Forward{one("good"), tt.bad}}), "bad")
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %q, want %q", err, tt.want)
		}
		if n := value(t, s.m.ports); n != 1 {
			t.Errorf("%s: %v ports are open, want the good one", tt.want, n)
		}
	}
	// The same number is another port for another network.
	u := one("udp")
	u.Network = fabric.UDP
	apply(t, s, one("tcp"), u)
}

// A process that may not bind a port says which, and what it lacks.
func TestPrivilegedPort(t *testing.T) {
	err := openError(key{fabric.TCP, 25}, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
	if want := "tcp port 25: permission denied: ports below 1024 need CAP_NET_BIND_SERVICE"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if err := openError(key{fabric.UDP, 5353}, syscall.EACCES); strings.Contains(err.Error(), "CAP") {
		t.Errorf("error %q", err)
	}
}

func TestManyFaultsOfAService(t *testing.T) {
	var f faults
	for i := range 10 {
		f.add("s", openError(key{fabric.TCP, uint16(5000 + i)}, syscall.EADDRINUSE))
	}
	f.add("r", errors.New("x"))
	err := f.join()
	if got := err.Error(); !strings.HasPrefix(got, "service r: x\nservice s: tcp port 5000: ") || !strings.HasSuffix(got, "\nand 7 more") || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%q", got)
	}
}

func TestAllow(t *testing.T) {
	for _, tt := range []struct {
		allow  string // "" is everybody
		client string
		want   bool
	}{
		{"", "192.0.2.1", true},
		{"192.0.2.0/24", "192.0.2.1", true},
		{"192.0.2.0/24", "::ffff:192.0.2.1", true},
		{"192.0.2.0/24", "192.0.3.1", false},
		{"192.0.2.0/24", "::ffff:192.0.3.1", false},
		{"192.0.2.0/24", "2001:db8::1", false},
		{"::ffff:192.0.2.0/120", "192.0.2.1", true},
		{"::ffff:192.0.2.0/120", "192.0.3.1", false},
		{"2001:db8::/32", "2001:db8::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"2001:db8::/32", "192.0.2.1", false},
		{"::/0", "192.0.2.1", false},
		{"::/0", "2001:db8::1", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"10.0.0.0/8 192.0.2.1/32", "192.0.2.1", true},
	} {
		var f Forward
		for _, p := range strings.Fields(tt.allow) {
			f.Allow = append(f.Allow, netip.MustParsePrefix(p))
		}
		if got := newForward(f, nil).allows(netip.MustParseAddr(tt.client)); got != tt.want {
			t.Errorf("%q for %s: %v", tt.allow, tt.client, got)
		}
	}
}

func TestClientsThatAreNotAllowed(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{"t": {Address: echo(t, "t")}, "u": {Address: udpEcho(t, "u"), Network: fabric.UDP}}))
	run(t, s.Run)
	port := porttest.Free(t, 1)
	tcp := Forward{Service: "t", FirstPort: port, LastPort: port, Targets: targets("t"), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	udp := Forward{Service: "u", Network: fabric.UDP, FirstPort: port, LastPort: port, Targets: targets("u"), Allow: tcp.Allow}
	apply(t, s, tcp, udp)
	ct, cu := dial(t, "tcp", port), dial(t, "udp", port)
	say(t, ct, "1", "t1")
	if got := ask(t, cu, "1"); got != "u1" {
		t.Errorf("answer %q", got)
	}
	// Whoever is no longer allowed is cut off, others would not be.
	tcp.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	udp.Allow = tcp.Allow
	apply(t, s, tcp, udp)
	if _, err := ct.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	wantReset(t, port)
	if _, err := cu.Write([]byte("2")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the datagram is dropped", func() bool { return value(t, s.m.dropped.WithLabelValues(string(reasonNotAllowed))) == 1 })
	if n, _ := s.flows.len(); n != 0 {
		t.Errorf("%d flows", n)
	}
	if v := value(t, s.m.closed.WithLabelValues(string(reasonNotAllowed))); v != 1 {
		t.Errorf("%v connections count as not allowed", v)
	}
}
