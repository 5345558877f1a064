package netcheck

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

func TestJudge(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.168.1.20")}
	a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	at := netip.MustParseAddrPort
	for name, c := range map[string]struct {
		seen Seen
		want Mapping
	}{
		"nobody says anything":          {Seen{}, MappingUnknown},
		"own":                           {Seen{a: at("192.168.1.20:4000"), b: at("192.168.1.20:4000")}, MappingNone},
		"own, to one node":              {Seen{a: at("192.168.1.20:4000")}, MappingNone},
		"the same everywhere":           {Seen{a: at("198.51.100.7:4000"), b: at("198.51.100.7:4000")}, EndpointIndependent},
		"another port, everywhere":      {Seen{a: at("198.51.100.7:61000"), b: at("198.51.100.7:61000")}, EndpointIndependent},
		"own address, another port":     {Seen{a: at("192.168.1.20:61000"), b: at("192.168.1.20:61000")}, EndpointIndependent},
		"another port for each":         {Seen{a: at("198.51.100.7:61000"), b: at("198.51.100.7:61001")}, AddressDependent},
		"another address for each":      {Seen{a: at("198.51.100.7:4000"), b: at("198.51.100.8:4000")}, AddressDependent},
		"translated, as one node knows": {Seen{a: at("198.51.100.7:4000")}, MappingUnknown},
	} {
		if got := judge(4000, own, c.seen); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// node answers what comes to an address as a node's DNS does.
func node(t *testing.T, address string, answer func(q *dns.Msg, size int, from net.Addr) *dns.Msg) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			if m := answer(q, n, from); m != nil {
				if b, err := m.Pack(); err == nil {
					_, _ = pc.WriteTo(b, from)
				}
			}
		}
	}()
	t.Cleanup(func() { _ = pc.Close(); <-ended })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

func sees(at func(from net.Addr) string) func(q *dns.Msg, size int, from net.Addr) *dns.Msg {
	return func(q *dns.Msg, _ int, from net.Addr) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qclass != dns.ClassCHAOS || q.Question[0].Name != WhoAmI {
			m.Rcode = dns.RcodeRefused
			return m
		}
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: WhoAmI, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}, Txt: []string{at(from)}}}
		return m
	}
}

func TestMapped(t *testing.T) {
	as := net.Addr.String
	var port atomic.Int32
	each := func(net.Addr) string {
		return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), uint16(61000+port.Add(1))).String()
	}
	one := func(net.Addr) string { return "198.51.100.7:61000" }
	old := func(q *dns.Msg, _ int, _ net.Addr) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeRefused) }
	for name, c := range map[string]struct {
		nodes []netip.AddrPort
		want  Mapping
		seen  int
	}{
		"own":                  {[]netip.AddrPort{node(t, "127.0.0.1", sees(as)), node(t, "127.0.0.2", sees(as))}, MappingNone, 2},
		"translated":           {[]netip.AddrPort{node(t, "127.0.0.1", sees(one)), node(t, "127.0.0.2", sees(one))}, EndpointIndependent, 2},
		"translated for each":  {[]netip.AddrPort{node(t, "127.0.0.1", sees(each)), node(t, "127.0.0.2", sees(each))}, AddressDependent, 2},
		"nodes of before":      {[]netip.AddrPort{node(t, "127.0.0.1", old), node(t, "127.0.0.2", old)}, MappingUnknown, 0},
		"what is no address":   {[]netip.AddrPort{node(t, "127.0.0.1", sees(func(net.Addr) string { return "here" }))}, MappingUnknown, 0},
		"one that knows, only": {[]netip.AddrPort{node(t, "127.0.0.1", sees(one)), node(t, "127.0.0.2", old)}, MappingUnknown, 1},
	} {
		m, seen, err := Probe{}.Mapped(t.Context(), c.nodes)
		if err != nil || m != c.want || len(seen) != c.seen {
			t.Errorf("%s: %s, %v, %v; want %s of %d", name, m, seen, err, c.want, c.seen)
		}
	}
}
