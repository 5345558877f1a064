package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// A name that only has names below it exists (RFC 8020 §2).
func TestEmptyNonTerminal(t *testing.T) {
	checkLookups(t, mustView(t, example()), []want{
		{qname: "a.b.c.example.org.", qtype: dns.TypeA, answer: "a.b.c.example.org. 60 IN A 192.0.2.4"},
		{qname: "b.c.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "c.example.org.", qtype: dns.TypeTXT, authority: negativeSOA},
		{qname: "c.example.org.", qtype: dns.TypeANY, authority: negativeSOA},
		{qname: "x.c.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "wild.example.org.", qtype: dns.TypeAAAA, authority: negativeSOA}, // above a wildcard alone
	})
}
