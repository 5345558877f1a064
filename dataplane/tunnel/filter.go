package tunnel

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// FilterRole says which packets a device lets in.
type FilterRole int

// Roles.
const (
	NodeRole      FilterRole = iota + 1 // streams of other nodes to the relay port; answers of connectors and relays
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
	dropVersion           // IPv4 or something else
	dropMalformed         // lengths or flags that can't be
	dropProtocol          // not TCP directly after the IPv6 header: extension headers and fragments too
	dropSource            // from nobody who is configured
	dropAddress           // not to us
	dropPort              // to or from a port that is none of theirs
	verdicts              // their number
)

func (v verdict) String() string {
	return [...]string{"pass", "version", "malformed", "protocol", "source", "address", "port"}[v]
}

const (
	ipv6Header = 40
	tcpHeader  = 20
	protoTCP   = 6

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// inspect judges one packet that came out of a tunnel, before any stack sees it. WireGuard has already
// checked that the source address belongs to the peer whose key the packet was sealed with. It keeps no
// state: a packet that opens a connection is told from one that answers by its flags.
func inspect(p []byte, self netip.Addr, role FilterRole, peers map[netip.Addr]Kind) verdict {
	if len(p) == 0 || p[0]>>4 != 6 {
		return dropVersion
	}
	if len(p) < ipv6Header || int(binary.BigEndian.Uint16(p[4:]))+ipv6Header != len(p) {
		return dropMalformed
	}
	if p[6] != protoTCP {
		return dropProtocol
	}
	kind, ok := peers[netip.AddrFrom16([16]byte(p[8:24]))]
	if !ok {
		return dropSource
	}
	if netip.AddrFrom16([16]byte(p[24:40])) != self {
		return dropAddress
	}
	t := p[ipv6Header:]
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
		}
	case ConnectorRole:
		if kind == Node && to == fabric.ConnectorPort {
			return pass
		}
	}
	return dropPort
}

// filtered is a device behind the filter. What leaves the device is not filtered: it is our own.
type filtered struct {
	tun.Device
	self    netip.Addr
	role    FilterRole
	peers   atomic.Pointer[map[netip.Addr]Kind] // replaced whole
	dropped [verdicts]prometheus.Counter
	events  chan tun.Event
}

// newFiltered puts a filter that lets nothing in before a device.
func newFiltered(dev tun.Device, self netip.Addr, role FilterRole, dropped [verdicts]prometheus.Counter) *filtered {
	f := &filtered{Device: dev, self: self, role: role, dropped: dropped, events: make(chan tun.Event)}
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

// Events gives what follow passes on. WireGuard reads it until it is closed.
func (f *filtered) Events() <-chan tun.Event { return f.events }

func (f *filtered) setPeers(peers map[netip.Addr]Kind) { f.peers.Store(&peers) }

// Write passes on what the filter lets through. The refused count as written: to WireGuard, dropping is
// what a network does.
func (f *filtered) Write(bufs [][]byte, offset int) (int, error) {
	peers := *f.peers.Load()
	kept := bufs[:0:len(bufs)] // in place: WireGuard keeps the buffers elsewhere and clears this slice
	for _, b := range bufs {
		v := dropMalformed
		if len(b) >= offset {
			v = inspect(b[offset:], f.self, f.role, peers)
		}
		if v != pass {
			f.dropped[v].Inc()
			continue
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
