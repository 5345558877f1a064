package dns

import (
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Times of the derived records, in seconds. Changes reach every node in well under a second, so only
// caches make anyone wait: what may change with a node's health lives 30 s.
const (
	soaTTL     = 30
	soaRefresh = 3600
	soaRetry   = 600
	soaExpire  = 604800
	soaMinimum = 30
	nsTTL      = 3600
	caaTTL     = 30 // an authority that is added can be used at once
)

// mailbox and the apex are the SOA's RNAME.
const mailbox = "hostmaster."

// An answer is what the zones say to one question.
type answer struct {
	rcode                         int
	authoritative                 bool
	answer, authority, additional []dns.RR
}

// lookup answers a question of class IN (RFC 1034 §4.3.2). It is pure: turn decides which address the answer starts with, now
// which challenges have expired. Owner names are spelled as in qname, a miekg/dns presentation name with a trailing dot, in
// upper or lower case.
func (v *view) lookup(qname string, qtype uint16, turn uint32, now time.Time) answer {
	lower := dns.CanonicalName(qname)
	z, cut := v.shape.zoneOf(lower)
	if z == nil {
		return answer{rcode: dns.RcodeRefused}
	}
	q := question{view: v, zone: z, qname: qname, apex: qname[cut:], turn: turn}
	if texts := v.over.records(lower, qname, now); texts != nil && (qtype == dns.TypeTXT || qtype == dns.TypeANY) {
		return answer{authoritative: true, answer: texts}
	}
	n := z.find(lower)
	if n == nil && v.over.exists(lower, now) {
		return answer{authoritative: true, authority: q.soa(negativeTTL)}
	}
	if n == nil {
		return answer{rcode: dns.RcodeNameError, authoritative: true, authority: q.soa(negativeTTL)}
	}
	a := answer{authoritative: true, answer: q.records(n, qtype)}
	switch {
	case len(a.answer) == 0:
		a.authority = q.soa(negativeTTL)
	case qtype == dns.TypeNS:
		a.additional = q.glue()
	}
	return a
}

// negativeTTL bounds how long the absence of a name or type is believed (RFC 2308 §3).
const negativeTTL = min(soaTTL, soaMinimum)

// zoneOf returns the zone with the longest apex that qname is in, with the apex's offset in qname.
func (sh *shape) zoneOf(qname string) (*zone, int) {
	for off, end := 0, false; !end; off, end = dns.NextLabel(qname, off) {
		if z := sh.zones[qname[off:]]; z != nil {
			return z, off
		}
	}
	return nil, 0
}

// find returns the name that answers for qname: itself, or the wildcard right above it. nil means that the name does
// not exist.
//
// A wildcard here is that of a service, which a ClientHello can ask for with one label in place of the "*" and no
// more. So it stands for all names of one label below its parent, as if each were written out in the zone: each is
// then the closest encloser of what is below it, and has no wildcard (RFC 4592 §3.3.1). Any name that exists blocks
// the wildcard beside it, as in that RFC.
func (z *zone) find(qname string) *name {
	if n := z.names[qname]; n != nil {
		return n
	}
	off, end := dns.NextLabel(qname, 0)
	if parent := z.names[qname[off:]]; !end && parent != nil {
		return parent.wild
	}
	return nil
}

type question struct {
	view        *view
	zone        *zone
	qname, apex string // as asked
	turn        uint32
}

// records returns the RRset of a type. ANY gets one RRset that exists (RFC 8482 §4.1), which unlike a
// synthesized HINFO leaves nothing untrue in a cache.
func (q question) records(n *name, qtype uint16) []dns.RR {
	apex := n == q.zone.apex
	var set addresses
	if n.set != noSet {
		set = q.view.sets[n.set]
	}
	switch qtype {
	case dns.TypeA:
		return rrset(nil, q.qname, n.ttl, set.v4, q.turn)
	case dns.TypeAAAA:
		return rrset(nil, q.qname, n.ttl, set.v6, q.turn)
	case dns.TypeSOA:
		if apex {
			return q.soa(soaTTL)
		}
	case dns.TypeNS:
		if apex {
			return q.ns()
		}
	case dns.TypeCAA:
		if apex {
			return q.caa()
		}
	case dns.TypeANY:
		switch {
		case apex:
			return q.soa(soaTTL)
		case len(set.v4) > 0:
			return rrset(nil, q.qname, n.ttl, set.v4, q.turn)
		}
		return rrset(nil, q.qname, n.ttl, set.v6, q.turn)
	}
	return nil
}

// soa returns the zone's SOA. A zone whose pool has no nodes names itself as its primary. Its names, like
// those of all records here, end in the apex as asked, so that they compress in any case of the question.
func (q question) soa(ttl uint32) []dns.RR {
	mname := q.apex
	if len(q.zone.ns) > 0 {
		mname = q.zone.ns[0].label + q.apex
	}
	return []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: q.apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  mname, Mbox: mailbox + q.apex, Serial: q.view.serial,
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: soaMinimum,
	}}
}

// servers are the name servers that are named: none that is down, unless all are. What the parent names is asked all the same, so that their own
// names stay.
func (q question) servers() []nameserver {
	up := make([]nameserver, 0, len(q.zone.ns))
	for _, ns := range q.zone.ns {
		if !q.view.cfg.Nodes[ns.set-len(q.view.shape.pools)].Down {
			up = append(up, ns)
		}
	}
	if len(up) == 0 {
		return q.zone.ns
	}
	return up
}

func (q question) ns() []dns.RR {
	servers := q.servers()
	out := make([]dns.RR, 0, len(servers))
	for _, ns := range servers {
		out = append(out, &dns.NS{
			Hdr: dns.RR_Header{Name: q.apex, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: nsTTL},
			Ns:  ns.label + q.apex,
		})
	}
	return out
}

// caa allows the authorities that the zone names; those of wildcards are the same (RFC 8659 §4.3), unless they are named apart.
func (q question) caa() []dns.RR {
	var out []dns.RR
	for _, c := range q.zone.caa {
		out = append(out, &dns.CAA{
			Hdr: dns.RR_Header{Name: q.apex, Rrtype: dns.TypeCAA, Class: dns.ClassINET, Ttl: caaTTL},
			Tag: c.Tag, Value: c.Value,
		})
	}
	return out
}

// glue spares a resolver the questions that follow the name servers' names.
func (q question) glue() []dns.RR {
	var out []dns.RR
	for _, ns := range q.servers() {
		set, host := q.view.sets[ns.set], ns.label+q.apex
		out = rrset(out, host, nsTTL, set.v4, 0)
		out = rrset(out, host, nsTTL, set.v6, 0)
	}
	return out
}

// rrset appends addresses of one family, beginning with the turn-th.
func rrset(out []dns.RR, owner string, ttl uint32, addrs []netip.Addr, turn uint32) []dns.RR {
	if len(addrs) == 0 {
		return out
	}
	if out == nil {
		out = make([]dns.RR, 0, len(addrs))
	}
	first := int(turn % uint32(len(addrs)))
	hdr := dns.RR_Header{Name: owner, Class: dns.ClassINET, Ttl: ttl}
	if addrs[0].Is4() {
		hdr.Rrtype = dns.TypeA
		rrs := make([]dns.A, len(addrs)) // one allocation for all
		for i := range rrs {
			rrs[i] = dns.A{Hdr: hdr, A: net.IP(addrs[(first+i)%len(addrs)].AsSlice())}
			out = append(out, &rrs[i])
		}
		return out
	}
	hdr.Rrtype = dns.TypeAAAA
	rrs := make([]dns.AAAA, len(addrs))
	for i := range rrs {
		rrs[i] = dns.AAAA{Hdr: hdr, AAAA: net.IP(addrs[(first+i)%len(addrs)].AsSlice())}
		out = append(out, &rrs[i])
	}
	return out
}
