package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestSOA(t *testing.T) {
	checkLookups(t, mustView(t, example()), []want{
		{qname: "example.org.", qtype: dns.TypeSOA, answer: positiveSOA},
		{qname: "www.example.org.", qtype: dns.TypeSOA, authority: negativeSOA},
		// A pool without nodes has no name server to name.
		{qname: "empty.test.", qtype: dns.TypeSOA, answer: "empty.test. 30 IN SOA empty.test. hostmaster.empty.test. 42 3600 600 604800 30"},
		{qname: "empty.test.", qtype: dns.TypeNS, authority: "empty.test. 30 IN SOA empty.test. hostmaster.empty.test. 42 3600 600 604800 30"},
	})
}

func TestSOANegativeTTL(t *testing.T) {
	if negativeTTL > soaMinimum || negativeTTL > soaTTL {
		t.Errorf("negative TTL %d is above the SOA's TTL %d or minimum %d (RFC 2308 §3)", negativeTTL, soaTTL, soaMinimum)
	}
}

func TestSOASerialFollowsConfig(t *testing.T) {
	cfg := example()
	v := mustView(t, cfg)
	cfg.Serial = 1<<32 - 1
	next := newView(cfg, v)
	if got := next.lookup("example.org.", dns.TypeSOA, 0, at).answer[0].(*dns.SOA).Serial; got != cfg.Serial {
		t.Errorf("serial %d, want %d", got, cfg.Serial)
	}
	if got := v.lookup("example.org.", dns.TypeSOA, 0, at).answer[0].(*dns.SOA).Serial; got != 42 {
		t.Errorf("the older view's serial became %d", got)
	}
}
