package tunnel

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/porttest"
	"github.com/warrenedge/warren/shared/wgkey"
)

var router = netip.MustParseAddr("fd57:6172:7265:3::1")

// udpPacket builds an IPv6 packet with an empty datagram.
func udpPacket(src, dst netip.Addr, from, to uint16) []byte {
	p := packet(src, dst, from, to, 0)[:ipv6Header+udpHeader]
	binary.BigEndian.PutUint16(p[4:], udpHeader)
	p[6] = protoUDP
	binary.BigEndian.PutUint16(p[ipv6Header+4:], udpHeader)
	return p
}

func reply(p []byte, src, dst netip.Addr) []byte {
	s, d := src.As16(), dst.As16()
	copy(p[8:], s[:])
	copy(p[24:], d[:])
	p[ipv6Header] = echoReply
	return p
}

// Only what a node has asked for comes in from a stock peer, from whatever port.
func TestFilterOfStockPeers(t *testing.T) {
	peers := flows(map[netip.Addr]Kind{router: Stock, theirConn: Connector})
	end := peers[router].await(ports{40000, 53})
	mark := echoMark{1, 2}
	for name, c := range map[string]struct {
		packet []byte
		want   verdict
	}{
		"an answer":                         {packet(router, us, 80, 40000, synAck), pass},
		"more of it":                        {packet(router, us, 5432, 40000, ack), pass},
		"a refusal":                         {packet(router, us, 80, 40000, rst), pass},
		"a connection":                      {packet(router, us, 80, fabric.RelayPort, syn), dropPort},
		"one to a service of the node":      {packet(router, us, 40000, 443, syn), dropPort},
		"no flags":                          {packet(router, us, 80, 443, 0), dropPort},
		"an end of nothing":                 {packet(router, us, 80, 443, fin), dropPort},
		"a datagram that was asked for":     {udpPacket(router, us, 53, 40000), pass},
		"one from another port":             {udpPacket(router, us, 54, 40000), dropPort},
		"one to another port":               {udpPacket(router, us, 53, 40001), dropPort},
		"a heartbeat":                       {udpPacket(router, us, fabric.HeartbeatPort, fabric.HeartbeatPort), dropPort},
		"the same from a connector":         {udpPacket(theirConn, us, 53, 40000), dropPort},
		"an echo that was asked for":        {reply(mark.request(us, router, 1), router, us), taken},
		"an echo from a connector":          {reply(mark.request(us, router, 1), theirConn, us), dropProtocol},
		"a question for an echo":            {mark.request(router, us, 1), dropProtocol},
		"a short echo":                      {edit(reply(mark.request(us, router, 1), router, us)[:echoSize-1], func(p []byte) { p[5]-- }), dropProtocol},
		"to another site's address":         {packet(router, theirConn, 80, 40000, ack), dropAddress},
		"to loopback":                       {packet(router, netip.IPv6Loopback(), 80, 40000, ack), dropAddress},
		"an echo to another node's address": {reply(mark.request(us, router, 1), router, otherNode), dropAddress},
		"from another address":              {packet(stranger, us, 80, 40000, ack), dropSource},
		"IPv4":                              {edit(packet(router, us, 80, 1, ack), func(p []byte) { p[0] = 4 << 4 }), dropVersion},
		"fragments":                         {edit(udpPacket(router, us, 53, 40000), func(p []byte) { p[6] = 44 }), dropProtocol},
	} {
		if _, got := inspect(c.packet, us, NodeRole, peers); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	end()
	if _, got := inspect(udpPacket(router, us, 53, 40000), us, NodeRole, peers); got != dropPort {
		t.Errorf("to a socket that is closed: %s", got)
	}
	if _, got := inspect(packet(router, us, 80, 40000, ack), us, ConnectorRole, peers); got != dropPort {
		t.Errorf("at a connector: %s", got)
	}
}

// stockDevice is WireGuard with one peer and nothing of ours but a TCP stack.
type stockDevice struct {
	*device.Device
	*netstackDevice
}

func newStockDevice(t *testing.T, key wgkey.Private, node *end) stockDevice {
	t.Helper()
	dev, err := openNetstack(router)
	if err != nil {
		t.Fatal(err)
	}
	return stockDevice{stockAt(t, dev, key, node), dev}
}

func stockAt(t *testing.T, dev *netstackDevice, key wgkey.Private, node *end) *device.Device {
	t.Helper()
	d := device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	if err := d.IpcSet("private_key=" + key.RevealHex() + "\npublic_key=" + node.opts.Key.Public().Hex() + "\nallowed_ip=" + host(node.addr).String() +
		"\nendpoint=" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), node.ListenPort()).String() + "\npersistent_keepalive_interval=15\n"); err != nil {
		t.Fatal(err)
	}
	if err := d.Up(); err != nil {
		t.Fatal(err)
	}
	return d
}

func newKey(t *testing.T) wgkey.Private {
	t.Helper()
	k, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func routerPeer(key wgkey.Private) Peer {
	return Peer{ID: "site", Kind: Stock, Key: key.Public(), Addr: router}
}

// A stock peer is found by its echoes, dialled over both networks, starts nothing, and is missed when it is gone.
func TestStockPeer(t *testing.T) {
	key, o := newKey(t), options(t, NodeRole)
	var lost atomic.Int32
	o.Lost = func(string) { lost.Add(1) }
	node := start(t, "node", us, o)
	node.apply(t, routerPeer(key))
	if node.Tunnel.Up("site") {
		t.Error("up before it has called")
	}
	dev := newStockDevice(t, key, node)
	eventually(t, "echoes are answered", func() bool {
		s := node.state(t, "site")
		return node.Tunnel.Up("site") && s.Up && s.RoundTrip > 0
	})

	ln, err := dev.listen(t.Context(), 80)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	c, err := node.DialStock(t.Context(), "tcp", "site", netip.AddrPortFrom(router, 80))
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, 1<<20)
	_ = c.Close()

	names, err := dev.listenPacket(t.Context(), 53)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := names.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = names.WriteTo(b[:n], from)
		}
	}()
	u, err := node.DialStock(t.Context(), "udp", "site", netip.AddrPortFrom(router, 53))
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, u, 1000)
	asked := u.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = u.Close()

	// Nothing that it starts itself reaches a socket.
	dropped := counter(t, node.m.dropped[dropPort])
	if _, err := names.WriteTo([]byte("late"), net.UDPAddrFromAddrPort(asked)); err != nil {
		t.Fatal(err)
	}
	if _, err := names.WriteTo([]byte("alive?"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(us, fabric.HeartbeatPort))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "datagrams are dropped", func() bool { return counter(t, node.m.dropped[dropPort]) == dropped+2 })
	if _, err := node.DialStock(t.Context(), "tcp", "site", netip.AddrPortFrom(otherNode, 80)); err == nil {
		t.Error("dialled what is not the peer's")
	}

	dev.Device.Down()
	eventually(t, "it is missed", func() bool { return !node.Tunnel.Up("site") && lost.Load() == 1 })
	if s := node.state(t, "site"); s.Up || time.Since(s.LastHandshake) > HandshakeTime {
		t.Errorf("%+v: the session is there, and is not believed", s)
	}
	if err := dev.Device.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return node.Tunnel.Up("site") })
}

// Another key takes the place of the old one at once.
func TestStockPeerGetsAnotherKey(t *testing.T) {
	first, second := newKey(t), newKey(t)
	node := start(t, "node", us, options(t, NodeRole))
	node.apply(t, routerPeer(first))
	old := newStockDevice(t, first, node)
	eventually(t, "up", func() bool { return node.Tunnel.Up("site") })
	node.apply(t, routerPeer(second))
	if node.Tunnel.Up("site") {
		t.Error("up by the session of the old key")
	}
	_ = newStockDevice(t, second, node)
	eventually(t, "up with the new key", func() bool { return node.Tunnel.Up("site") && node.state(t, "site").RoundTrip > 0 })
	before := node.state(t, "site").LastHandshake
	p := old.LookupPeer(device.NoisePublicKey(node.opts.Key.Public()))
	p.ExpireCurrentKeypairs()
	if err := p.SendHandshakeInitiation(false); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // nothing tells that nothing happens
	if got := node.state(t, "site"); !got.LastHandshake.Equal(before) || len(node.Peers()) != 1 {
		t.Errorf("%+v after a call with the old key", node.Peers())
	}
}

// A node that has restarted calls a stock peer where it was: that one has a session, and does not notice for a while.
func TestStockPeerIsCalledAfterARestart(t *testing.T) {
	key, o := newKey(t), options(t, NodeRole)
	o.Recall, o.ListenPort = filepath.Join(t.TempDir(), "peers.json"), porttest.Free(t, 1) // nobody else's when it comes back
	node := start(t, "node", us, o)
	node.apply(t, routerPeer(key))
	dev := newStockDevice(t, key, node)
	eventually(t, "up", func() bool { return node.state(t, "site").RoundTrip > 0 })
	eventually(t, "kept where it is", func() bool { _, err := os.Stat(o.Recall); return err == nil })
	node.stop()
	dev.Device.Down()                           // it says nothing
	for _, content := range []string{"", "{"} { // as it was written, and spoilt
		if content != "" {
			if err := os.WriteFile(o.Recall, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again := o
		again.Registerer = prometheus.NewRegistry()
		node = start(t, "node", us, again)
		node.apply(t, routerPeer(key))
		if content == "" {
			eventually(t, "called", func() bool { return node.state(t, "site").TxBytes > 0 })
		} else if node.Tunnel.Up("site") || node.state(t, "site").Endpoint.IsValid() {
			t.Errorf("%q: %+v", content, node.state(t, "site"))
		}
		node.stop()
	}
}

func TestRecall(t *testing.T) {
	where := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) }
	path := filepath.Join(t.TempDir(), "peers.json")
	a, b := Peer{ID: "a", Key: wgkey.Public{1}}, Peer{ID: "b", Key: wgkey.Public{2}}
	at := func(port uint16) PeerState { return PeerState{Endpoint: where(port), Transport: TransportUDP} }
	r := recall{path: path}
	if err := r.load(); err != nil || len(r.last) != 0 {
		t.Fatalf("%v %v", err, r.last)
	}
	if err := r.keep([]Peer{a, b}, map[string]PeerState{"a": at(1), "b": at(2)}); err != nil {
		t.Fatal(err)
	}
	if err := r.keep([]Peer{a, b}, map[string]PeerState{"a": at(3), "b": {}}); err != nil { // b has not called yet
		t.Fatal(err)
	}
	read := recall{path: path}
	if err := read.load(); err != nil || read.last["a"] != (whereabouts{a.Key, where(3)}) || read.last["b"] != (whereabouts{b.Key, where(2)}) {
		t.Errorf("%v %v", err, read.last)
	}
	b.Key = wgkey.Public{3} // another device: nobody knows where
	if err := read.keep([]Peer{b}, nil); err != nil || len(read.last) != 0 {
		t.Errorf("%v %v", err, read.last)
	}
	if err := os.WriteFile(path, []byte(`{"a":{"endpoint":"nowhere"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read.load(); err == nil || len(read.last) != 0 {
		t.Errorf("of what can't be read: %v %v", err, read.last)
	}
}

func TestEchoChecksum(t *testing.T) {
	p := echoMark{7, 8}.request(us, router, 9)
	if got := icmpChecksum(p[8:40], p[ipv6Header:]); got != 0 {
		t.Errorf("0x%04x over a message with its checksum", got)
	}
	if seq, ok := (echoMark{7, 8}).seq(p[ipv6Header+icmpHeader:]); !ok || seq != 9 {
		t.Errorf("%d, %v", seq, ok)
	}
	if _, ok := (echoMark{7, 9}).seq(p[ipv6Header+icmpHeader:]); ok {
		t.Error("another process's echo is taken")
	}
}
