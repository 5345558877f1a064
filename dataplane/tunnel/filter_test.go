package tunnel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

var (
	us        = netip.MustParseAddr("fd57:6172:7265::1")
	otherNode = netip.MustParseAddr("fd57:6172:7265::2")
	theirConn = netip.MustParseAddr("fd57:6172:7265::c1")
	stranger  = netip.MustParseAddr("fd57:6172:7265::bad")
)

// packet builds an IPv6 packet with a TCP segment.
func packet(src, dst netip.Addr, from, to uint16, flags byte) []byte {
	p := make([]byte, ipv6Header+tcpHeader)
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], tcpHeader)
	p[6], p[7] = protoTCP, 64
	s, d := src.As16(), dst.As16()
	copy(p[8:], s[:])
	copy(p[24:], d[:])
	t := p[ipv6Header:]
	binary.BigEndian.PutUint16(t[0:], from)
	binary.BigEndian.PutUint16(t[2:], to)
	t[12] = tcpHeader / 4 << 4
	t[13] = flags
	return p
}

func edit(p []byte, f func([]byte)) []byte { f(p); return p }

const (
	syn    = flagSYN
	synAck = flagSYN | flagACK
	ack    = flagACK
	rst    = flagRST
	fin    = flagFIN
)

var nodePeers = map[netip.Addr]Kind{otherNode: Mesh, theirConn: Connector}
var connectorPeers = map[netip.Addr]Kind{otherNode: Node}

// flows is what a filter makes of them.
func flows(kinds map[netip.Addr]Kind) map[netip.Addr]*flow {
	f := new(filtered)
	f.setPeers(kinds)
	return *f.peers.Load()
}

// heartbeat builds an IPv6 packet with a UDP datagram of a size.
func heartbeat(src, dst netip.Addr, from, to uint16, size int) []byte {
	p := packet(src, dst, from, to, 0)[:ipv6Header+udpHeader]
	p[6] = protoUDP
	p = append(p, make([]byte, size)...)
	binary.BigEndian.PutUint16(p[4:], uint16(udpHeader+size))
	binary.BigEndian.PutUint16(p[ipv6Header+4:], uint16(udpHeader+size))
	p[ipv6Header+6], p[ipv6Header+7] = 0, 0
	return p
}

func TestInspect(t *testing.T) {
	for _, tt := range []struct {
		name string
		role FilterRole
		in   []byte
		want verdict
	}{
		// A node, from a connector: only what answers our streams.
		{"connector answers", NodeRole, packet(theirConn, us, 7100, 50000, synAck), pass},
		{"connector sends", NodeRole, packet(theirConn, us, 7100, 50000, ack), pass},
		{"connector resets", NodeRole, packet(theirConn, us, 7100, 50000, rst), pass},
		{"connector refuses", NodeRole, packet(theirConn, us, 7100, 50000, rst|ack), pass},
		{"connector ends", NodeRole, packet(theirConn, us, 7100, 50000, fin|ack), pass},
		{"connector opens", NodeRole, packet(theirConn, us, 7100, 22, syn), dropPort},
		{"connector opens to the relay port", NodeRole, packet(theirConn, us, 7100, 7101, syn), dropPort},
		{"connector opens from another port", NodeRole, packet(theirConn, us, 50000, 22, syn), dropPort},
		{"connector answers from another port", NodeRole, packet(theirConn, us, 443, 50000, synAck), dropPort},
		{"connector without flags", NodeRole, packet(theirConn, us, 7100, 22, 0), dropPort},
		{"connector with FIN alone", NodeRole, packet(theirConn, us, 7100, 22, fin), dropPort},
		// A node, from another node: the relay port, and answers of theirs.
		{"node opens to the relay port", NodeRole, packet(otherNode, us, 50000, 7101, syn), pass},
		{"node sends to the relay port", NodeRole, packet(otherNode, us, 50000, 7101, ack), pass},
		{"relay answers", NodeRole, packet(otherNode, us, 7101, 50000, synAck), pass},
		{"relay resets", NodeRole, packet(otherNode, us, 7101, 50000, rst), pass},
		{"relay port as a source is no way in", NodeRole, packet(otherNode, us, 7101, 22, syn), dropPort},
		{"node opens elsewhere", NodeRole, packet(otherNode, us, 50000, 22, syn), dropPort},
		{"node sends elsewhere", NodeRole, packet(otherNode, us, 50000, 22, ack), dropPort},
		{"node as if a connector", NodeRole, packet(otherNode, us, 7100, 50000, synAck), dropPort},
		// A connector: streams of nodes.
		{"node opens", ConnectorRole, packet(otherNode, us, 50000, 7100, syn), pass},
		{"node sends", ConnectorRole, packet(otherNode, us, 50000, 7100, ack), pass},
		{"node opens elsewhere at a connector", ConnectorRole, packet(otherNode, us, 50000, 22, syn), dropPort},
		{"node answers from its relay port", ConnectorRole, packet(otherNode, us, 7101, 22, synAck), dropPort},
		// Whoever it is from.
		{"stranger", NodeRole, packet(stranger, us, 7100, 50000, synAck), dropSource},
		{"stranger at a connector", ConnectorRole, packet(theirConn, us, 50000, 7100, syn), dropSource},
		{"to another", NodeRole, packet(otherNode, stranger, 50000, 7101, syn), dropAddress},
		{"to the other peer", NodeRole, packet(otherNode, theirConn, 50000, 7101, syn), dropAddress},
		{"to all nodes", NodeRole, packet(otherNode, netip.MustParseAddr("ff02::1"), 50000, 7101, syn), dropAddress},
		{"SYN and FIN", NodeRole, packet(otherNode, us, 50000, 7101, syn|fin), dropMalformed},
		{"SYN and RST", NodeRole, packet(theirConn, us, 7100, 22, syn|rst), dropMalformed},
		{"SYN, RST and ACK", NodeRole, packet(theirConn, us, 7100, 22, syn|rst|ack), dropMalformed},
		// Other protocols, and everything before the port numbers.
		{"empty", NodeRole, nil, dropVersion},
		{"IPv4", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[0] = 0x45 }), dropVersion},
		{"version 15", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[0] = 0xf0 }), dropVersion},
		{"one byte", NodeRole, []byte{0x60}, dropMalformed},
		{"39 bytes", NodeRole, packet(otherNode, us, 50000, 7101, syn)[:39], dropMalformed},
		{"header alone", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn)[:40], func(p []byte) { p[4], p[5] = 0, 0 }), dropMalformed},
		{"length too great", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[5]++ }), dropMalformed},
		{"length too small", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[5]-- }), dropMalformed},
		{"jumbogram", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[4], p[5] = 0, 0 }), dropMalformed},
		{"TCP header cut", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn)[:59], func(p []byte) { p[5]-- }), dropMalformed},
		{"TCP header shorter than five words", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[52] = 4 << 4 }), dropMalformed},
		{"TCP options beyond the end", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[52] = 6 << 4 }), dropMalformed},
		// Heartbeats, from every kind of peer, on both ends from and to their port.
		{"heartbeat of a connector", NodeRole, heartbeat(theirConn, us, 7102, 7102, 24), pass},
		{"heartbeat of a node", NodeRole, heartbeat(otherNode, us, 7102, 7102, 24), pass},
		{"heartbeat at a connector", ConnectorRole, heartbeat(otherNode, us, 7102, 7102, 24), pass},
		{"heartbeat with padding", NodeRole, heartbeat(theirConn, us, 7102, 7102, 1300), pass},
		{"heartbeat without content", NodeRole, heartbeat(theirConn, us, 7102, 7102, 0), pass},
		{"heartbeat of one connector to another's address", NodeRole, heartbeat(theirConn, netip.MustParseAddr("fd57:6172:7265::c2"), 7102, 7102, 24), dropAddress},
		{"heartbeat of a connector to a node's address", NodeRole, heartbeat(theirConn, otherNode, 7102, 7102, 24), dropAddress},
		{"heartbeat to all nodes", NodeRole, heartbeat(theirConn, netip.MustParseAddr("ff02::1"), 7102, 7102, 24), dropAddress},
		{"heartbeat of a connector at a connector", ConnectorRole, heartbeat(theirConn, us, 7102, 7102, 24), dropSource},
		{"heartbeat of a stranger", NodeRole, heartbeat(stranger, us, 7102, 7102, 24), dropSource},
		{"UDP to DNS", NodeRole, heartbeat(theirConn, us, 7102, 53, 24), dropPort},
		{"UDP from another port", NodeRole, heartbeat(theirConn, us, 50000, 7102, 24), dropPort},
		{"UDP to the relay port", NodeRole, heartbeat(otherNode, us, 7101, 7101, 24), dropPort},
		{"UDP to the connector port", ConnectorRole, heartbeat(otherNode, us, 7100, 7100, 24), dropPort},
		{"TCP to the heartbeat port", NodeRole, packet(otherNode, us, 7102, 7102, syn), dropPort},
		{"TCP to a connector's heartbeat port", ConnectorRole, packet(otherNode, us, 7102, 7102, syn), dropPort},
		{"UDP header cut", NodeRole, edit(heartbeat(theirConn, us, 7102, 7102, 0)[:47], func(p []byte) { p[5]-- }), dropMalformed},
		{"UDP length too great", NodeRole, edit(heartbeat(theirConn, us, 7102, 7102, 24), func(p []byte) { p[45]++ }), dropMalformed},
		{"UDP length too small", NodeRole, edit(heartbeat(theirConn, us, 7102, 7102, 24), func(p []byte) { p[45]-- }), dropMalformed},
		{"UDP length 0", NodeRole, edit(heartbeat(theirConn, us, 7102, 7102, 24), func(p []byte) { p[44], p[45] = 0, 0 }), dropMalformed},
		{"ICMPv6", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 58 }), dropProtocol},
		{"fragment", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 44 }), dropProtocol},
		{"hop-by-hop options", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 0 }), dropProtocol},
		{"routing header", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 43 }), dropProtocol},
		{"destination options", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 60 }), dropProtocol},
		{"no next header", NodeRole, edit(packet(otherNode, us, 50000, 7101, syn), func(p []byte) { p[6] = 59 }), dropProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peers := nodePeers
			if tt.role == ConnectorRole {
				peers = connectorPeers
			}
			if _, got := inspect(tt.in, us, tt.role, flows(peers)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// Whatever passes is a TCP segment or a heartbeat from a peer to us that a plain reading of the rules allows.
func FuzzInspect(f *testing.F) {
	f.Add(packet(theirConn, us, 7100, 50000, synAck), true)
	f.Add(packet(otherNode, us, 50000, 7101, syn), true)
	f.Add(packet(otherNode, us, 50000, 7100, syn), false)
	f.Add(heartbeat(theirConn, us, 7102, 7102, 24), true)
	f.Add(heartbeat(otherNode, us, 7102, 7102, 24), false)
	f.Add([]byte{0x45, 0}, true)
	f.Fuzz(func(t *testing.T, p []byte, node bool) {
		role, peers := ConnectorRole, connectorPeers
		if node {
			role, peers = NodeRole, nodePeers
		}
		if _, v := inspect(p, us, role, flows(peers)); v != pass {
			return
		}
		if len(p) < 48 || p[0]>>4 != 6 || int(p[4])<<8|int(p[5]) != len(p)-40 {
			t.Fatalf("passed: %x", p)
		}
		src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		from, to := binary.BigEndian.Uint16(p[40:]), binary.BigEndian.Uint16(p[42:])
		if p[6] == 17 {
			if _, ok := peers[src]; !ok || dst != us || from != fabric.HeartbeatPort || to != fabric.HeartbeatPort || int(p[44])<<8|int(p[45]) != len(p)-40 {
				t.Fatalf("passed: %x", p)
			}
			return
		}
		if len(p) < 60 || p[6] != 6 {
			t.Fatalf("passed: %x", p)
		}
		opens := p[53]&syn != 0 && p[53]&ack == 0
		if dst != us {
			t.Fatalf("passed, to %s: %x", dst, p)
		}
		ok := false
		switch kind := peers[src]; {
		case node && kind == Connector:
			ok = from == fabric.ConnectorPort && !opens
		case node && kind == Mesh:
			ok = to == fabric.RelayPort || from == fabric.RelayPort && !opens
		case !node && kind == Node:
			ok = to == fabric.ConnectorPort
		}
		if !ok {
			t.Fatalf("passed, from %s port %d to port %d, flags %02x", src, from, to, p[53])
		}
	})
}

// sink is a device that remembers what was written to it.
type sink struct {
	tun.Device
	got    [][]byte
	err    error
	events chan tun.Event
}

func (s *sink) Events() <-chan tun.Event { return s.events }

func (s *sink) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		s.got = append(s.got, b[offset:])
	}
	return len(bufs), s.err
}

func testFilter(dev tun.Device) *filtered {
	f := newFiltered(dev, us, NodeRole, newMetrics(prometheus.NewRegistry(), nil).dropped)
	f.setPeers(nodePeers)
	return f
}

func TestFilteredEvents(t *testing.T) {
	s := &sink{events: make(chan tun.Event, 8)}
	for _, e := range []tun.Event{tun.EventUp, tun.EventDown, tun.EventMTUUpdate, tun.EventUp | tun.EventMTUUpdate, tun.EventDown} {
		s.events <- e
	}
	close(s.events)
	var got []tun.Event
	for e := range testFilter(s).Events() {
		got = append(got, e)
	}
	if want := []tun.Event{tun.EventMTUUpdate, tun.EventMTUUpdate}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestFilterStartsShut(t *testing.T) {
	s := &sink{events: make(chan tun.Event)}
	defer close(s.events)
	f := newFiltered(s, us, NodeRole, newMetrics(prometheus.NewRegistry(), nil).dropped)
	if _, err := f.Write([][]byte{packet(otherNode, us, 50000, 7101, syn)}, 0); err != nil || s.got != nil {
		t.Errorf("device got %x, %v", s.got, err)
	}
}

func TestFilteredWrite(t *testing.T) {
	const offset = 16
	good1, good2 := packet(otherNode, us, 50000, 7101, syn), packet(theirConn, us, 7100, 50000, ack)
	bad := packet(theirConn, us, 1, 22, syn)
	buf := func(p []byte) []byte { return append(make([]byte, offset), p...) }
	s := &sink{events: make(chan tun.Event)}
	defer close(s.events)
	f := testFilter(s)
	in := [][]byte{buf(bad), buf(good1), buf(bad), buf(good2), make([]byte, offset-1)}
	n, err := f.Write(in, offset)
	if n != len(in) || err != nil {
		t.Errorf("%d, %v: want %d, as if all were written", n, err, len(in))
	}
	if !slices.EqualFunc(s.got, [][]byte{good1, good2}, slices.Equal) {
		t.Errorf("the device got %x", s.got)
	}
	if got := counter(t, f.dropped[dropPort]); got != 2 {
		t.Errorf("%v counted as dropped for their ports, want 2", got)
	}
	s.got = nil
	if n, err := f.Write([][]byte{buf(bad)}, offset); n != 1 || err != nil || s.got != nil {
		t.Errorf("%d, %v, device got %x: want the device left alone", n, err, s.got)
	}
	s.err = errors.New("gone")
	if _, err := f.Write([][]byte{buf(good1)}, offset); !errors.Is(err, s.err) {
		t.Errorf("error %v, want that of the device", err)
	}
}
