package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestWildcard(t *testing.T) {
	v := mustView(t, example())
	both := func(owner string) string {
		return owner + " 30 IN A 192.0.2.1\n" + owner + " 30 IN A 192.0.2.2"
	}
	checkLookups(t, v, []want{
		{qname: "a.wild.example.org.", qtype: dns.TypeA, answer: both("a.wild.example.org.")},
		{qname: "a.wild.example.org.", qtype: dns.TypeMX, authority: negativeSOA},
		{qname: "a.wild.example.org.", qtype: dns.TypeSOA, authority: negativeSOA},
		// What no ClientHello can ask for with success does not exist.
		{qname: "b.a.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "c.b.a.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "*.wild.example.org.", qtype: dns.TypeA, answer: both("*.wild.example.org.")},
		{qname: `a\.b.wild.example.org.`, qtype: dns.TypeA, answer: both(`a\.b.wild.example.org.`)},
		// A wildcard does not cover the name it stands under.
		{qname: "wild.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		// Names that exist block it (RFC 4592 §2.2.1): data, below data, an empty non-terminal, below one,
		// and the wildcard itself as a closest encloser.
		{qname: "host.wild.example.org.", qtype: dns.TypeA, answer: both("host.wild.example.org.")},
		{qname: "x.host.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "blocked.wild.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "x.blocked.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "x.*.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
}

func TestWildcardAtApex(t *testing.T) {
	cfg := example()
	cfg.RecordSets = []RecordSet{{Zone: "z1", Owner: "*.example.org", TTL: 30, Pool: "p4"}}
	checkLookups(t, mustView(t, cfg), []want{
		{qname: "b.example.org.", qtype: dns.TypeA, answer: "b.example.org. 30 IN A 192.0.2.4"},
		{qname: "a.b.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "ns-n1.example.org.", qtype: dns.TypeTXT, authority: negativeSOA},
		{qname: "x.ns-n1.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
}
