package tunnel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segment is a TCP packet of a connection, with a valid checksum.
func tcpPacket(from, to netip.AddrPort, seq uint32, flags header.TCPFlags, body []byte, edit ...func(header.IPv6, header.TCP)) []byte {
	options := []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2} // timestamps, as every segment has
	size := header.TCPMinimumSize + len(options) + len(body)
	p := make([]byte, header.IPv6MinimumSize+size)
	ip, tcp := header.IPv6(p), header.TCP(p[header.IPv6MinimumSize:])
	ip.Encode(&header.IPv6Fields{
		PayloadLength: uint16(size), TransportProtocol: header.TCPProtocolNumber, HopLimit: 64,
		SrcAddr: tcpip.AddrFrom16(from.Addr().As16()), DstAddr: tcpip.AddrFrom16(to.Addr().As16()),
	})
	tcp.Encode(&header.TCPFields{
		SrcPort: from.Port(), DstPort: to.Port(), SeqNum: seq, AckNum: 77, DataOffset: uint8(header.TCPMinimumSize + len(options)), Flags: flags, WindowSize: 500,
	})
	copy(tcp[header.TCPMinimumSize:], options)
	copy(tcp[header.TCPMinimumSize+len(options):], body)
	for _, f := range edit {
		f(ip, tcp)
	}
	setChecksum(ip, tcp)
	return p
}

// joined is what a coalescer makes of packets, and how many it dropped.
func joined(packets ...[]byte) (out [][]byte, dropped int) {
	c := coalescer{deliver: func(b buffer.Buffer) { out = append(out, b.Flatten()); b.Release() }}
	for _, p := range packets {
		if !c.add(p) {
			dropped++
		}
	}
	c.flush()
	return out, dropped
}

func content(p []byte) []byte {
	tcp := header.TCP(p[header.IPv6MinimumSize:])
	return tcp[tcp.DataOffset():]
}

var (
	connA = netip.AddrPortFrom(us, 4711)
	connB = netip.AddrPortFrom(us, 4712)
	away  = netip.AddrPortFrom(theirConn, 80)
)

func TestSegmentsAreJoinedAgain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		body := make([]byte, 1+rnd.IntN(60_000))
		for i := range body {
			body[i] = byte(rnd.Uint32())
		}
		mss := 1 + rnd.IntN(1400)
		flags := header.TCPFlagAck | header.TCPFlags(rnd.IntN(2))*header.TCPFlagPsh | header.TCPFlags(rnd.IntN(2))*header.TCPFlagFin
		whole := tcpPacket(connA, away, rnd.Uint32(), flags, body)
		header.TCP(whole[header.IPv6MinimumSize:]).SetChecksum(0x1234) // the stack leaves something unfinished there
		var wire [][]byte
		var cut segmenter
		at := header.IPv6MinimumSize + 32 + rnd.IntN(len(body)+1) // the stack's packets come in pieces
		if !cut.start([][]byte{whole[:at], whole[at:]}, mss) {
			t.Fatal("not a packet of TCP")
		}
		for done := false; !done; {
			p := make([]byte, 2000)
			var n int
			n, done = cut.next(p)
			p = p[:n]
			if !isTCP(p) || !validChecksum(p, p[header.IPv6MinimumSize:]) {
				t.Fatalf("segment %d of %d bytes by %d is not valid", len(wire), len(body), mss)
			}
			if len(content(p)) > mss || !done && len(content(p)) != mss {
				t.Fatalf("segment %d of %d bytes by %d has %d", len(wire), len(body), mss, len(content(p)))
			}
			if got := header.TCP(p[header.IPv6MinimumSize:]).Flags(); !done && got != header.TCPFlagAck || done && got != flags {
				t.Fatalf("segment %d, last %v: flags %v of %v", len(wire), done, got, flags)
			}
			wire = append(wire, p)
		}
		if want := (len(body) + mss - 1) / mss; len(wire) != want {
			t.Fatalf("%d bytes by %d: %d segments, want %d", len(body), mss, len(wire), want)
		}
		out, dropped := joined(wire...)
		if len(out) != 1 || dropped != 0 {
			t.Fatalf("%d bytes by %d: %d packets after joining, %d dropped", len(body), mss, len(out), dropped)
		}
		for _, p := range [][]byte{out[0], whole} { // nobody looks at it any more
			header.TCP(p[header.IPv6MinimumSize:]).SetChecksum(0)
		}
		if !bytes.Equal(out[0], whole) {
			t.Fatalf("%d bytes by %d are not what they were", len(body), mss)
		}
	}
}

func TestWhatIsNotJoined(t *testing.T) {
	ack, psh := header.TCPFlagAck, header.TCPFlagAck|header.TCPFlagPsh
	a := func(seq uint32, size int, flags header.TCPFlags, edit ...func(header.IPv6, header.TCP)) []byte {
		return tcpPacket(connA, away, seq, flags, bytes.Repeat([]byte{byte(seq)}, size), edit...)
	}
	b := func(seq uint32, size int) []byte { return tcpPacket(connB, away, seq, ack, make([]byte, size)) }
	var many [][]byte
	for i := range 60 {
		many = append(many, a(uint32(i)*1200, 1200, ack))
	}
	for _, tt := range []struct {
		name string
		in   [][]byte
		want []int // content of each packet
	}{
		{"in order", [][]byte{a(0, 100, ack), a(100, 100, ack), a(200, 100, ack)}, []int{300}},
		{"two connections, mixed", [][]byte{a(0, 100, ack), b(0, 50), a(100, 100, ack), b(50, 50)}, []int{200, 100}},
		{"a gap", [][]byte{a(0, 100, ack), a(200, 100, ack)}, []int{100, 100}},
		{"again", [][]byte{a(0, 100, ack), a(0, 100, ack)}, []int{100, 100}},
		{"across the end of the numbers", [][]byte{a(1<<32-50, 50, ack), a(0, 50, ack)}, []int{100}},
		{"a small one ends it", [][]byte{a(0, 100, ack), a(100, 30, ack), a(130, 100, ack)}, []int{130, 100}},
		{"a large one is another", [][]byte{a(0, 100, ack), a(100, 101, ack)}, []int{100, 101}},
		{"push ends it", [][]byte{a(0, 100, ack), a(100, 100, psh), a(200, 100, ack)}, []int{200, 100}},
		{"push first", [][]byte{a(0, 100, psh), a(100, 100, ack)}, []int{100, 100}},
		{"no content", [][]byte{a(0, 0, ack), a(0, 0, ack), a(0, 100, ack)}, []int{0, 0, 100}},
		{"connecting", [][]byte{a(0, 100, header.TCPFlagSyn), a(101, 100, ack)}, []int{100, 100}},
		{"reset", [][]byte{a(0, 100, ack), a(100, 100, ack|header.TCPFlagRst)}, []int{100, 100}},
		{"urgent", [][]byte{a(0, 100, ack), a(100, 100, ack|header.TCPFlagUrg)}, []int{100, 100}},
		{"congestion was noted", [][]byte{a(0, 100, ack), a(100, 100, ack|header.TCPFlagCwr)}, []int{100, 100}},
		{"another acknowledgement", [][]byte{a(0, 100, ack), a(100, 100, ack, func(_ header.IPv6, t header.TCP) { t.SetAckNumber(78) })}, []int{100, 100}},
		{"another window", [][]byte{a(0, 100, ack), a(100, 100, ack, func(_ header.IPv6, t header.TCP) { t.SetWindowSize(501) })}, []int{100, 100}},
		{"another timestamp", [][]byte{a(0, 100, ack), a(100, 100, ack, func(_ header.IPv6, t header.TCP) { t[27]++ })}, []int{100, 100}},
		{"another hop limit", [][]byte{a(0, 100, ack), a(100, 100, ack, func(ip header.IPv6, _ header.TCP) { ip.SetHopLimit(63) })}, []int{100, 100}},
		{"congestion on the way", [][]byte{a(0, 100, ack), a(100, 100, ack, func(ip header.IPv6, _ header.TCP) { ip.SetTOS(3, 0) })}, []int{100, 100}},
		{"no more than a header can say", many, []int{54 * 1200, 6 * 1200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, dropped := joined(tt.in...)
			var got []int
			for _, p := range out {
				if !isTCP(p) {
					t.Fatalf("not a packet: %x", p[:40])
				}
				got = append(got, len(content(p)))
			}
			if !slices.Equal(got, tt.want) || dropped > 0 {
				t.Errorf("contents %v, want %v; %d dropped", got, tt.want, dropped)
			}
		})
	}
}

func TestMoreConnectionsThanAreFollowed(t *testing.T) {
	var in [][]byte
	for round := range uint32(3) {
		for i := range uint16(3 * runs) {
			in = append(in, tcpPacket(netip.AddrPortFrom(us, 1000+i), away, round*10, header.TCPFlagAck, []byte("0123456789")))
		}
	}
	out, dropped := joined(in...)
	if len(out) != len(in) || dropped > 0 {
		t.Fatalf("%d packets, %d dropped", len(out), dropped)
	}
	next := map[uint16]uint32{}
	for _, p := range out {
		tcp := header.TCP(p[header.IPv6MinimumSize:])
		if tcp.SequenceNumber() != next[tcp.SourcePort()] {
			t.Errorf("port %d: number %d, want %d", tcp.SourcePort(), tcp.SequenceNumber(), next[tcp.SourcePort()])
		}
		next[tcp.SourcePort()] += 10
	}
}

func TestWrongChecksumIsALoss(t *testing.T) {
	bad := tcpPacket(connA, away, 100, header.TCPFlagAck, []byte("second"))
	bad[len(bad)-1]++
	udp := make([]byte, header.IPv6MinimumSize+header.UDPMinimumSize+4)
	header.IPv6(udp).Encode(&header.IPv6Fields{
		PayloadLength: 12, TransportProtocol: header.UDPProtocolNumber, HopLimit: 64, SrcAddr: tcpip.AddrFrom16(us.As16()), DstAddr: tcpip.AddrFrom16(theirConn.As16()),
	})
	header.UDP(udp[header.IPv6MinimumSize:]).Encode(&header.UDPFields{SrcPort: 1, DstPort: 2, Length: 12})
	good := bytes.Clone(udp)
	header.UDP(good[header.IPv6MinimumSize:]).SetChecksum(^sum(good, good[header.IPv6MinimumSize:]))
	out, dropped := joined(tcpPacket(connA, away, 94, header.TCPFlagAck, []byte("first!")), bad, udp, good)
	if len(out) != 2 || dropped != 2 {
		t.Errorf("%d packets, %d dropped, want 2 and 2", len(out), dropped)
	}
}

func TestLinkDropsWhatDoesNotFit(t *testing.T) {
	l := newLink(mtu)
	var list stack.PacketBufferList
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(make([]byte, 1<<20))})
	defer pkt.DecRef()
	for range 40 {
		list.PushBack(pkt)
	}
	n, err := l.WritePackets(list)
	if _, full := err.(*tcpip.ErrNoBufferSpace); !full || n != linkBytes>>20+1 {
		t.Errorf("%d MiB were taken, error %v", n, err)
	}
	for _, p := range l.take(nil) {
		p.DecRef()
		n--
	}
	if n != 0 {
		t.Errorf("%d more were taken than came out", n)
	}
	if n, err := l.WritePackets(list); n == 0 || err == nil {
		t.Errorf("an empty queue took %d, error %v", n, err)
	}
	l.shut()
	if got := l.take(nil); len(got) > 0 {
		t.Errorf("%d packets after the end", len(got))
	}
	if _, err := l.WritePackets(list); err == nil {
		t.Error("packets were taken after the end")
	}
}

// Packets come from peers: what is in them is theirs to choose.
func FuzzCoalescer(f *testing.F) {
	pack := func(ps ...[]byte) (out []byte) {
		for _, p := range ps {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(p))), p...)
		}
		return out
	}
	one, two := tcpPacket(connA, away, 1, header.TCPFlagAck, []byte("ab")), tcpPacket(connA, away, 3, header.TCPFlagAck, []byte("cd"))
	f.Add(pack(one, two), false)
	f.Add(pack(one, one[:50], two[:41], nil, two), true)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		var in [][]byte
		want := 0
		for len(data) >= 2 && len(in) < 128 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			p := bytes.Clone(data[2 : 2+n])
			data = data[2+n:]
			if mend && isTCP(p) { // or no wrong checksum would let anything through
				setChecksum(p, p[header.IPv6MinimumSize:])
			}
			in = append(in, p)
			if !isTCP(p) {
				want += len(p)
			} else {
				want += len(content(p))
			}
		}
		out, dropped := joined(in...)
		got := 0
		for _, p := range out {
			if !isTCP(p) {
				got += len(p)
			} else {
				got += len(content(p))
			}
		}
		if got > want || dropped == 0 && got != want {
			t.Errorf("%d bytes of %d, %d of %d packets dropped", got, want, dropped, len(in))
		}
	})
}

// The stack's own packets: whatever their size and options, each byte is sent once.
func FuzzSegmenter(f *testing.F) {
	f.Add(tcpPacket(connA, away, 1, header.TCPFlagAck, make([]byte, 5000)), uint16(1208))
	f.Add(tcpPacket(connA, away, 1, header.TCPFlagAck|header.TCPFlagFin, nil), uint16(0))
	f.Fuzz(func(t *testing.T, p []byte, mss uint16) {
		if !isTCP(p) {
			return
		}
		var got []byte
		dst := make([]byte, len(p))
		var cut segmenter
		if !cut.start([][]byte{p}, int(mss)) {
			t.Fatal("not a packet of TCP")
		}
		for done := false; !done; {
			var n int
			n, done = cut.next(dst)
			if !isTCP(dst[:n]) || !validChecksum(dst[:n], dst[header.IPv6MinimumSize:n]) {
				t.Fatalf("not valid: %x", dst[:n])
			}
			got = append(got, content(dst[:n])...)
		}
		if !bytes.Equal(got, content(p)) {
			t.Errorf("sent %d bytes of %d", len(got), len(content(p)))
		}
	})
}
