package tunnel

import "encoding/binary"

// Options of TCP (RFC 9293 §3.1).
const (
	optionEnd  = 0
	optionNOP  = 1
	optionMSS  = 2
	mssSize    = 4  // of the option
	mssHeaders = 60 // of IPv6 and TCP, which MSS does not count
)

// clampMSS lowers the maximum segment size that a SYN announces to what fits in packets of mtu bytes, so
// that the connection needs nobody to tell it of a smaller path. The packet is one of IPv6 with TCP behind
// its header. It reports whether it changed anything.
func clampMSS(p []byte, mtu int) bool {
	if len(p) < ipv6Header+tcpHeader || p[6] != protoTCP || p[ipv6Header+13]&flagSYN == 0 {
		return false
	}
	t := p[ipv6Header:]
	size := int(t[12]>>4) * 4
	if size < tcpHeader || size > len(t) {
		return false
	}
	for at := tcpHeader; at < size; {
		switch kind := t[at]; {
		case kind == optionEnd:
			return false
		case kind == optionNOP:
			at++
			continue
		case at+1 >= size || t[at+1] < 2 || at+int(t[at+1]) > size: // malformed: the stack may judge it
			return false
		case kind == optionMSS && t[at+1] == mssSize:
			have, want := binary.BigEndian.Uint16(t[at+2:]), uint16(mtu-mssHeaders)
			if have <= want {
				return false
			}
			binary.BigEndian.PutUint16(t[at+2:], want)
			fixChecksum(t[16:18], have, want, at%2 != 0)
			return true
		}
		at += int(t[at+1])
	}
	return false
}

// fixChecksum is RFC 1624 §3 for one field of 16 bits. At an odd place its octets count the other way
// round.
func fixChecksum(sum []byte, have, want uint16, odd bool) {
	if odd {
		have, want = have<<8|have>>8, want<<8|want>>8
	}
	n := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^have) + uint32(want)
	n = n&0xffff + n>>16
	n = n&0xffff + n>>16
	binary.BigEndian.PutUint16(sum, ^uint16(n))
}
