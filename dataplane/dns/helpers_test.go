package dns

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is when the tests ask.
var at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// example is a zone with three nodes: n1 and n2 live, n3 draining; a second zone of an empty pool.
func example() Config {
	return Config{
		Serial: 42,
		Zones:  []Zone{{ID: "z1", Apex: "example.org", Pool: "p1"}, {ID: "z2", Apex: "empty.test", Pool: "p2"}},
		Nodes: []Node{
			{ID: "i2", Name: "n2", Pool: "p1", Addresses: addrs("192.0.2.2", "2001:db8::2")},
			{ID: "i1", Name: "n1", Pool: "p1", Addresses: addrs("192.0.2.1")},
			{ID: "i3", Name: "n3", Pool: "p1", Addresses: addrs("192.0.2.3", "2001:db8::3"), Draining: true},
			{ID: "i4", Name: "n4", Pool: "p4", Addresses: addrs("192.0.2.4")},
		},
		RecordSets: []RecordSet{
			{Zone: "z1", Owner: "example.org", TTL: 30, Pool: "p1"},
			{Zone: "z1", Owner: "www.example.org", TTL: 30, Pool: "p1"},
			{Zone: "z1", Owner: "*.wild.example.org", TTL: 30, Pool: "p1"},
			{Zone: "z1", Owner: "host.wild.example.org", TTL: 30, Pool: "p1"},
			{Zone: "z1", Owner: "deep.blocked.wild.example.org", TTL: 30, Pool: "p1"},
			{Zone: "z1", Owner: "a.b.c.example.org", TTL: 60, Pool: "p4"},
			{Zone: "z1", Owner: "nobody.example.org", TTL: 30, Pool: "p2"},
		},
	}
}

func addrs(s ...string) []netip.Addr {
	out := make([]netip.Addr, len(s))
	for i, a := range s {
		out[i] = netip.MustParseAddr(a)
	}
	return out
}

func mustView(t testing.TB, cfg Config) *view {
	t.Helper()
	v := newView(cfg, nil)
	if v.err != nil {
		t.Fatal(v.err)
	}
	return v
}

// text writes records in presentation form, in order, with single blanks.
func text(rrs []dns.RR) string {
	lines := make([]string, len(rrs))
	for i, rr := range rrs {
		lines[i] = strings.Join(strings.Fields(rr.String()), " ")
	}
	return strings.Join(lines, "\n")
}

const (
	positiveSOA = "example.org. 30 IN SOA ns-n1.example.org. hostmaster.example.org. 42 3600 600 604800 30"
	negativeSOA = positiveSOA // the TTL is not above the minimum: both are 30
)

// want is a row of a lookup table; an empty rcode is NOERROR.
type want struct {
	qname     string
	qtype     uint16
	rcode     int
	answer    string
	authority string
}

func checkLookups(t *testing.T, v *view, rows []want) {
	t.Helper()
	for _, w := range rows {
		a := v.lookup(w.qname, w.qtype, 0, at)
		name := w.qname + " " + dns.TypeToString[w.qtype]
		if a.rcode != w.rcode {
			t.Errorf("%s: rcode %s, want %s", name, dns.RcodeToString[a.rcode], dns.RcodeToString[w.rcode])
		}
		if got := text(a.answer); got != w.answer {
			t.Errorf("%s: answer\n%s\nwant\n%s", name, got, w.answer)
		}
		if got := text(a.authority); got != w.authority {
			t.Errorf("%s: authority\n%s\nwant\n%s", name, got, w.authority)
		}
		if aa := w.rcode != dns.RcodeRefused; a.authoritative != aa {
			t.Errorf("%s: AA %v, want %v", name, a.authoritative, aa)
		}
	}
}

// query packs a question, with an OPT record if size is not 0.
func query(t testing.TB, qname string, qtype uint16, size uint16) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.Id = 0x1234
	m.Question = []dns.Question{{Name: qname, Qtype: qtype, Qclass: dns.ClassINET}}
	if size > 0 {
		m.SetEdns0(size, false)
	}
	return mustPack(t, m)
}

func mustPack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustUnpack(t testing.TB, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("answer does not unpack: %v", err)
	}
	return m
}

// ask answers a packet over UDP without a socket.
func ask(t testing.TB, v *view, packet []byte) *dns.Msg {
	t.Helper()
	r := respond(v, packet, udpSize, 0, at, nil)
	if r.packet == nil {
		t.Fatal("query was dropped")
	}
	return mustUnpack(t, r.packet)
}

func newServer(t testing.TB, cfg Config) (*Server, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := New(slog.New(slog.DiscardHandler), reg)
	if err := s.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	return s, reg
}

// serve runs s on sockets until the test ends.
func serve(t testing.TB, s *Server, udp []net.PacketConn, tcp net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func prefixed(packets ...[]byte) []byte {
	var out []byte
	for _, p := range packets {
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
		out = append(out, p...)
	}
	return out
}

// metric returns the value of a counter or gauge with these label values, 0 if there is none.
func metric(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
