package dns

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"
)

// Resolvers mix the case of a question to make forged answers harder (0x20): it comes back as sent, in the
// question, in the owner of the answer, and in the apex.
func TestCase(t *testing.T) {
	v := mustView(t, example())
	for _, tt := range []struct {
		qname     string
		qtype     uint16
		owner, ns string
	}{
		{"wWw.eXample.ORG.", dns.TypeA, "wWw.eXample.ORG.", ""},
		{"A-b.WiLd.example.Org.", dns.TypeA, "A-b.WiLd.example.Org.", ""},
		{"eXample.orG.", dns.TypeSOA, "eXample.orG.", ""},
		{"NO.eXample.orG.", dns.TypeA, "", "eXample.orG."},
		{`N\.O.eXample.orG.`, dns.TypeA, "", "eXample.orG."},
		{"wWw.eXample.orG.", dns.TypeTXT, "", "eXample.orG."},
		{"nS-N1.eXample.orG.", dns.TypeA, "nS-N1.eXample.orG.", ""},
	} {
		q := query(t, tt.qname, tt.qtype, 0)
		r := respond(v, q, udpSize, 0, at, nil)
		if !bytes.HasPrefix(r.packet[headerSize:], q[headerSize:]) {
			t.Errorf("%s: question came back changed", tt.qname)
		}
		m := mustUnpack(t, r.packet)
		if tt.owner != "" && (len(m.Answer) == 0 || m.Answer[0].Header().Name != tt.owner) {
			t.Errorf("%s: owner is not as asked:\n%v", tt.qname, m)
		}
		if tt.ns != "" && (len(m.Ns) == 0 || m.Ns[0].Header().Name != tt.ns) {
			t.Errorf("%s: apex is not as asked:\n%v", tt.qname, m)
		}
	}
}

// The question's case does not make an answer longer.
func TestCaseCompresses(t *testing.T) {
	v := mustView(t, example())
	for _, qtype := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeSOA, dns.TypeTXT} {
		lower := respond(v, query(t, "example.org.", qtype, udpSize), udpSize, 0, at, nil)
		mixed := respond(v, query(t, "eXaMpLe.oRg.", qtype, udpSize), udpSize, 0, at, nil)
		if len(lower.packet) != len(mixed.packet) {
			t.Errorf("%s: %d octets, in mixed case %d", dns.TypeToString[qtype], len(lower.packet), len(mixed.packet))
		}
	}
}
