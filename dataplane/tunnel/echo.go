package tunnel

import (
	"encoding/binary"
	"net/netip"
)

// Echoes of ICMPv6 (RFC 4443 §4): a header of 8 bytes, then a body that comes back as it is.
const (
	protoICMP   = 58
	icmpHeader  = 8
	echoRequest = 128
	echoReply   = 129
	echoBody    = 16 // number and nonce
	echoSize    = ipv6Header + icmpHeader + echoBody
	hopLimit    = 64
)

// echoMark makes out whose echoes are answered: those of this process.
type echoMark struct {
	id    uint16
	nonce uint64
}

// request is a packet that asks an address for an echo.
func (m echoMark) request(from, to netip.Addr, seq uint64) []byte {
	p := make([]byte, echoSize)
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], icmpHeader+echoBody)
	p[6], p[7] = protoICMP, hopLimit
	src, dst := from.As16(), to.As16()
	copy(p[8:], src[:])
	copy(p[24:], dst[:])
	i := p[ipv6Header:]
	i[0] = echoRequest
	binary.BigEndian.PutUint16(i[4:], m.id)
	binary.BigEndian.PutUint16(i[6:], uint16(seq))
	binary.BigEndian.PutUint64(i[icmpHeader:], seq)
	binary.BigEndian.PutUint64(i[icmpHeader+8:], m.nonce)
	binary.BigEndian.PutUint16(i[2:], icmpChecksum(p[8:40], i))
	return p
}

// icmpChecksum is that of RFC 4443 §2.3, over the addresses and a message of even length.
func icmpChecksum(addrs, message []byte) uint16 {
	sum := uint32(len(message)) + protoICMP
	for _, b := range [][]byte{addrs, message} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	return ^uint16(sum)
}

// seq is the number in the body of an answer; false if it answers nothing of ours.
func (m echoMark) seq(body []byte) (uint64, bool) {
	if len(body) != echoBody || binary.BigEndian.Uint64(body[8:]) != m.nonce {
		return 0, false
	}
	return binary.BigEndian.Uint64(body), true
}

// echoed gives the body of an answer to an echo; false if a packet is none. WireGuard vouches for its bytes.
func echoed(p []byte) (body []byte, ok bool) {
	if len(p) != echoSize || p[6] != protoICMP || p[ipv6Header] != echoReply || p[ipv6Header+1] != 0 {
		return nil, false
	}
	return p[ipv6Header+icmpHeader:], true
}
