package dns

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const headerSize = 12

// A reply is what respond makes of a query; a nil packet means that the query is dropped.
type reply struct {
	packet    []byte
	rcode     int
	truncated bool
	read      bool   // the query could be; the question is repeated, and so is its OPT record, last of all
	opt       edns   // of the query
	about     string // in lower case, the name that is asked for, if it exists
}

// respond answers one packet, of which nothing is trusted. most bounds the answer for the transport; buf
// may be used for it. It touches nothing but its arguments. v may be nil.
func respond(v *view, query []byte, most int, turn uint32, now time.Time, buf []byte) reply {
	// An answer to an answer could run for ever between two servers.
	if len(query) < headerSize || query[2]&0x80 != 0 {
		return reply{}
	}
	switch int(query[2] >> 3 & 0xF) {
	case dns.OpcodeQuery:
	case dns.OpcodeNotify, dns.OpcodeUpdate: // zones change through the control plane alone
		return headerOnly(query, dns.RcodeRefused, buf)
	default:
		return headerOnly(query, dns.RcodeNotImplemented, buf)
	}
	q, opt, ok := parse(query)
	if !ok {
		return headerOnly(query, dns.RcodeFormatError, buf)
	}
	var a answer
	switch {
	case opt.version > 0:
		a.rcode = dns.RcodeBadVers
	case q.Qclass != dns.ClassINET, q.Qtype == dns.TypeAXFR, q.Qtype == dns.TypeIXFR:
		a.rcode = dns.RcodeRefused
	case v == nil:
		a.rcode = dns.RcodeServerFailure
	default:
		a = v.lookup(q.Name, q.Qtype, turn, now)
	}
	m := dns.Msg{Question: []dns.Question{q}, Answer: a.answer, Ns: a.authority, Extra: a.additional, Compress: true}
	m.Id = binary.BigEndian.Uint16(query)
	m.Response = true
	m.RecursionDesired = query[2]&1 != 0
	m.Authoritative = a.authoritative
	m.Rcode = a.rcode
	r := pack(&m, query, opt, opt.limit(most), buf)
	if a.rcode == dns.RcodeSuccess {
		r.about = strings.ToLower(q.Name)
	}
	return r
}

// parse reads the one question and the EDNS part of a query, strictly: every count of the header is held
// against what is there, and names in the question are not compressed. Trailing octets are ignored.
func parse(query []byte) (q dns.Question, opt edns, ok bool) {
	count := func(i int) int { return int(binary.BigEndian.Uint16(query[4+2*i:])) }
	if count(0) != 1 || count(1) != 0 {
		return q, opt, false
	}
	end := nameEnd(query, headerSize)
	if end < 0 || end+4 > len(query) {
		return q, opt, false
	}
	var err error
	if q.Name, _, err = dns.UnpackDomainName(query, headerSize); err != nil {
		return q, opt, false
	}
	q.Qtype = binary.BigEndian.Uint16(query[end:])
	q.Qclass = binary.BigEndian.Uint16(query[end+2:])
	off := end + 4
	if n := count(2); n > 1 || n == 1 && q.Qtype != dns.TypeIXFR {
		return q, opt, false
	} else if n == 1 { // RFC 1995 §3: the client's SOA
		var rr dns.RR
		if rr, off, err = dns.UnpackRR(query, off); err != nil || rr.Header().Rrtype != dns.TypeSOA {
			return q, opt, false
		}
	}
	opt, err = parseEDNS(query, off, count(3))
	return q, opt, err == nil
}

// nameEnd returns the offset behind the uncompressed name at off, or -1.
func nameEnd(msg []byte, off int) int {
	for start := off; off < len(msg) && off-start < 255; {
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1
		case n > 63: // a pointer, or a reserved kind of label
			return -1
		default:
			off += 1 + n
		}
	}
	return -1
}

// pack fits the answer into limit: without the additional section if it must, then truncated to nothing,
// because part of an RRset is of no use to anyone (RFC 2181 §9).
func pack(m *dns.Msg, query []byte, opt edns, limit int, buf []byte) reply {
	try := func() []byte {
		if opt.present {
			m.Extra = append(m.Extra, opt.opt())
		}
		out, err := m.PackBuffer(buf)
		if err != nil || len(out) > limit {
			return nil
		}
		return out
	}
	r := reply{rcode: m.Rcode, read: true, opt: opt}
	if r.packet = try(); r.packet != nil {
		return r
	}
	m.Extra = nil
	if r.packet = try(); r.packet != nil {
		return r
	}
	m.Answer, m.Ns, m.Extra, m.Truncated, r.truncated = nil, nil, nil, true, true
	if r.packet = try(); r.packet != nil {
		return r
	}
	return headerOnly(query, dns.RcodeServerFailure, buf)
}

// headerOnly answers what has no question worth repeating. query has a whole header.
func headerOnly(query []byte, rcode int, buf []byte) reply {
	out := append(buf[:0], query[0], query[1], 0x80|query[2]&0x79, byte(rcode)) // QR, then opcode and RD as asked
	return reply{packet: append(out, 0, 0, 0, 0, 0, 0, 0, 0), rcode: rcode}
}
