package dns

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestNSGlue(t *testing.T) {
	v := mustView(t, example())
	checkLookups(t, v, []want{
		// Draining nodes still answer DNS, so they stay in the NS set.
		{qname: "example.org.", qtype: dns.TypeNS, answer: "example.org. 3600 IN NS ns-n1.example.org.\n" +
			"example.org. 3600 IN NS ns-n2.example.org.\nexample.org. 3600 IN NS ns-n3.example.org."},
		{qname: "ns-n1.example.org.", qtype: dns.TypeA, answer: "ns-n1.example.org. 3600 IN A 192.0.2.1"},
		{qname: "ns-n1.example.org.", qtype: dns.TypeAAAA, authority: negativeSOA},
		{qname: "ns-n3.example.org.", qtype: dns.TypeAAAA, answer: "ns-n3.example.org. 3600 IN AAAA 2001:db8::3"},
		{qname: "ns-n1.example.org.", qtype: dns.TypeNS, authority: negativeSOA},
		// A node of another pool is no server of this zone.
		{qname: "ns-n4.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "x.ns-n1.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
	a := v.lookup("example.org.", dns.TypeNS, 0, at)
	wantExtra := strings.Join([]string{
		"ns-n1.example.org. 3600 IN A 192.0.2.1",
		"ns-n2.example.org. 3600 IN A 192.0.2.2", "ns-n2.example.org. 3600 IN AAAA 2001:db8::2",
		"ns-n3.example.org. 3600 IN A 192.0.2.3", "ns-n3.example.org. 3600 IN AAAA 2001:db8::3",
	}, "\n")
	if got := text(a.additional); got != wantExtra {
		t.Errorf("additional section\n%s\nwant\n%s", got, wantExtra)
	}
}

// A node that is down is no name server any more, as long as there are others; who asks for its name, which the parent knows, gets it.
func TestNSOfDownNodes(t *testing.T) {
	cfg := example()
	cfg.Nodes[1].Down = true // n1
	v := mustView(t, cfg)
	checkLookups(t, v, []want{
		{qname: "example.org.", qtype: dns.TypeNS, answer: "example.org. 3600 IN NS ns-n2.example.org.\nexample.org. 3600 IN NS ns-n3.example.org."},
		{qname: "ns-n1.example.org.", qtype: dns.TypeA, answer: "ns-n1.example.org. 3600 IN A 192.0.2.1"},
	})
	if got := text(v.lookup("example.org.", dns.TypeNS, 0, at).additional); strings.Contains(got, "192.0.2.1") || !strings.Contains(got, "192.0.2.2") {
		t.Errorf("additional section\n%s", got)
	}
	for i := range cfg.Nodes {
		cfg.Nodes[i].Down = true
	}
	checkLookups(t, newView(cfg, v), []want{
		{qname: "example.org.", qtype: dns.TypeNS, answer: "example.org. 3600 IN NS ns-n1.example.org.\n" +
			"example.org. 3600 IN NS ns-n2.example.org.\nexample.org. 3600 IN NS ns-n3.example.org."},
	})
}
