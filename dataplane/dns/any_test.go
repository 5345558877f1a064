package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestAny(t *testing.T) {
	cfg := example()
	cfg.Nodes = append(cfg.Nodes, Node{ID: "i6", Name: "n6", Pool: "p6", Addresses: addrs("2001:db8::6")})
	cfg.RecordSets = append(cfg.RecordSets, RecordSet{Zone: "z1", Owner: "six.example.org", TTL: 30, Pool: "p6"})
	checkLookups(t, mustView(t, cfg), []want{
		{qname: "example.org.", qtype: dns.TypeANY, answer: positiveSOA},
		{qname: "www.example.org.", qtype: dns.TypeANY, answer: "www.example.org. 30 IN A 192.0.2.1\nwww.example.org. 30 IN A 192.0.2.2"},
		{qname: "x.wild.example.org.", qtype: dns.TypeANY, answer: "x.wild.example.org. 30 IN A 192.0.2.1\nx.wild.example.org. 30 IN A 192.0.2.2"},
		{qname: "six.example.org.", qtype: dns.TypeANY, answer: "six.example.org. 30 IN AAAA 2001:db8::6"},
		{qname: "nobody.example.org.", qtype: dns.TypeANY, authority: negativeSOA},
		{qname: "no.example.org.", qtype: dns.TypeANY, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
}
