package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestNXDomain(t *testing.T) {
	checkLookups(t, mustView(t, example()), []want{
		{qname: "no.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "no.example.org.", qtype: dns.TypeANY, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "a.b.no.www.example.org.", qtype: dns.TypeNS, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: `\000.example.org.`, qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
}

func TestOutsideOurZones(t *testing.T) {
	checkLookups(t, mustView(t, example()), []want{
		{qname: ".", qtype: dns.TypeNS, rcode: dns.RcodeRefused},
		{qname: "org.", qtype: dns.TypeSOA, rcode: dns.RcodeRefused},
		{qname: "notexample.org.", qtype: dns.TypeA, rcode: dns.RcodeRefused},
		{qname: `x\.example.org.`, qtype: dns.TypeA, rcode: dns.RcodeRefused}, // one label, a child of org
	})
}

// A zone inside another one answers for all of its names.
func TestNestedZones(t *testing.T) {
	cfg := example()
	cfg.Zones = append(cfg.Zones, Zone{ID: "z3", Apex: "sub.example.org", Pool: "p4"})
	cfg.RecordSets = append(cfg.RecordSets,
		RecordSet{Zone: "z1", Owner: "*.example.org", TTL: 30, Pool: "p1"},
		RecordSet{Zone: "z3", Owner: "www.sub.example.org", TTL: 30, Pool: "p4"})
	soa := "sub.example.org. 30 IN SOA ns-n4.sub.example.org. hostmaster.sub.example.org. 42 3600 600 604800 30"
	checkLookups(t, mustView(t, cfg), []want{
		{qname: "www.sub.example.org.", qtype: dns.TypeA, answer: "www.sub.example.org. 30 IN A 192.0.2.4"},
		{qname: "no.sub.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: soa},
		{qname: "sub.example.org.", qtype: dns.TypeA, authority: soa},
	})
}
