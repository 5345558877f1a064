package tunnel

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// withOptions is a packet with TCP options, padded to whole words, and a right checksum.
func withOptions(flags byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, optionEnd)
	}
	p := append(packet(otherNode, us, 50000, 7100, flags), options...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6Header))
	p[52] = byte(len(p)-ipv6Header) / 4 << 4
	setTCPChecksum(p)
	return p
}

func setTCPChecksum(p []byte) {
	sum := p[ipv6Header+16:]
	sum[0], sum[1] = 0, 0
	binary.BigEndian.PutUint16(sum, ^checksum.Checksum(p[ipv6Header:], pseudo(p)))
}

func pseudo(p []byte) uint16 {
	ip := header.IPv6(p)
	return header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(p)-ipv6Header))
}

func checksumIsRight(p []byte) bool {
	return checksum.Checksum(p[ipv6Header:], pseudo(p)) == 0xffff
}

func TestClampMSS(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    []byte
		mtu   int
		place int // of MSS; 0: unchanged
	}{
		{"SYN", withOptions(syn, 2, 4, 0x05, 0x50), 1300, 62},
		{"SYN and ACK", withOptions(synAck, 2, 4, 0x05, 0x50), 1300, 62},
		{"behind others", withOptions(syn, 3, 3, 7, 1, 4, 2, 2, 4, 0x05, 0x50), 1300, 68},
		{"at an odd place", withOptions(syn, 1, 2, 4, 0x05, 0x50), 1300, 63},
		{"smaller already", withOptions(syn, 2, 4, 0x04, 0xd8), 1300, 0},
		{"no option", withOptions(syn), 1300, 0},
		{"behind the end", withOptions(syn, 0, 0, 0, 0, 2, 4, 0x05, 0x50), 1300, 0},
		{"no SYN", withOptions(ack, 2, 4, 0x05, 0x50), 1300, 0},
		{"option without length", withOptions(syn, 1, 1, 1, 2), 1300, 0},
		{"option of length 0", withOptions(syn, 3, 0, 2, 4, 0x05, 0x50), 1300, 0},
		{"option beyond the end", withOptions(syn, 3, 9, 2, 4, 0x05, 0x50), 1300, 0},
		{"MSS of three octets", withOptions(syn, 2, 3, 0x05), 1300, 0},
		{"heartbeat", heartbeat(otherNode, us, 7102, 7102, 60), 1300, 0},
		{"short", []byte{0x60}, 1300, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := bytes.Clone(tt.in)
			if tt.place > 0 {
				binary.BigEndian.PutUint16(want[tt.place:], uint16(tt.mtu-60))
				setTCPChecksum(want)
			}
			if got := clampMSS(tt.in, tt.mtu); got != (tt.place > 0) || !bytes.Equal(tt.in, want) {
				t.Errorf("%v\n%x, want\n%x", got, tt.in, want)
			}
		})
	}
}

// Nothing but the value of an MSS option in a SYN and the checksum ever changes; a right checksum stays right.
func FuzzClampMSS(f *testing.F) {
	f.Add(withOptions(syn, 2, 4, 0x05, 0x50), true)
	f.Add(withOptions(synAck, 1, 2, 4, 0xff, 0xff), true)
	f.Add(withOptions(syn, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0x05, 0xb4), true)
	f.Add([]byte{0x60}, false)
	f.Fuzz(func(t *testing.T, p []byte, right bool) {
		whole := len(p) >= ipv6Header+tcpHeader && len(p) < 1<<16
		if right && whole {
			setTCPChecksum(p)
		}
		before := bytes.Clone(p)
		if !clampMSS(p, 1300) {
			if !bytes.Equal(p, before) {
				t.Fatal("changed, and says it did not")
			}
			return
		}
		if right && whole && !checksumIsRight(p) {
			t.Fatalf("checksum is wrong: %x", p)
		}
		var places []int
		for i := range p {
			if p[i] != before[i] && i != ipv6Header+16 && i != ipv6Header+17 {
				places = append(places, i)
			}
		}
		if len(p) != len(before) || len(places) == 0 || places[len(places)-1]-places[0] > 1 || places[0] < ipv6Header+tcpHeader || before[ipv6Header+13]&syn == 0 {
			t.Fatalf("%x became %x", before, p)
		}
	})
}
