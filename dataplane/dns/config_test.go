package dns

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// A bad object is named, left out, and costs nothing else.
func TestApplyBadObjects(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   ObjectError // without Err
		text   string
	}{
		{func(c *Config) { c.Zones = append(c.Zones, Zone{ID: "bad", Apex: "Example.net", Pool: "p1"}) },
			ObjectError{Zone: "bad"}, `zone bad: apex "Example.net": not in canonical form`},
		{func(c *Config) { c.Zones = append(c.Zones, Zone{ID: "bad", Apex: "a..b", Pool: "p1"}) }, ObjectError{Zone: "bad"}, "not a hostname"},
		{func(c *Config) { c.Zones = append(c.Zones, Zone{ID: "bad", Apex: "example.org", Pool: "p1"}) },
			ObjectError{Zone: "bad"}, "zone bad: apex example.org: another zone has it"},
		{func(c *Config) {
			c.Zones = append(c.Zones, Zone{ID: "bad", Apex: strings.Repeat(strings.Repeat("a", 60)+".", 4) + "org", Pool: "p5"})
		}, ObjectError{Zone: "bad"}, "too long for its SOA"},
		{func(c *Config) {
			c.Nodes = append(c.Nodes, Node{ID: "bad", Name: strings.Repeat("a", 61), Pool: "p1", Addresses: addrs("192.0.2.1")})
		}, ObjectError{Zone: "z1", Node: "bad"}, "node bad: name server"},
		{func(c *Config) {
			c.Nodes = append(c.Nodes, Node{ID: "bad", Name: "n1", Pool: "p1", Addresses: addrs("192.0.2.1")})
		}, ObjectError{Zone: "z1", Node: "bad"}, "another node has it"},
		{func(c *Config) {
			c.Nodes = append(c.Nodes, Node{ID: "bad", Name: "bad", Pool: "p9", Addresses: []netip.Addr{{}}})
		}, ObjectError{Node: "bad"}, "not a unicast address"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "gone", Owner: "x.example.org", Pool: "p1"})
		}, ObjectError{Zone: "gone", Owner: "x.example.org"}, "record set x.example.org: zone gone: not served here"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "x.example.net", Pool: "p1"})
		}, ObjectError{Zone: "z1", Owner: "x.example.net"}, "not within zone example.org"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "X.example.org", Pool: "p1"})
		}, ObjectError{Zone: "z1", Owner: "X.example.org"}, "not in canonical form"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "x.*.example.org", Pool: "p1"})
		}, ObjectError{Zone: "z1", Owner: "x.*.example.org"}, "not a hostname"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "www.example.org", Pool: "p4"})
		}, ObjectError{Zone: "z1", Owner: "www.example.org"}, "another record set or a name server has it"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "ns-n1.example.org", Pool: "p4"})
		}, ObjectError{Zone: "z1", Owner: "ns-n1.example.org"}, "another record set or a name server has it"},
		{func(c *Config) {
			c.RecordSets = append(c.RecordSets, RecordSet{Zone: "z1", Owner: "ttl.example.org", Pool: "p1", TTL: 1 << 31})
		}, ObjectError{Zone: "z1", Owner: "ttl.example.org"}, "RFC 2181"},
	} {
		cfg := example()
		tt.change(&cfg)
		s := New(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		for range 2 { // the second Apply reuses the names, yet says the same
			err := s.Apply(cfg)
			var object *ObjectError
			if !errors.As(err, &object) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %q", err, tt.text)
				continue
			}
			if object.Zone != tt.want.Zone || object.Owner != tt.want.Owner || object.Node != tt.want.Node {
				t.Errorf("%v is about %+v, want %+v", err, object, tt.want)
			}
		}
		checkLookups(t, s.view.Load(), []want{
			{qname: "www.example.org.", qtype: dns.TypeA, answer: "www.example.org. 30 IN A 192.0.2.1\nwww.example.org. 30 IN A 192.0.2.2"},
			{qname: "example.org.", qtype: dns.TypeSOA, answer: positiveSOA},
		})
	}
}

func TestAddressesAreASet(t *testing.T) {
	got := newAddresses(addrs("2001:db8::1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "2001:db8::1"))
	if !slices.Equal(got.v4, addrs("192.0.2.1", "192.0.2.2")) || !slices.Equal(got.v6, addrs("2001:db8::1")) {
		t.Errorf("%v", got)
	}
	cfg := example()
	cfg.Nodes[1].Addresses = addrs("::ffff:192.0.2.1")
	checkLookups(t, mustView(t, cfg), []want{
		{qname: "ns-n1.example.org.", qtype: dns.TypeA, answer: "ns-n1.example.org. 3600 IN A 192.0.2.1"},
	})
}

// Readers see one state or the other: serial and addresses of an answer always belong together.
func TestApplyIsAtomic(t *testing.T) {
	state := func(i int) Config {
		cfg := Config{
			Serial: uint32(i),
			Zones:  []Zone{{ID: "z", Apex: "example.org", Pool: "p"}},
			Nodes:  []Node{{ID: "n", Name: fmt.Sprintf("n%d", i), Pool: "p", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}}},
		}
		return cfg
	}
	s, _ := newServer(t, state(0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			if err := s.Apply(state(i % 200)); err != nil {
				t.Error(err)
			}
		}
	}()
	q := query(t, "example.org.", dns.TypeNS, udpSize)
	miss := query(t, "no.example.org.", dns.TypeA, 0)
	for {
		select {
		case <-done:
			return
		default:
		}
		m := mustUnpack(t, s.handle(q, netip.Addr{}, overUDP, nil))
		host := m.Answer[0].(*dns.NS).Ns
		glue := m.Extra[0].(*dns.A)
		if glue.Hdr.Name != host || host != fmt.Sprintf("ns-n%d.example.org.", glue.A.To4()[3]) {
			t.Fatalf("mixed states:\n%v", m)
		}
		soa := mustUnpack(t, s.handle(miss, netip.Addr{}, overUDP, nil)).Ns[0].(*dns.SOA)
		if soa.Ns != fmt.Sprintf("ns-n%d.example.org.", soa.Serial) {
			t.Fatalf("mixed states: %v", soa)
		}
	}
}
