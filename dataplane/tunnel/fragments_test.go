package tunnel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/tun"
)

var (
	cutFrom = netip.MustParseAddr("fd57:6172:7265:3::1")
	cutTo   = netip.MustParseAddr("fd57:6172:7265:1::1")
)

// udp6 is a packet of IPv6 with a datagram of size bytes.
func udp6(size int, from, to uint16) []byte {
	p := make([]byte, ipv6Header+udpHeader+size)
	p[0], p[6], p[7] = 0x60, protoUDP, 64
	binary.BigEndian.PutUint16(p[4:], uint16(udpHeader+size))
	copy(p[8:], cutFrom.AsSlice())
	copy(p[24:], cutTo.AsSlice())
	u := p[ipv6Header:]
	binary.BigEndian.PutUint16(u, from)
	binary.BigEndian.PutUint16(u[2:], to)
	binary.BigEndian.PutUint16(u[4:], uint16(udpHeader+size))
	for i := range size {
		u[udpHeader+i] = byte(i * 7)
	}
	return p
}

// cut makes fragments of a packet, with so many bytes each.
func cut(p []byte, id uint32, each int) (out [][]byte) {
	rest := p[ipv6Header:]
	for at := 0; at < len(rest); at += each {
		data := rest[at:min(at+each, len(rest))]
		f := append(bytes.Clone(p[:ipv6Header]), make([]byte, fragmentHeader)...)
		f = append(f, data...)
		binary.BigEndian.PutUint16(f[4:], uint16(fragmentHeader+len(data)))
		f[6] = protoFragment
		h := f[ipv6Header:]
		h[0] = p[6]
		where := uint16(at)
		if at+each < len(rest) {
			where |= 1
		}
		binary.BigEndian.PutUint16(h[2:], where)
		binary.BigEndian.PutUint32(h[4:], id)
		out = append(out, f)
	}
	return out
}

func TestFragmentsInAnyOrder(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f fragments
	for _, tt := range []struct{ size, each int }{{3000, 1232}, {1, 8}, {65000, 1232}, {2456, 1232}, {9, 8}} {
		want := udp6(tt.size, 53, 40000)
		parts := cut(want, uint32(tt.size), tt.each)
		rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for i, p := range parts {
			whole, ok := f.add(p, now)
			if last := i == len(parts)-1; !ok || last != (whole != nil) {
				t.Fatalf("%+v, part %d of %d: %v, %d bytes", tt, i, len(parts), ok, len(whole))
			} else if last && !bytes.Equal(whole, want) {
				t.Fatalf("%+v: another packet", tt)
			}
			clear(p) // its bytes are somebody else's
		}
		if len(f.parts) > 0 || f.held != 0 {
			t.Fatalf("%+v: %d datagrams, %d bytes are kept", tt, len(f.parts), f.held)
		}
	}
}

func TestFragmentsThatAreNone(t *testing.T) {
	now := time.Now()
	good := cut(udp6(3000, 53, 40000), 1, 1232)
	edit := func(i int, change func(p []byte) []byte) []byte { return change(bytes.Clone(good[i])) }
	for name, parts := range map[string][][]byte{
		"short":              {good[0][:ipv6Header+fragmentHeader-1]},
		"wrong length":       {good[0][:len(good[0])-1]},
		"of TCP":             {edit(0, func(p []byte) []byte { p[ipv6Header] = protoTCP; return p })},
		"no multiple of 8":   {edit(0, func(p []byte) []byte { p[5]--; return p[:len(p)-1] })},
		"empty":              {edit(2, func(p []byte) []byte { p[4], p[5] = 0, fragmentHeader; return p[:ipv6Header+fragmentHeader] })},
		"beyond all":         {edit(1, func(p []byte) []byte { binary.BigEndian.PutUint16(p[ipv6Header+2:], 0xfff9); return p })},
		"twice":              {good[0], good[0]},
		"over another":       {good[1], edit(0, func(p []byte) []byte { binary.BigEndian.PutUint16(p[ipv6Header+2:], 8|1); return p })},
		"two ends":           {good[2], edit(1, func(p []byte) []byte { p[ipv6Header+3] &^= 1; return p })},
		"behind the end":     {edit(1, func(p []byte) []byte { p[ipv6Header+3] &^= 1; return p }), edit(2, func(p []byte) []byte { p[ipv6Header+3] |= 1; return p })},
		"an end before some": {good[1], edit(0, func(p []byte) []byte { p[ipv6Header+3] &^= 1; return p })},
	} {
		var f fragments
		for i, p := range parts {
			if whole, ok := f.add(p, now); whole != nil || ok != (i < len(parts)-1) {
				t.Errorf("%s, part %d: %v, %d bytes", name, i, ok, len(whole))
			}
		}
		if len(f.parts) > 0 || f.held != 0 {
			t.Errorf("%s: %d datagrams, %d bytes are kept", name, len(f.parts), f.held)
		}
	}
}

// What never becomes whole is kept neither for long nor without bound.
func TestFragmentsAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f fragments
	for id := range uint32(100) { // of one peer
		f.add(cut(udp6(3000, 53, 40000), id, 1232)[0], now)
	}
	if len(f.parts) != fragmentsOfPeer || f.parts[0].id != 100-fragmentsOfPeer {
		t.Errorf("%d datagrams of one peer", len(f.parts))
	}
	for n := range 2000 { // of many
		from := cutFrom.As16()
		binary.BigEndian.PutUint16(from[14:], uint16(n+2))
		for _, p := range cut(udp6(20000, 53, 40000), 7, 1232)[:3] {
			copy(p[8:], from[:])
			f.add(p, now)
		}
		if f.held > fragmentBytes {
			t.Fatalf("%d bytes are kept", f.held)
		}
	}
	if f.held < fragmentBytes/2 {
		t.Errorf("only %d bytes are kept", f.held)
	}
	parts := cut(udp6(3000, 53, 40000), 1, 1232)
	f.add(parts[0], now)
	f.add(parts[1], now)
	if whole, _ := f.add(parts[2], now.Add(fragmentTime)); whole != nil || len(f.parts) != 1 {
		t.Errorf("late: %d bytes, %d datagrams are kept", len(whole), len(f.parts))
	}
}

// sunk is a device that keeps what is written to it.
type sunk struct {
	tun.Device
	got [][]byte
}

func (s *sunk) Events() <-chan tun.Event { return nil }
func (s *sunk) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		s.got = append(s.got, bytes.Clone(b[offset:]))
	}
	return len(bufs), nil
}

// Behind the filter there are whole answers that are awaited, and no fragments.
func TestFilterPutsFragmentsTogether(t *testing.T) {
	dev := &sunk{}
	f := &filtered{Device: dev, self: cutTo, role: NodeRole}
	for v := range f.dropped {
		f.dropped[v] = prometheus.NewCounter(prometheus.CounterOpts{})
	}
	write := func(p []byte, id uint32) {
		t.Helper()
		for _, one := range cut(p, id, 1232) {
			b := append(make([]byte, 16, 1<<16-1), one...)
			if n, err := f.Write([][]byte{b}, 16); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	answer := udp6(3000, 53, 40000)
	f.setPeers(map[netip.Addr]Kind{cutFrom: Stock})
	write(answer, 1)
	if n := counter(t, f.dropped[dropProtocol]); len(dev.got) > 0 || n != 3 || f.parts.held > 0 {
		t.Errorf("nothing is awaited: %d came, %v refused, %d bytes are kept", len(dev.got), n, f.parts.held)
	}
	end := f.flow(cutFrom).await(ports{40000, 53})
	write(answer, 2)
	if len(dev.got) != 1 || !bytes.Equal(dev.got[0], answer) {
		t.Fatalf("%d came", len(dev.got))
	}
	write(udp6(3000, 53, 40001), 3)
	if n := counter(t, f.dropped[dropPort]); len(dev.got) != 1 || n != 1 {
		t.Errorf("to another port: %d came, %v refused", len(dev.got), n)
	}
	largest := udp6(1<<16-1-udpHeader, 53, 40000)
	write(largest, 4) // larger than a buffer of WireGuard's
	if n := counter(t, f.dropped[dropMalformed]); len(dev.got) != 1 || n != 1 {
		t.Errorf("the largest: %d came, %v refused", len(dev.got), n)
	}
	end()
	write(answer, 5)
	f.setPeers(map[netip.Addr]Kind{cutFrom: Connector})
	write(answer, 6)
	if len(dev.got) != 1 {
		t.Errorf("%d came", len(dev.got))
	}
}

// Whatever comes, what is kept is bounded, and what comes out is a datagram.
func FuzzFragments(f *testing.F) {
	for _, p := range cut(udp6(3000, 53, 40000), 1, 1232) {
		f.Add(p, uint16(0), byte(1))
	}
	f.Fuzz(func(t *testing.T, p []byte, where uint16, id byte) {
		var all fragments
		now := time.Unix(1, 0)
		for i := range 8 {
			if len(p) >= ipv6Header+fragmentHeader {
				binary.BigEndian.PutUint16(p[ipv6Header+2:], where*uint16(i)+uint16(i))
				p[ipv6Header+7] = id & byte(i)
			}
			whole, _ := all.add(p, now)
			if whole != nil && (whole[6] != protoUDP || len(whole) != ipv6Header+int(binary.BigEndian.Uint16(whole[4:]))) {
				t.Fatalf("%x", whole)
			}
			held := 0
			for _, d := range all.parts {
				held += d.held
			}
			if held != all.held || held > fragmentBytes {
				t.Fatalf("%d bytes are kept, %d counted", held, all.held)
			}
		}
	})
}
