package dns

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// lyingHeader claims a question and ends: it is known to crash servers built on miekg/dns.
var lyingHeader = []byte{0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}

func TestMalformed(t *testing.T) {
	v := mustView(t, example())
	good := query(t, "www.example.org.", dns.TypeA, 0)
	edit := func(change func(q []byte)) []byte {
		q := slices.Clone(good)
		change(q)
		return q
	}
	const dropped = -1
	for _, tt := range []struct {
		name  string
		query []byte
		rcode int
	}{
		{"nothing", nil, dropped},
		{"eleven octets", good[:11], dropped},
		{"an answer", edit(func(q []byte) { q[2] |= 0x80 }), dropped},
		{"an answer that is a NOTIFY", edit(func(q []byte) { q[2] |= 0x80 | dns.OpcodeNotify<<3 }), dropped},
		{"header that claims a question", lyingHeader, dns.RcodeFormatError},
		{"header alone", make([]byte, 12), dns.RcodeFormatError},
		{"no question", edit(func(q []byte) { q[5] = 0 }), dns.RcodeFormatError},
		{"two questions", edit(func(q []byte) { q[5] = 2 }), dns.RcodeFormatError},
		{"65535 questions", edit(func(q []byte) { q[4], q[5] = 255, 255 }), dns.RcodeFormatError},
		{"question cut short", good[:len(good)-1], dns.RcodeFormatError},
		{"name cut short", good[:15], dns.RcodeFormatError},
		{"name is a pointer to itself", append(slices.Clone(good[:12]), 0xC0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		{"name of a reserved label kind", edit(func(q []byte) { q[12] = 0x41 }), dns.RcodeFormatError},
		{"name of 256 octets", longName(256), dns.RcodeFormatError},
		{"name of 255 octets", longName(255), dns.RcodeRefused},
		{"an answer section", edit(func(q []byte) { q[7] = 1 }), dns.RcodeFormatError},
		{"an authority section", edit(func(q []byte) { q[9] = 1 }), dns.RcodeFormatError},
		{"trailing octets", append(slices.Clone(good), 1, 2, 3), dns.RcodeSuccess},
		{"inverse query", edit(func(q []byte) { q[2] = dns.OpcodeIQuery << 3 }), dns.RcodeNotImplemented},
		{"status", edit(func(q []byte) { q[2] = dns.OpcodeStatus << 3 }), dns.RcodeNotImplemented},
		{"opcode 15", edit(func(q []byte) { q[2] = 15 << 3 }), dns.RcodeNotImplemented},
		{"notify", edit(func(q []byte) { q[2] = dns.OpcodeNotify << 3 }), dns.RcodeRefused},
		{"update", edit(func(q []byte) { q[2] = dns.OpcodeUpdate << 3 }), dns.RcodeRefused},
		{"class chaos", edit(func(q []byte) { q[len(q)-1] = dns.ClassCHAOS }), dns.RcodeRefused},
		{"class any", edit(func(q []byte) { q[len(q)-1] = dns.ClassANY }), dns.RcodeRefused},
		{"class 0", edit(func(q []byte) { q[len(q)-1] = 0 }), dns.RcodeRefused},
		{"zone transfer", query(t, "example.org.", dns.TypeAXFR, 0), dns.RcodeRefused},
		{"incremental transfer", incremental(t), dns.RcodeRefused},
	} {
		for _, most := range []int{udpSize, tcpSize} {
			r := respond(v, tt.query, most, 0, at, nil)
			if tt.rcode == dropped {
				if r.packet != nil {
					t.Errorf("%s: answered %x", tt.name, r.packet)
				}
				continue
			}
			if r.packet == nil {
				t.Errorf("%s: dropped", tt.name)
				continue
			}
			if m := mustUnpack(t, r.packet); m.Rcode != tt.rcode || r.rcode != tt.rcode || !m.Response ||
				m.Id != binary.BigEndian.Uint16(tt.query) || m.Opcode != int(tt.query[2]>>3&15) {
				t.Errorf("%s: want rcode %s, got\n%v", tt.name, dns.RcodeToString[tt.rcode], m)
			}
		}
	}
}

// Flags are set by what we are; of the query's only RD comes back (RFC 1035 §4.1.1, RFC 4035 §3.1.6).
func TestFlags(t *testing.T) {
	v := mustView(t, example())
	for _, opcode := range []byte{dns.OpcodeQuery, dns.OpcodeUpdate} {
		q := query(t, "www.example.org.", dns.TypeA, 0)
		q[2], q[3] = 0x7F&^0x78|opcode<<3, 0xFF
		m := ask(t, v, q)
		if !m.RecursionDesired || m.RecursionAvailable || m.Zero || m.AuthenticatedData || m.CheckingDisabled || m.Truncated {
			t.Errorf("opcode %d: flags %v", opcode, m.MsgHdr)
		}
		if m.Authoritative != (opcode == dns.OpcodeQuery) {
			t.Errorf("opcode %d: AA %v", opcode, m.Authoritative)
		}
	}
}

// Before the first state nothing is known, which is no reason to deny anything.
func TestBeforeFirstApply(t *testing.T) {
	if m := ask(t, nil, query(t, "www.example.org.", dns.TypeA, 0)); m.Rcode != dns.RcodeServerFailure || m.Authoritative {
		t.Errorf("answered\n%v", m)
	}
}

// longName asks for a name of n octets on the wire.
func longName(n int) []byte {
	q := slices.Clone(lyingHeader)
	for n > 1 {
		label := min(63, n-2)
		q = append(append(q, byte(label)), bytes.Repeat([]byte{'a'}, label)...)
		n -= label + 1
	}
	return append(q, 0, 0, 1, 0, 1)
}

func incremental(t testing.TB) []byte {
	m := new(dns.Msg)
	m.SetIxfr("example.org.", 1, "ns-n1.example.org.", "hostmaster.example.org.")
	return mustPack(t, m)
}

func FuzzPacket(f *testing.F) {
	f.Add(lyingHeader)
	f.Add(incremental(f))
	f.Add(longName(255))
	f.Add(longName(256))
	for _, qname := range []string{".", "example.org.", "wWw.example.org.", "a.b.wild.example.org.", "no.example.org.", `\000\.\255.example.org.`} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeANY, dns.TypeOPT} {
			f.Add(query(f, qname, qtype, 0))
			f.Add(query(f, qname, qtype, 4096))
		}
	}
	cfg := large(100)
	cfg.RecordSets = append(cfg.RecordSets, RecordSet{Zone: "z", Owner: "*.wild.example.org", TTL: 30, Pool: "p"})
	v := mustView(f, cfg)
	f.Fuzz(func(t *testing.T, q []byte) {
		if len(q) > maxQuery {
			return
		}
		for _, most := range []int{udpSize, tcpSize} {
			r := respond(v, q, most, 7, at, make([]byte, 0, 64))
			if len(q) < headerSize || q[2]&0x80 != 0 {
				if r.packet != nil {
					t.Fatalf("answered %x, which is no query", q)
				}
				continue
			}
			if r.packet == nil || len(r.packet) > most {
				t.Fatalf("%d octets, at most %d allowed", len(r.packet), most)
			}
			if !bytes.Equal(r.packet[:2], q[:2]) || r.packet[2]&0x80 == 0 {
				t.Fatalf("header %x to %x", r.packet[:headerSize], q[:headerSize])
			}
			m := mustUnpack(t, r.packet)
			if len(m.Question) == 1 && !bytes.HasPrefix(q[headerSize:], r.packet[headerSize:nameEnd(r.packet, headerSize)+4]) {
				t.Fatalf("question changed: %x to %x", q, r.packet)
			}
			if m.Rcode == dns.RcodeServerFailure {
				t.Fatalf("SERVFAIL to %x", q)
			}
		}
	})
}
