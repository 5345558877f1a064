package tunnel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of fragments that wait for others. When there is no room, who waits longest has to go.
const (
	fragmentBytes   = 1 << 20         // of all peers
	fragmentsOfPeer = 4               // datagrams of one peer
	fragmentTime    = 2 * time.Second // what was lost by then comes no more

	protoFragment  = 44
	fragmentHeader = 8
	fragmentRoom   = 256 // what keeping one costs beside its bytes
)

// assemble takes a part of a datagram from a stock peer of which datagrams are awaited, in the place of what was refused.
// What it returns is the whole one, as it is judged, if this was the last part.
func (f *filtered) assemble(b []byte, offset int, peers map[netip.Addr]*flow) ([]byte, *flow, verdict) {
	p := b[offset:]
	if p[6] != protoFragment {
		return b, nil, dropProtocol
	}
	from := peers[netip.AddrFrom16([16]byte(p[8:24]))]
	if from == nil || from.kind != Stock || from.open.Load() == 0 || netip.AddrFrom16([16]byte(p[24:40])) != f.self {
		return b, from, dropProtocol
	}
	whole, ok := f.parts.add(p, time.Now())
	switch {
	case !ok:
		return b, from, dropMalformed
	case whole == nil:
		return b, from, taken
	case len(whole) > cap(b)-offset:
		return b, from, dropMalformed
	}
	b = append(b[:offset], whole...)
	from, v := inspect(b[offset:], f.self, f.role, peers)
	return b, from, v
}

// fragments puts datagrams of stock peers together again, as only the first part of one says to and from which port it
// is: behind the filter there are no fragments, so no stack has to be trusted with them. Safe for concurrent use.
type fragments struct {
	mu    sync.Mutex
	parts []*parted // guarded by mu; longest waiting first
	held  int       // guarded by mu; bytes
}

// parted is a datagram of which parts are missing.
type parted struct {
	from  netip.Addr
	id    uint32
	begun time.Time
	head  []byte // the IPv6 header of the first part that came
	parts []part // in order, none of them over another
	size  int    // of the parts
	whole int    // what the size is to be; 0: the last part is not there yet
	held  int
}

type part struct {
	at   int
	data []byte
}

// add takes a fragment of a UDP datagram, with its IPv6 header. It returns the whole packet if this was what was missing,
// and whether the fragment makes any sense.
func (f *fragments) add(p []byte, now time.Time) (whole []byte, ok bool) {
	if len(p) < ipv6Header+fragmentHeader || int(binary.BigEndian.Uint16(p[4:]))+ipv6Header != len(p) {
		return nil, false
	}
	h := p[ipv6Header:]
	where := binary.BigEndian.Uint16(h[2:])
	more, one := where&1 != 0, part{int(where &^ 7), h[fragmentHeader:]}
	end := one.at + len(one.data)
	if h[0] != protoUDP || len(one.data) == 0 || more && len(one.data)%8 != 0 || end > 1<<16-1 {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expireLocked(now)
	d := f.findLocked(netip.AddrFrom16([16]byte(p[8:24])), binary.BigEndian.Uint32(h[4:]), p, now)
	i, _ := slices.BinarySearchFunc(d.parts, one.at, func(p part, at int) int { return p.at - at })
	over := i > 0 && d.parts[i-1].at+len(d.parts[i-1].data) > one.at || i < len(d.parts) && d.parts[i].at < end
	if over || !more && d.whole > 0 || d.whole > 0 && end > d.whole || !more && len(d.parts) > i {
		f.dropLocked(d) // RFC 8200 §4.5: of parts that lie over each other nothing is taken
		return nil, false
	}
	if !more {
		d.whole = end
	}
	d.size += len(one.data)
	if d.size != d.whole {
		f.keepLocked(d, i, one)
		return nil, true
	}
	f.dropLocked(d)
	return d.join(slices.Insert(d.parts, i, one)), true
}

// join makes the packet that was cut.
func (d *parted) join(parts []part) []byte {
	p := append(make([]byte, 0, ipv6Header+d.whole), d.head...)
	binary.BigEndian.PutUint16(p[4:], uint16(d.whole))
	p[6] = protoUDP
	for _, one := range parts {
		p = append(p, one.data...)
	}
	return p
}

// findLocked gives the datagram to which a packet belongs; a new one if there is none.
func (f *fragments) findLocked(from netip.Addr, id uint32, p []byte, now time.Time) *parted {
	of, oldest := 0, (*parted)(nil)
	for _, d := range f.parts {
		if d.from != from {
			continue
		}
		if d.id == id {
			return d
		}
		if of++; oldest == nil {
			oldest = d
		}
	}
	if of >= fragmentsOfPeer {
		f.dropLocked(oldest)
	}
	d := &parted{from: from, id: id, begun: now, head: slices.Clone(p[:ipv6Header])}
	f.parts = append(f.parts, d)
	return d
}

// keepLocked keeps a part, whose bytes are somebody else's.
func (f *fragments) keepLocked(d *parted, i int, one part) {
	one.data = slices.Clone(one.data)
	d.parts = slices.Insert(d.parts, i, one)
	d.held += len(one.data) + fragmentRoom
	f.held += len(one.data) + fragmentRoom
	for f.held > fragmentBytes {
		f.dropLocked(f.parts[0])
	}
}

func (f *fragments) dropLocked(d *parted) {
	if i := slices.Index(f.parts, d); i >= 0 {
		f.parts = slices.Delete(f.parts, i, i+1)
		f.held -= d.held
	}
}

func (f *fragments) expireLocked(now time.Time) {
	for len(f.parts) > 0 {
		if age := now.Sub(f.parts[0].begun); age >= 0 && age < fragmentTime {
			return
		}
		f.dropLocked(f.parts[0])
	}
}
