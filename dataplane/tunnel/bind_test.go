package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestTransports(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	var c transports
	if c.silent(at(time.Hour)) {
		t.Error("silent, though nothing was asked")
	}
	c.sentUDP(at(0))
	c.sentUDP(at(udpSilence - 1)) // the first one counts
	if c.silent(at(udpSilence - 1)) {
		t.Error("silent too early")
	}
	if !c.silent(at(udpSilence)) {
		t.Errorf("not silent after %v", udpSilence)
	}
	c.heardUDP(at(udpSilence))
	if c.silent(at(time.Hour)) {
		t.Error("silent, though an answer came")
	}
	if !c.dial(at(0)) || c.dial(at(time.Second)) {
		t.Error("dialled twice at once")
	}
	for range 100 {
		c.dialled(false, at(time.Second))
		if c.redial.After(at(time.Second + redialMost)) {
			t.Fatalf("next try %v later", c.redial.Sub(at(time.Second)))
		}
	}
	if !c.dial(at(time.Second + redialMost)) {
		t.Error("it gave up")
	}
	for _, d := range []time.Duration{0, tryUDPEvery, 3 * tryUDPEvery} {
		for range tryUDPTimes {
			if !c.tryUDP(at(d)) {
				t.Errorf("UDP is not tried after %v", d)
			}
		}
		if c.tryUDP(at(d)) || c.tryUDP(at(d+tryUDPEvery-1)) {
			t.Errorf("UDP is tried more often than every %v", tryUDPEvery)
		}
	}
}

// A row of tries at one address is in vain if nothing is heard there.
func TestTriesInVain(t *testing.T) {
	var c transports
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	row := func() {
		now = now.Add(tryUDPEvery)
		if c.tryUDP(now) {
			c.sentUDP(now)
		}
	}
	vain := func(when string, want bool) {
		t.Helper()
		if c.elsewhere() != want {
			t.Errorf("%s: elsewhere is not %v", when, want)
		}
	}
	row()
	vain("while the first row lasts", false)
	row()
	vain("when the next begins", true)
	vain("said once", false)
	row()
	c.heardUDP(now)
	vain("heard meanwhile", false)
	row()
	vain("heard before", false)
	row()
	c.moved()
	row()
	vain("the first row at another address", false)
	row()
	vain("there in vain, too", true)
}

// Where UDP is silent and little is sent, enough is asked for a row of tries, now and then.
func TestIdlePeersAreAskedWhileUDPIsSilent(t *testing.T) {
	var c transports
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	asked := map[bool]int{}
	for _, heard := range []bool{false, true} {
		c.sentUDP(start)
		if c.used = start; heard {
			c.heardUDP(start)
		}
		for s := range 600 {
			now := start.Add(time.Duration(s) * time.Second)
			if c.ask(now) {
				asked[heard]++
				c.used = now // as what is sent then does
				if c.tryUDP(now) {
					c.sentUDP(now)
				}
			}
		}
	}
	most := int(10*time.Minute/askSilent) * tryUDPTimes
	if n := asked[false]; n > most || n < most*3/4 {
		t.Errorf("asked %d times in ten minutes, want about %d", n, most)
	}
	if n := asked[true]; n != 0 {
		t.Errorf("asked %d times though UDP works", n)
	}
}

// In a tunnel at rest the answer to the node's question is the last word for long: UDP owes nothing then. It does to
// what is sent without having been asked, and to a handshake always.
func TestAnswersOweNothing(t *testing.T) {
	data, initiation := append([]byte{4, 0, 0, 0}, make([]byte, 60)...), append([]byte{1, 0, 0, 0}, make([]byte, 144)...)
	for name, c := range map[string]struct {
		after  time.Duration // something was heard
		packet []byte
		owes   bool
	}{
		"the answer":               {time.Millisecond, data, false},
		"a slow answer":            {answerMost - 1, data, false},
		"a question":               {answerMost, data, true},
		"the first word":           {time.Hour, data, true},
		"a clock that went back":   {-time.Second, data, true},
		"a handshake of ours":      {time.Millisecond, initiation, true},
		"a keepalive asks nothing": {time.Hour, data[:32], false},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			udp := &noted{Bind: conn.NewStdNetBind()}
			dial := func(context.Context, string, endpoint.Endpoint) (net.Conn, error) { return nil, net.ErrClosed }
			b := newBind(udp, wgkey.Public{}, dial, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry(), func() []PeerState { return nil }))
			b.apply([]Peer{{ID: "a", Kind: Node, Endpoint: endpoint.MustParse("192.0.2.1:51820"), TLS: endpoint.MustParse("192.0.2.1:443")}})
			to, err := b.ParseEndpoint("192.0.2.1:51820")
			if err != nil {
				t.Fatal(err)
			}
			w := b.ways.Load().of["a"]
			w.choice.heardUDP(time.Now().Add(-c.after))
			if err := b.Send([][]byte{slices.Clone(c.packet)}, to); err != nil {
				t.Fatal(err)
			}
			if len(udp.take()) != 1 {
				t.Errorf("%s: not sent", name)
			}
			time.Sleep(udpSilence)
			synctest.Wait()
			if owes := len(b.wake) > 0; owes != c.owes {
				t.Errorf("%s: TLS is dialled: %v, want %v", name, owes, c.owes)
			}
		})
	}
}

func TestExpects(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"nothing", nil, false},
		{"initiation", append([]byte{1, 0, 0, 0}, make([]byte, 144)...), true},
		{"keepalive", append([]byte{4, 0, 0, 0}, make([]byte, 28)...), false},
		{"data", append([]byte{4, 0, 0, 0}, make([]byte, 29)...), true},
	} {
		if got := expects(tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	addr := netip.MustParseAddrPort("[2001:db8::1]:443")
	for s, want := range map[string]string{addr.String(): TransportUDP, (&tlsEndpoint{addr: addr}).DstToString(): TransportTLS} {
		if got, transport, err := parseEndpoint(s); err != nil || got != addr || transport != want {
			t.Errorf("%s: %v, %s, %v", s, got, transport, err)
		}
	}
	if _, _, err := parseEndpoint("tls:nowhere"); err == nil {
		t.Error("no error")
	}
}

// Whatever is read is what was written, and nothing else is read.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 1, 7})
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 1})
	f.Add([]byte{0, 3, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var again []byte
		for {
			p, err := readFrame(r)
			if err != nil {
				break
			}
			again = appendFrame(again, p)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("%x read from %x", again, b)
		}
		rest := b[len(again):]
		if len(rest) > 2 {
			if size := int(rest[0])<<8 | int(rest[1]); size > 0 && size <= frameMost && len(rest) >= 2+size {
				t.Fatalf("%x not read", rest)
			}
		}
	})
}

// A link whose other end does not read drops, keeps nothing more, and ends by itself.
func TestLinkDrops(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		l := newTLSLink(ours)
		done := make(chan error, 1)
		go func() { done <- l.run(t.Context(), &tlsEndpoint{link: l}, make(chan frame)) }()
		dropped := 0
		for range 1000 {
			dropped += l.send([][]byte{make([]byte, 1400)})
		}
		synctest.Wait()
		if dropped < 1000-2*linkPackets {
			t.Errorf("%d dropped of 1000, with room for %d", dropped, linkPackets)
		}
		start := time.Now()
		<-done
		if d := time.Since(start); d > linkStall {
			t.Errorf("it took %v until the link was given up", d)
		}
		if n := l.send([][]byte{{1}, make([]byte, frameMost+1), nil}); n != 3 {
			t.Errorf("%d of 3 dropped after its end", n)
		}
		if len(l.out) != 0 {
			t.Errorf("%d packets kept", len(l.out))
		}
	})
}

func TestLinkRefusesLengths(t *testing.T) {
	for _, head := range [][]byte{{0, 0}, {0x10, 0x01}} {
		ours, theirs := net.Pipe()
		l := newTLSLink(ours)
		done := make(chan error, 1)
		go func() { done <- l.run(t.Context(), &tlsEndpoint{link: l}, make(chan frame)) }()
		_, _ = theirs.Write(head)
		if err := <-done; !errors.Is(err, errFrame) {
			t.Errorf("length %x: %v", head, err)
		}
		_ = theirs.Close()
	}
}

// secured is a pair whose UDP passes a middlebox, and that can use TLS.
type secured struct {
	node, connector *end
	box             *middlebox
	ca              *identitytest.Authority
	tls             netip.AddrPort
}

func serveTLS(t *testing.T, node *end) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.ServeTLS(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func newSecured(t *testing.T, blocked bool) *secured {
	t.Helper()
	s := &secured{ca: identitytest.New(t)}
	on, oc := options(t, NodeRole), options(t, ConnectorRole)
	cn, cc := s.ca.Credentials(t, identity.Node, "node"), s.ca.Credentials(t, identity.Connector, "connector")
	on.TLS, oc.TLS = &cn, &cc
	s.node, s.connector = start(t, "node", us, on), start(t, "connector", theirConn, oc)
	s.tls = serveTLS(t, s.node)
	s.box = newMiddlebox(t, s.node.ListenPort())
	s.box.set(blocked, false)
	s.node.apply(t, s.connector.seenBy(s.node))
	s.connector.apply(t, with(s.node.seenBy(s.connector), func(p *Peer) { p.Endpoint, p.TLS = endpoint.At(s.box.addr), endpoint.At(s.tls) }))
	return s
}

// by waits until both ends use a transport and are up.
func (s *secured) by(t *testing.T, transport string) {
	t.Helper()
	began := time.Now()
	eventually(t, "up by "+transport, func() bool {
		n, c := s.node.state(t, "connector"), s.connector.state(t, "node")
		return n.Up && c.Up && n.Transport == transport && c.Transport == transport
	})
	t.Logf("up by %s after %v", transport, time.Since(began).Round(time.Millisecond))
}

// One stream goes on while UDP ends and comes back.
func TestUDPIsBlockedAndWorksAgain(t *testing.T) {
	s := newSecured(t, false)
	s.by(t, TransportUDP)
	echo(t, s.connector, fabric.ConnectorPort)
	conn, err := s.node.Dial(t.Context(), "connector", netip.AddrPortFrom(theirConn, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exchange(t, conn, 100_000)
	for range 2 {
		s.box.set(true, false)
		s.by(t, TransportTLS)
		exchange(t, conn, 3_000_000)
		if e := s.connector.state(t, "node").Endpoint; e != s.box.addr {
			t.Errorf("endpoint %v by TLS, want that of UDP, %v", e, s.box.addr)
		}
		s.box.set(false, false)
		s.by(t, TransportUDP)
		exchange(t, conn, 100_000)
	}
}

func TestUDPIsBlockedFromTheBeginning(t *testing.T) {
	s := newSecured(t, true)
	s.by(t, TransportTLS)
	// New UDP sockets don't touch what goes by TLS.
	if err := s.connector.rebind(); err != nil {
		t.Fatal(err)
	}
	s.by(t, TransportTLS)
}

// The node is reached elsewhere while TLS is in use, and UDP works there only later.
func TestUDPWorksAgainElsewhere(t *testing.T) {
	s := newSecured(t, true)
	s.by(t, TransportTLS)
	s.box = newMiddlebox(t, s.node.ListenPort())
	s.box.set(true, false)
	s.connector.apply(t, with(s.node.seenBy(s.connector), func(p *Peer) { p.Endpoint, p.TLS = endpoint.At(s.box.addr), endpoint.At(s.tls) }))
	s.by(t, TransportTLS)
	s.box.set(false, false)
	s.by(t, TransportUDP)
}

// UDP that is blocked in one direction is blocked.
func TestUDPIsBlockedToTheConnector(t *testing.T) {
	s := newSecured(t, false)
	s.by(t, TransportUDP)
	s.box.set(false, true)
	s.by(t, TransportTLS)
}

// The TLS connection dies while it is needed: another one is dialled.
func TestLinkIsDialledAgain(t *testing.T) {
	s := newSecured(t, true)
	s.by(t, TransportTLS)
	s.node.bind.mu.Lock()
	l := s.node.bind.links["connector"]
	s.node.bind.mu.Unlock()
	l.end()
	eventually(t, "another link", func() bool {
		s.node.bind.mu.Lock()
		defer s.node.bind.mu.Unlock()
		next := s.node.bind.links["connector"]
		return next != nil && next != l
	})
	s.by(t, TransportTLS)
	// A peer that is removed loses its link.
	s.node.apply(t)
	eventually(t, "no link", func() bool {
		s.node.bind.mu.Lock()
		defer s.node.bind.mu.Unlock()
		return len(s.node.bind.links) == 0
	})
}

func TestServeTLSRefuses(t *testing.T) {
	s := newSecured(t, false)
	other := identitytest.New(t)
	good := s.ca.Credentials(t, identity.Connector, "connector")
	for _, tt := range []struct {
		name string
		c    identity.Credentials
		alpn string
	}{
		{"a connector that is no peer", s.ca.Credentials(t, identity.Connector, "connector2"), Protocol},
		{"a node", s.ca.Credentials(t, identity.Node, "connector"), Protocol},
		{"one of another authority", identity.Credentials{Cluster: identitytest.Cluster, Certificate: other.Credentials(t, identity.Connector, "connector").Certificate, Authorities: good.Authorities}, Protocol},
		{"one of another cluster", func() identity.Credentials {
			cert := s.ca.Certificate(t, "other", identity.Connector, "connector", time.Now().Add(time.Hour))
			return identity.Credentials{Cluster: identitytest.Cluster, Certificate: func() *tls.Certificate { return cert }, Authorities: good.Authorities}
		}(), Protocol},
		{"one whose certificate is past its time", func() identity.Credentials {
			cert := s.ca.Certificate(t, identitytest.Cluster, identity.Connector, "connector", time.Now().Add(-time.Hour))
			return identity.Credentials{Cluster: identitytest.Cluster, Certificate: func() *tls.Certificate { return cert }, Authorities: good.Authorities}
		}(), Protocol},
		{"one that asks for nothing", good, ""},
	} {
		cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*tt.c.Certificate()}}
		if tt.alpn != "" {
			cfg.NextProtos = []string{tt.alpn}
		}
		conn, err := tls.Dial("tcp", s.tls.String(), cfg)
		if err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		var timeout net.Error
		if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s was let in: %v", tt.name, err)
		}
	}
	// And the connector believes nobody but its node.
	if _, err := dialTLS(t.Context(), good, "node2", endpoint.At(s.tls), dial.Dialer{}); err == nil {
		t.Error("the connector took one node for another")
	}
	conn, err := dialTLS(t.Context(), good, "node", endpoint.At(s.tls), dial.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Bytes that are no packets end the link, and nothing else.
	if _, err := conn.Write([]byte{0xff, 0xff, 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want the end", err)
	}
	s.by(t, TransportUDP)
}
