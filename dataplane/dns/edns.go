package dns

import (
	"encoding/hex"
	"errors"

	"github.com/miekg/dns"
)

// Sizes of messages in octets.
const (
	plainSize = 512   // UDP without EDNS (RFC 1035 §4.2.1)
	udpSize   = 1232  // most over UDP, and what we say we take: fits the IPv6 minimum MTU unfragmented
	tcpSize   = 65535 // most over TCP (RFC 1035 §4.2.2)
)

// edns is what a query's OPT record says (RFC 6891 §6.1).
type edns struct {
	present bool
	version uint8
	size    int
	do      bool
	cookie  []byte // as isCookie wants it; nil: the client sent none
}

var errOPT = errors.New("malformed additional section")

// parseEDNS reads the additional section at off: nothing, or one well-formed OPT record at the root.
func parseEDNS(query []byte, off, count int) (edns, error) {
	if count == 0 {
		return edns{}, nil
	}
	if count > 1 || off >= len(query) || query[off] != 0 { // RFC 6891 §6.1.1: one OPT, name must be the root
		return edns{}, errOPT
	}
	rr, _, err := dns.UnpackRR(query, off)
	if err != nil {
		return edns{}, err
	}
	opt, ok := rr.(*dns.OPT)
	if !ok {
		return edns{}, errOPT
	}
	e := edns{present: true, version: opt.Version(), size: int(opt.UDPSize()), do: opt.Do()}
	for _, o := range opt.Option {
		c, ok := o.(*dns.EDNS0_COOKIE)
		if !ok || e.cookie != nil { // RFC 7873 §5.2: the first of several counts
			continue
		}
		if e.cookie, err = hex.DecodeString(c.Cookie); err != nil || !isCookie(e.cookie) {
			return edns{}, errOPT
		}
	}
	return e, nil
}

// limit returns how large an answer may be without the cookie that is added to it; most is the transport's own bound.
func (e edns) limit(most int) int {
	if e.cookie != nil {
		return e.whole(most) - 4 - cookieOption
	}
	return e.whole(most)
}

func (e edns) whole(most int) int {
	switch {
	case most == tcpSize:
		return most
	case !e.present:
		return plainSize
	}
	return min(max(e.size, plainSize), most)
}

// opt returns the record to answer with: DO is copied (RFC 3225 §3) though nothing here is signed, other
// flags are not; a cookie is added when all else is there.
func (e edns) opt() *dns.OPT {
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: udpSize}}
	if e.do {
		o.SetDo()
	}
	return o
}
