package dns

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// Whoever asks who he is hears where his question came from. Anything else is left to others.
func TestSender(t *testing.T) {
	at := netip.MustParseAddrPort("[::ffff:198.51.100.7]:40000")
	ask := func(name string, class, typ uint16) *dns.Msg {
		m := new(dns.Msg).SetQuestion(name, typ)
		m.Question[0].Qclass = class
		return m
	}
	pack := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	right := ask("whoami.warren.", dns.ClassCHAOS, dns.TypeTXT)
	m := mustUnpack(t, sender(pack(right), at, nil).packet)
	if txt, ok := m.Answer[0].(*dns.TXT); !ok || len(m.Answer) != 1 || txt.Txt[0] != "198.51.100.7:40000" || m.Id != right.Id || m.Rcode != dns.RcodeSuccess || !m.RecursionDesired {
		t.Errorf("%v", m)
	}
	with := ask("whoami.warren.", dns.ClassCHAOS, dns.TypeTXT)
	with.SetEdns0(1232, false)
	if m := mustUnpack(t, sender(pack(with), at, nil).packet); m.IsEdns0() == nil {
		t.Errorf("EDNS is not answered: %v", m)
	}
	answer, notify, cut := ask("whoami.warren.", dns.ClassCHAOS, dns.TypeTXT), ask("whoami.warren.", dns.ClassCHAOS, dns.TypeTXT), pack(right)
	answer.Response, notify.Opcode = true, dns.OpcodeNotify
	two := pack(right)
	two[5] = 2
	for name, q := range map[string][]byte{
		"nothing": nil, "cut": cut[:len(cut)-1], "an answer": pack(answer), "a notify": pack(notify), "two questions": two,
		"class IN": pack(ask("whoami.warren.", dns.ClassINET, dns.TypeTXT)), "type A": pack(ask("whoami.warren.", dns.ClassCHAOS, dns.TypeA)),
		"another name": pack(ask("version.bind.", dns.ClassCHAOS, dns.TypeTXT)),
	} {
		if r := sender(q, at, nil); r.packet != nil {
			t.Errorf("%s: answered %x", name, r.packet)
		}
	}
}
