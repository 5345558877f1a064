package dns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestEDNS(t *testing.T) {
	v := mustView(t, example())
	edit := func(change func(*dns.OPT)) []byte {
		m := new(dns.Msg)
		m.SetQuestion("www.example.org.", dns.TypeA)
		m.SetEdns0(4096, false)
		change(m.IsEdns0())
		return mustPack(t, m)
	}
	for _, tt := range []struct {
		name  string
		query []byte
		rcode int
		do    bool
	}{
		{"plain", edit(func(*dns.OPT) {}), dns.RcodeSuccess, false},
		{"DO", edit(func(o *dns.OPT) { o.SetDo() }), dns.RcodeSuccess, true},
		{"unknown flags", edit(func(o *dns.OPT) { o.SetZ(0x2FFF) }), dns.RcodeSuccess, false},
		{"unknown option", edit(func(o *dns.OPT) {
			o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2}})
		}), dns.RcodeSuccess, false},
		{"client subnet", edit(func(o *dns.OPT) {
			o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}})
		}), dns.RcodeSuccess, false},
		{"version 1", edit(func(o *dns.OPT) { o.SetVersion(1) }), dns.RcodeBadVers, false},
		{"version 255", edit(func(o *dns.OPT) { o.SetVersion(255) }), dns.RcodeBadVers, false},
	} {
		m := ask(t, v, tt.query)
		opt := m.IsEdns0()
		if m.Rcode != tt.rcode || opt == nil {
			t.Errorf("%s: rcode %d, want %d:\n%v", tt.name, m.Rcode, tt.rcode, m)
			continue
		}
		if opt.Version() != 0 || opt.UDPSize() != udpSize || opt.Z() != 0 || len(opt.Option) != 0 || opt.Do() != tt.do {
			t.Errorf("%s: answered with %v", tt.name, opt)
		}
		if answered := len(m.Answer) > 0; answered != (tt.rcode == dns.RcodeSuccess) {
			t.Errorf("%s: answer\n%v", tt.name, m)
		}
	}
}

func TestNoEDNSUnasked(t *testing.T) {
	v := mustView(t, example())
	for _, qname := range []string{"www.example.org.", "no.example.org.", "elsewhere.test."} {
		if m := ask(t, v, query(t, qname, dns.TypeA, 0)); len(m.Extra) != 0 {
			t.Errorf("%s: %v", qname, m)
		}
	}
}

func TestMalformedEDNS(t *testing.T) {
	v := mustView(t, example())
	opt := []byte{0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0}
	with := func(counts [3]uint16, rest ...byte) []byte {
		q := query(t, "www.example.org.", dns.TypeA, 0)
		for i, n := range counts {
			binary.BigEndian.PutUint16(q[6+2*i:], n)
		}
		return append(q, rest...)
	}
	option := func(data ...byte) []byte {
		o := append([]byte{}, opt...)
		o[10] = byte(len(data))
		return append(o, data...)
	}
	for name, q := range map[string][]byte{
		"two OPT":              with([3]uint16{0, 0, 2}, append(append([]byte{}, opt...), opt...)...),
		"OPT in the answer":    with([3]uint16{1, 0, 0}, opt...),
		"OPT in the authority": with([3]uint16{0, 1, 0}, opt...),
		"counted, not there":   with([3]uint16{0, 0, 1}),
		"cut short":            with([3]uint16{0, 0, 1}, opt[:6]...),
		"name not the root":    with([3]uint16{0, 0, 1}, append([]byte{1, 'a'}, opt...)...),
		"name is a pointer":    with([3]uint16{0, 0, 1}, append([]byte{0xC0, 16 + 12}, opt[1:]...)...),
		"option cut short":     with([3]uint16{0, 0, 1}, option(0, 3, 0)...),
		"option too long":      with([3]uint16{0, 0, 1}, option(0, 3, 0, 9, 1)...),
		"data beyond the end":  with([3]uint16{0, 0, 1}, option(0, 3, 0, 9, 1)[:13]...),
		"subnet of no family":  with([3]uint16{0, 0, 1}, option(0, 8, 0, 4, 0, 9, 24, 0)...),
		"not an OPT":           with([3]uint16{0, 0, 1}, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4),
	} {
		if m := ask(t, v, q); m.Rcode != dns.RcodeFormatError || len(m.Extra) != 0 {
			t.Errorf("%s: rcode %s", name, dns.RcodeToString[m.Rcode])
		}
	}
}

// large has n nodes with an address of each family, all in one pool.
func large(n int) Config {
	cfg := Config{
		Zones:      []Zone{{ID: "z", Apex: "example.org", Pool: "p"}},
		RecordSets: []RecordSet{{Zone: "z", Owner: "www.example.org", TTL: 30, Pool: "p"}},
	}
	for i := range n {
		cfg.Nodes = append(cfg.Nodes, Node{ID: fmt.Sprint(i), Name: fmt.Sprintf("n%03d", i), Pool: "p", Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)}),
		}})
	}
	return cfg
}

func TestAnswerSize(t *testing.T) {
	for _, tt := range []struct {
		nodes     int
		size      uint16 // 0: no EDNS
		qname     string
		qtype     uint16
		truncated bool
		limit     int
	}{
		{20, 0, "www.example.org.", dns.TypeA, false, 512},
		{40, 0, "www.example.org.", dns.TypeA, true, 512},
		{40, 100, "www.example.org.", dns.TypeA, true, 512}, // less than 512 counts as 512 (RFC 6891 §6.2.3)
		{40, 700, "www.example.org.", dns.TypeA, false, 768},
		{40, 1232, "www.example.org.", dns.TypeAAAA, false, 1232},
		{60, 65535, "www.example.org.", dns.TypeAAAA, true, 1232},
		{20, 1232, "example.org.", dns.TypeNS, false, 1232}, // fits without the name servers' addresses
	} {
		v := mustView(t, large(tt.nodes))
		r := respond(v, query(t, tt.qname, tt.qtype, tt.size), udpSize, 0, at, nil)
		m := mustUnpack(t, r.packet)
		name := fmt.Sprintf("%d nodes, %s in %d", tt.nodes, dns.TypeToString[tt.qtype], tt.size)
		if len(r.packet) > tt.limit {
			t.Errorf("%s: %d octets", name, len(r.packet))
		}
		if m.Truncated != tt.truncated || r.truncated != tt.truncated {
			t.Errorf("%s: TC %v, want %v", name, m.Truncated, tt.truncated)
		}
		if want := tt.nodes; tt.truncated && len(m.Answer)+len(m.Ns) != 0 || !tt.truncated && len(m.Answer) != want {
			t.Errorf("%s: %d records", name, len(m.Answer))
		}
		if (m.IsEdns0() != nil) != (tt.size > 0) || len(m.Question) != 1 {
			t.Errorf("%s: %v", name, m)
		}
		over := respond(v, query(t, tt.qname, tt.qtype, tt.size), tcpSize, 0, at, nil)
		if m := mustUnpack(t, over.packet); m.Truncated || len(m.Answer) != tt.nodes {
			t.Errorf("%s over TCP: %d records", name, len(m.Answer))
		}
	}
}
