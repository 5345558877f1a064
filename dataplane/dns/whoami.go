package dns

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// whoAmI is the question, of class CH and type TXT, for the address and port that it comes from: whoever asks several nodes
// from one socket knows what a NAT makes of it.
var whoAmI = []byte("\x06whoami\x06warren\x00\x00\x10\x00\x03")

// sender answers that question; the packet is nil if it is another one. It touches nothing but its arguments.
func sender(query []byte, from netip.AddrPort, buf []byte) reply {
	if len(query) < headerSize || !bytes.HasPrefix(query[headerSize:], whoAmI) || query[2]&0xF8 != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return reply{}
	}
	q, opt, ok := parse(query)
	if !ok || !from.IsValid() {
		return reply{}
	}
	at := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	m := dns.Msg{Question: []dns.Question{q}, Answer: []dns.RR{
		&dns.TXT{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}, Txt: []string{at.String()}},
	}}
	m.Id = binary.BigEndian.Uint16(query)
	m.Response, m.RecursionDesired = true, query[2]&1 != 0
	return pack(&m, query, opt, opt.limit(udpSize), buf)
}
