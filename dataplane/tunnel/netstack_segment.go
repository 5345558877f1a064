package tunnel

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// segmenter cuts one large TCP packet into those that go on the wire (generic segmentation offload, as
// described in https://docs.kernel.org/networking/segmentation-offloads.html).
type segmenter struct {
	head [header.IPv6MinimumSize + header.TCPHeaderMaximumSize]byte
	size int      // of head in use: IPv6 and TCP header
	body [][]byte // what is to be sent, from at on
	at   int
	left int // bytes of body
	mss  int
	seq  uint32          // of the first byte of body
	last header.TCPFlags // of the last segment
}

// lastOnly are the flags that only the last segment of several keeps.
const lastOnly = header.TCPFlagFin | header.TCPFlagPsh

// start begins with a packet of IPv6 and TCP, in pieces of which the first holds both headers, to be cut
// into segments of mss bytes of content; 0 means that it is not to be cut. The pieces are used until next
// has given the last segment. It is false if the packet is something else.
func (s *segmenter) start(packet [][]byte, mss int) bool {
	total := 0
	for _, b := range packet {
		total += len(b)
	}
	if len(packet) == 0 || !hasTCP(packet[0], total) {
		return false
	}
	tcp := header.TCP(packet[0][header.IPv6MinimumSize:])
	s.size = header.IPv6MinimumSize + int(tcp.DataOffset())
	copy(s.head[:], packet[0][:s.size])
	s.body = append(s.body[:0], packet[0][s.size:])
	s.body = append(s.body, packet[1:]...)
	s.at, s.left, s.mss, s.seq, s.last = 0, total-s.size, mss, tcp.SequenceNumber(), tcp.Flags()
	if s.mss == 0 {
		s.mss = s.left
	}
	return true
}

// next writes the next segment, checksum included, and returns its size and whether it was the last. dst
// has room for headers and mss.
func (s *segmenter) next(dst []byte) (size int, done bool) {
	n := min(s.mss, s.left)
	done = n == s.left
	size = copy(dst, s.head[:s.size])
	for end := size + n; size < end; {
		c := copy(dst[size:end], s.body[s.at])
		size += c
		if s.body[s.at] = s.body[s.at][c:]; len(s.body[s.at]) == 0 {
			s.at++
		}
	}
	ip, tcp := header.IPv6(dst[:size]), header.TCP(dst[header.IPv6MinimumSize:size])
	ip.SetPayloadLength(uint16(len(tcp)))
	tcp.SetSequenceNumber(s.seq)
	flags := s.last
	if !done {
		flags &^= lastOnly
	}
	tcp.SetFlags(uint8(flags))
	setChecksum(ip, tcp)
	s.seq, s.left = s.seq+uint32(n), s.left-n
	return size, done
}

// setChecksum computes the checksum of a TCP segment (RFC 9293 §3.1, RFC 8200 §8.1).
func setChecksum(ip header.IPv6, tcp header.TCP) {
	tcp.SetChecksum(0)
	tcp.SetChecksum(^sum(ip, tcp))
}

// validChecksum verifies that of TCP or UDP.
func validChecksum(ip header.IPv6, content []byte) bool { return sum(ip, content) == 0xffff }

// sum is the ones' complement sum over pseudo-header and content.
func sum(ip header.IPv6, content []byte) uint16 {
	var pseudo [8]byte
	binary.BigEndian.PutUint32(pseudo[:], uint32(len(content)))
	pseudo[7] = ip.NextHeader()
	s := checksum.Checksum(ip[8:header.IPv6MinimumSize], 0) // the two addresses stand side by side
	return checksum.Checksum(content, checksum.Checksum(pseudo[:], s))
}

// isTCP reports whether a packet is IPv6 with a complete TCP header right behind it.
func isTCP(p []byte) bool { return hasTCP(p, len(p)) }

// hasTCP is isTCP for a packet of which only the beginning is given.
func hasTCP(p []byte, size int) bool {
	if !carries(p, size, header.TCPProtocolNumber, header.TCPMinimumSize) {
		return false
	}
	off := int(p[header.IPv6MinimumSize+12]>>4) * 4
	return off >= header.TCPMinimumSize && header.IPv6MinimumSize+off <= len(p)
}

// isUDP is isTCP for UDP.
func isUDP(p []byte) bool { return carries(p, len(p), header.UDPProtocolNumber, header.UDPMinimumSize) }

func carries(p []byte, size int, content tcpip.TransportProtocolNumber, least int) bool {
	return len(p) >= header.IPv6MinimumSize+least && p[0]>>4 == 6 && header.IPv6(p).TransportProtocol() == content &&
		int(header.IPv6(p).PayloadLength())+header.IPv6MinimumSize == size
}
