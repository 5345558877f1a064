package dns

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// withCookie is a query with a cookie option of this content.
func withCookie(t testing.TB, name string, qtype uint16, cookie string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(udpSize, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// cookieOf is the cookie in an answer, "" for none.
func cookieOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// apart is a flood in which these sources and the names of the test share no bucket, as once in some thousand times.
func apart(sources ...string) *flood {
search:
	for {
		f, seen := newFlood(), map[uint64]bool{}
		for _, source := range sources {
			network := netip.MustParsePrefix(source + "/24").Masked().Addr()
			for _, c := range []counted{{network: network}, {network, true, ""}, {network, true, "example.org."}, {network, true, "www.example.org."}} {
				b := f.bucket(c)
				if seen[b] {
					continue search
				}
				seen[b] = true
			}
		}
		return f
	}
}

// Who forges the address of a victim gets little sent there: no answer over UDP is larger than 1,232 octets, ANY gets the
// least that there is, and beyond a rate there is nothing to be had but the question, with TC. Real clients then use TCP,
// or show by a cookie that they are where they say.
func TestT14Reflection(t *testing.T) {
	const victim, neighbour, elsewhere = "198.51.100.1", "198.51.100.77", "203.0.113.1"
	bubbletest.Run(t, func(t *testing.T) {
		s, _ := newServer(t, large(60))
		s.flood = apart(victim, elsewhere)
		ask := func(q []byte, from string, over transport) (*dns.Msg, int) {
			t.Helper()
			packet := s.handle(q, netip.MustParseAddr(from), over, make([]byte, 0, 2*udpSize))
			if over == overUDP && len(packet) > udpSize {
				t.Errorf("%d octets", len(packet))
			}
			return mustUnpack(t, packet), len(packet)
		}
		whole := func(m *dns.Msg) bool { return !m.Truncated && len(m.Answer)+len(m.Ns) > 0 }
		count := func(n int, q func(i int) []byte, from string) (answered int) {
			for i := range n {
				m, size := ask(q(i), from, overUDP)
				if whole(m) {
					answered++
				} else if !m.Truncated || size > len(q(i)) || len(m.Question) != 1 {
					t.Fatalf("instead of an answer %d octets for %d:\n%v", size, len(q(i)), m)
				}
			}
			return answered
		}
		most := func(int) []byte { return query(t, "example.org.", dns.TypeANY, udpSize) }
		if m, _ := ask(most(0), elsewhere, overUDP); len(m.Answer) > 1 {
			t.Errorf("ANY gets %d records", len(m.Answer))
		}

		www := func(int) []byte { return query(t, "www.example.org.", dns.TypeA, udpSize) }
		if n := count(1000, www, victim); n != ratePerName {
			t.Errorf("%d of 1000 answers at once", n)
		}
		if n := count(10, www, neighbour); n != 0 {
			t.Errorf("%d answers to the same network", n)
		}
		if n := count(ratePerName, www, elsewhere); n != ratePerName {
			t.Errorf("another network gets %d answers", n)
		}
		if n := count(ratePerName, most, victim); n != ratePerName {
			t.Errorf("%d answers about another name", n)
		}
		if n := count(10, func(int) []byte { return query(t, "www.example.org.", dns.TypeTXT, udpSize) }, victim); n != 0 {
			t.Errorf("%d answers that a name has no such records", n)
		}
		random := func(i int) []byte { return query(t, fmt.Sprintf("r%d.example.org.", i), dns.TypeA, udpSize) }
		if n := count(1000, random, victim); n != ratePerName {
			t.Errorf("%d of 1000 random names", n)
		}
		if m, _ := ask(www(0), victim, overTCP); len(m.Answer) != 60 {
			t.Errorf("over TCP: %v", m)
		}
		time.Sleep(time.Second)
		if n := count(1000, www, victim); n != ratePerName {
			t.Errorf("%d of 1000 answers a second later", n)
		}

		// A cookie of one's own is as good as a connection; another's, an old or an invented one is nothing.
		const mine = "0102030405060708"
		m, _ := ask(withCookie(t, "www.example.org.", dns.TypeA, mine), victim, overUDP)
		cookie := cookieOf(m)
		if !m.Truncated || len(cookie) != 2*cookieOption || cookie[:16] != mine {
			t.Fatalf("%q\n%v", cookie, m)
		}
		known := withCookie(t, "www.example.org.", dns.TypeA, cookie)
		for range 1000 {
			if m, _ := ask(known, victim, overUDP); !whole(m) {
				t.Fatalf("with a cookie:\n%v", m)
			}
		}
		if m, _ := ask(known, neighbour, overUDP); !m.Truncated {
			t.Error("a neighbour's cookie counts")
		}
		raw, _ := hex.DecodeString(cookie)
		for i := clientCookie; i < len(raw); i++ {
			raw[i] ^= 1
			if m, _ := ask(withCookie(t, "www.example.org.", dns.TypeA, hex.EncodeToString(raw)), victim, overUDP); !m.Truncated {
				t.Errorf("a cookie counts with octet %d altered", i)
			}
			raw[i] ^= 1
		}
		time.Sleep(cookieLife)
		count(ratePerName, www, victim)
		if m, _ := ask(known, victim, overUDP); !m.Truncated || cookieOf(m) == cookie {
			t.Error("a cookie counts for ever, or gets no younger one")
		}
		for _, size := range []int{1, 7, 9, 15, 41} {
			if m, _ := ask(withCookie(t, "www.example.org.", dns.TypeA, hex.EncodeToString(make([]byte, size))), elsewhere, overUDP); m.Rcode != dns.RcodeFormatError {
				t.Errorf("a cookie of %d octets: %v", size, m)
			}
		}
	})
	bubbletest.Run(t, func(t *testing.T) { // names that all exist are bounded together
		s, _ := newServer(t, example())
		n := 0
		for i := range 5 * ratePerSource {
			m := mustUnpack(t, s.handle(query(t, fmt.Sprintf("r%d.wild.example.org.", i), dns.TypeA, udpSize), netip.MustParseAddr("2001:db8:1:2ff::1"), overUDP, nil))
			if len(m.Answer) > 0 {
				n++
			}
		}
		if n > ratePerSource {
			t.Errorf("%d answers below a wildcard", n)
		}
	})
}

// A zone is neither copied nor changed by whoever asks a node, over any transport, signed or not.
func TestT15NoTransfersNoChanges(t *testing.T) {
	zone := func(of string, op int, edit func(*dns.Msg)) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion(of, dns.TypeSOA)
		m.Opcode = op
		edit(m)
		return m
	}
	rr, err := dns.NewRR("evil.example.org. 30 IN A 192.0.2.66")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]*dns.Msg{
		"AXFR":               zone("example.org.", dns.OpcodeQuery, func(m *dns.Msg) { m.SetAxfr("example.org.") }),
		"AXFR of the root":   zone(".", dns.OpcodeQuery, func(m *dns.Msg) { m.SetAxfr(".") }),
		"IXFR":               zone("example.org.", dns.OpcodeQuery, func(m *dns.Msg) { m.SetIxfr("example.org.", 1, "ns.example.org.", "host.example.org.") }),
		"NOTIFY":             zone("example.org.", dns.OpcodeNotify, func(m *dns.Msg) { m.SetNotify("example.org.") }),
		"UPDATE":             zone("example.org.", dns.OpcodeUpdate, func(m *dns.Msg) { m.SetUpdate("example.org."); m.Insert([]dns.RR{rr}) }),
		"UPDATE, removes":    zone("example.org.", dns.OpcodeUpdate, func(m *dns.Msg) { m.SetUpdate("example.org."); m.RemoveName([]dns.RR{rr}) }),
		"AXFR of class ANY":  zone("example.org.", dns.OpcodeQuery, func(m *dns.Msg) { m.SetAxfr("example.org."); m.Question[0].Qclass = dns.ClassANY }),
		"AXFR of class CH":   zone("example.org.", dns.OpcodeQuery, func(m *dns.Msg) { m.SetAxfr("example.org."); m.Question[0].Qclass = dns.ClassCHAOS }),
		"old mailbox copies": zone("example.org.", dns.OpcodeQuery, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMAILB }),
	}
	s, _ := newServer(t, example())
	udp := listenUDP(t, "127.0.0.1:0")
	serve(t, s, []net.PacketConn{udp}, nil)
	tcp := serveTCPOn(t, s)
	serial := func() uint32 {
		return exchange(t, udp.LocalAddr().String(), query(t, "example.org.", dns.TypeSOA, 0)).Answer[0].(*dns.SOA).Serial
	}
	before := serial()
	for name, m := range kinds {
		plain, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		m.SetTsig("key.example.org.", dns.HmacSHA256, 300, time.Now().Unix())
		signed, _, err := dns.TsigGenerate(m, "c2VjcmV0", "", false)
		if err != nil {
			t.Fatal(err)
		}
		for how, packet := range map[string][]byte{"plain": plain, "signed": signed} {
			overUDP := exchange(t, udp.LocalAddr().String(), packet)
			conn := dialTCP(t, tcp)
			if _, err := conn.Write(prefixed(packet)); err != nil {
				t.Fatal(err)
			}
			overTCP, err := readTCP(conn)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			for _, got := range []*dns.Msg{overUDP, overTCP} {
				refused := got.Rcode == dns.RcodeRefused || how == "signed" && got.Rcode == dns.RcodeFormatError
				if name == "old mailbox copies" {
					refused = len(got.Answer) == 0
				}
				if !refused || len(got.Answer) != 0 || got.Rcode != overUDP.Rcode {
					t.Errorf("%s, %s:\n%v", name, how, got)
				}
			}
		}
	}
	if now := serial(); now != before {
		t.Errorf("the serial went from %d to %d", before, now)
	}
	if m := exchange(t, udp.LocalAddr().String(), query(t, "evil.example.org.", dns.TypeA, 0)); m.Rcode != dns.RcodeNameError {
		t.Errorf("what was inserted is there: %v", m)
	}
}
