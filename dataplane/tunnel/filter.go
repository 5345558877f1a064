package tunnel

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// FilterRole says which packets a device lets in.
type FilterRole int

// Roles.
const (
	NodeRole      FilterRole = iota + 1 // streams of other nodes to the relay port; answers of connectors, relays and stock peers
	ConnectorRole                       // streams of nodes to the connector port
)

func (r FilterRole) String() string {
	switch r {
	case NodeRole:
		return "node"
	case ConnectorRole:
		return "connector"
	}
	return "unknown"
}

// verdict is what the filter says about a packet.
type verdict int

const (
	pass          verdict = iota
	taken                 // the answer to an echo, or a part of a datagram: not for the stack
	dropVersion           // IPv4 or something else
	dropMalformed         // lengths or flags that can't be
	dropProtocol          // not TCP or UDP directly after the IPv6 header: extension headers and fragments too; of a stock peer, nor the answer to an echo nor a part of a datagram that may be awaited
	dropSource            // from nobody who is configured
	dropAddress           // not to us
	dropPort              // to or from a port that is none of theirs
	verdicts              // their number
)

func (v verdict) String() string {
	return [...]string{"pass", "taken", "version", "malformed", "protocol", "source", "address", "port"}[v]
}

const (
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8
	protoTCP   = 6
	protoUDP   = 17

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// inspect judges one packet that came out of a tunnel, before any stack sees it. WireGuard has already
// checked that the source address belongs to the peer whose key the packet was sealed with. It keeps no
// state: a packet that opens a connection is told from one that answers by its flags.
func inspect(p []byte, self netip.Addr, role FilterRole, peers map[netip.Addr]*flow) (*flow, verdict) {
	if len(p) == 0 || p[0]>>4 != 6 {
		return nil, dropVersion
	}
	if len(p) < ipv6Header || int(binary.BigEndian.Uint16(p[4:]))+ipv6Header != len(p) {
		return nil, dropMalformed
	}
	if p[6] != protoTCP && p[6] != protoUDP && p[6] != protoICMP {
		return nil, dropProtocol
	}
	f, ok := peers[netip.AddrFrom16([16]byte(p[8:24]))]
	if !ok {
		return nil, dropSource
	}
	if netip.AddrFrom16([16]byte(p[24:40])) != self {
		return nil, dropAddress
	}
	switch {
	case p[6] == protoICMP:
		if _, ok := echoed(p); ok && f.kind == Stock {
			return f, taken
		}
		return f, dropProtocol
	case p[6] == protoUDP:
		return f, inspectUDP(p[ipv6Header:], role, f)
	}
	return f, inspectTCP(p[ipv6Header:], role, f.kind)
}

// inspectUDP lets heartbeats pass, both ends of which use the same port, and what a stock peer says to a socket of
// ours that is connected to it: no datagram says of itself that it answers another.
func inspectUDP(u []byte, role FilterRole, f *flow) verdict {
	if len(u) < udpHeader || int(binary.BigEndian.Uint16(u[4:])) != len(u) {
		return dropMalformed
	}
	from, to := binary.BigEndian.Uint16(u[0:]), binary.BigEndian.Uint16(u[2:])
	if f.kind == Stock {
		if role == NodeRole && f.awaits(to, from) {
			return pass
		}
		return dropPort
	}
	known := role == NodeRole && (f.kind == Mesh || f.kind == Connector) || role == ConnectorRole && f.kind == Node
	if !known || from != fabric.HeartbeatPort || to != fabric.HeartbeatPort {
		return dropPort
	}
	return pass
}

// inspectTCP lets the fabric's streams pass.
func inspectTCP(t []byte, role FilterRole, kind Kind) verdict {
	if len(t) < tcpHeader {
		return dropMalformed
	}
	if size := int(t[12]>>4) * 4; size < tcpHeader || size > len(t) {
		return dropMalformed
	}
	flags := t[13]
	if flags&flagSYN != 0 && flags&(flagFIN|flagRST) != 0 {
		return dropMalformed
	}
	from, to := binary.BigEndian.Uint16(t[0:]), binary.BigEndian.Uint16(t[2:])
	// RFC 9293 §3.5: only the first segment of a connection, and a reset that answers a segment with
	// ACK, come without ACK.
	answer := flags&flagACK != 0 || flags&flagRST != 0
	switch role {
	case NodeRole:
		switch kind {
		case Mesh:
			if to == fabric.RelayPort || from == fabric.RelayPort && answer {
				return pass
			}
		case Connector:
			if from == fabric.ConnectorPort && answer {
				return pass
			}
		case Stock:
			if answer { // to what was never asked the stack answers with a reset
				return pass
			}
		}
	case ConnectorRole:
		if kind == Node && to == fabric.ConnectorPort {
			return pass
		}
	}
	return dropPort
}

// flow is what the filter knows of a peer. It stays for as long as the peer keeps its address and kind.
type flow struct {
	kind Kind
	tcp  atomic.Uint64 // segments that came from it
	mtu  atomic.Int32  // of the path to it; 0: not known
	udp  sync.Map      // of a stock peer: ports of sockets of ours that are connected to it
	open atomic.Int32  // how many those are
}

// ports are one of ours, and one of the peer's.
type ports struct{ ours, theirs uint16 }

// await lets datagrams of a stock peer in, from one port to another, until the result is called.
func (f *flow) await(p ports) (end func()) {
	f.udp.Store(p, nil)
	f.open.Add(1)
	return func() { // once
		f.udp.Delete(p)
		f.open.Add(-1)
	}
}

func (f *flow) awaits(ours, theirs uint16) bool {
	_, ok := f.udp.Load(ports{ours, theirs})
	return ok
}

// filtered is a device behind the filter. What leaves the device is not filtered: it is our own. Connections
// that are opened either way are held to what the path carries.
type filtered struct {
	tun.Device
	self    netip.Addr
	role    FilterRole
	peers   atomic.Pointer[map[netip.Addr]*flow] // replaced whole
	dropped [verdicts]prometheus.Counter
	events  chan tun.Event
	echo    func(from netip.Addr, body []byte) bool // takes answers of stock peers; may be nil
	came    func(packets int)                       // told of all that come out of tunnels; may be nil
	parts   fragments                               // of stock peers
	room    *room                                   // of the bind, too

	reading chan struct{} // closed when WireGuard reads
	begin   sync.Once
}

// newFiltered puts a filter that lets nothing in before a device.
func newFiltered(dev tun.Device, self netip.Addr, role FilterRole, dropped [verdicts]prometheus.Counter) *filtered {
	f := &filtered{Device: dev, self: self, role: role, dropped: dropped, events: make(chan tun.Event), room: &room{}, reading: make(chan struct{})}
	f.setPeers(nil)
	go f.follow() // until the device is closed
	return f
}

// follow passes on a new MTU but not that the interface went up or down, upon which WireGuard would give up
// its port and all sessions. Whether the device is up is for Tunnel alone to say; besides, a TUN device
// reports its state by two ways at once, so that an old "down" may come after a new "up", to stay.
func (f *filtered) follow() {
	defer close(f.events)
	for e := range f.Device.Events() {
		if e&tun.EventMTUUpdate != 0 {
			f.events <- tun.EventMTUUpdate
		}
	}
}

// BatchSize is how many packets WireGuard makes room for.
func (f *filtered) BatchSize() int { return f.room.of(f.Device.BatchSize()) }

// Events gives what follow passes on. WireGuard reads it until it is closed.
func (f *filtered) Events() <-chan tun.Event { return f.events }

func (f *filtered) setPeers(kinds map[netip.Addr]Kind) {
	var old map[netip.Addr]*flow
	if p := f.peers.Load(); p != nil {
		old = *p
	}
	peers := make(map[netip.Addr]*flow, len(kinds))
	for addr, kind := range kinds {
		if p := old[addr]; p != nil && p.kind == kind {
			peers[addr] = p
			continue
		}
		peers[addr] = &flow{kind: kind}
		if kind == Stock { // nobody measures the path to it
			peers[addr].mtu.Store(stockMTU)
		}
	}
	f.peers.Store(&peers)
}

// flow gives what is known of an address; nil if it is nobody's.
func (f *filtered) flow(addr netip.Addr) *flow { return (*f.peers.Load())[addr] }

// resize tells the size of packets that the path to an address carries.
func (f *filtered) resize(to netip.Addr, mtu int) {
	if p := (*f.peers.Load())[to]; p != nil {
		p.mtu.Store(int32(mtu))
	}
}

// Read gives what leaves the device.
func (f *filtered) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	f.begin.Do(func() { close(f.reading) })
	n, err := f.Device.Read(bufs, sizes, offset)
	var peers map[netip.Addr]*flow
	for i := range n {
		p := bufs[i][offset : offset+sizes[i]]
		if len(p) < ipv6Header+tcpHeader || p[6] != protoTCP || p[ipv6Header+13]&flagSYN == 0 {
			continue
		}
		if peers == nil {
			peers = *f.peers.Load()
		}
		if to := peers[netip.AddrFrom16([16]byte(p[24:40]))]; to != nil && to.mtu.Load() > 0 {
			clampMSS(p, int(to.mtu.Load()))
		}
	}
	return n, err
}

// traffic counts the TCP segments that came from an address.
func (f *filtered) traffic(from netip.Addr) uint64 {
	if p := (*f.peers.Load())[from]; p != nil {
		return p.tcp.Load()
	}
	return 0
}

// leave ends a Write. WireGuard keeps the slice for each peer until the next packet comes, and with it all buffers that
// were ever in it, 64 KiB each, long after it has given them to others: of an idle peer they are held for nothing.
func (f *filtered) leave(bufs [][]byte) {
	clear(bufs)
	if f.came != nil {
		f.came(len(bufs))
	}
}

// Write passes on what the filter lets through. The refused count as written: to WireGuard, dropping is
// what a network does.
func (f *filtered) Write(bufs [][]byte, offset int) (int, error) {
	defer f.leave(bufs)
	peers := *f.peers.Load()
	kept := bufs[:0:len(bufs)] // in place: WireGuard keeps the buffers elsewhere and clears this slice
	for _, b := range bufs {
		var from *flow
		v := dropMalformed
		if len(b) >= offset {
			from, v = inspect(b[offset:], f.self, f.role, peers)
		}
		if v == dropProtocol && f.role == NodeRole {
			b, from, v = f.assemble(b, offset, peers)
		}
		if v == taken {
			p := b[offset:]
			if p[6] == protoFragment {
				continue
			}
			if body, _ := echoed(p); f.echo == nil || !f.echo(netip.AddrFrom16([16]byte(p[8:24])), body) {
				f.dropped[dropProtocol].Inc()
			}
			continue
		}
		if v != pass {
			f.dropped[v].Inc()
			continue
		}
		if p := b[offset:]; p[6] == protoTCP {
			from.tcp.Add(1)
			if mtu := from.mtu.Load(); mtu > 0 {
				clampMSS(p, int(mtu))
			}
		}
		kept = append(kept, b)
	}
	if len(kept) > 0 {
		if n, err := f.Device.Write(kept, offset); err != nil {
			return n, err
		}
	}
	return len(bufs), nil
}
