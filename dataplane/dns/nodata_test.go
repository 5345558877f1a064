package dns

import (
	"testing"

	"github.com/miekg/dns"
)

func TestNoData(t *testing.T) {
	rows := []want{{qname: "nobody.example.org.", qtype: dns.TypeA, authority: negativeSOA}} // a pool without addresses
	for _, qtype := range []uint16{
		dns.TypeTXT, dns.TypeCNAME, dns.TypeMX, dns.TypeCAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeDS, dns.TypeDNSKEY,
		dns.TypeRRSIG, dns.TypeNS, dns.TypeSOA, 65280, 0,
	} {
		rows = append(rows, want{qname: "www.example.org.", qtype: qtype, authority: negativeSOA})
	}
	v := mustView(t, example())
	checkLookups(t, v, rows)

	m := ask(t, v, query(t, "www.example.org.", 65280, 0))
	if m.Rcode != dns.RcodeSuccess || !m.Authoritative || len(m.Answer) != 0 || text(m.Ns) != negativeSOA {
		t.Errorf("unknown type over the wire:\n%v", m)
	}
}
