package preflight

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// internet is name servers at addresses of documentation, each on sockets of its own.
type internet struct {
	t     testing.TB
	mu    sync.Mutex
	where map[string]string // "udp 192.0.2.1" -> socket
	asked map[string]int    // questions by address
}

func newInternet(t testing.TB) *internet {
	return &internet{t: t, where: map[string]string{}, asked: map[string]int{}}
}

func (i *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	i.mu.Lock()
	to := i.where[network+" "+host]
	i.asked[host]++
	i.mu.Unlock()
	switch {
	case to == "" && strings.Contains(host, ":"):
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
	case to == "":
		return nil, syscall.ECONNREFUSED
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// serve answers for zones, written as in a zone file with whole names, each beginning with its SOA. change may
// alter an answer; nil: nothing does.
func (i *internet) serve(address string, change func(*dns.Msg), zones ...string) {
	i.t.Helper()
	var parsed [][]dns.RR
	for _, text := range zones {
		var rrs []dns.RR
		p := dns.NewZoneParser(strings.NewReader(text), ".", "")
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			rrs = append(rrs, rr)
		}
		if err := p.Err(); err != nil {
			i.t.Fatal(err)
		}
		parsed = append(parsed, rrs)
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		answer(m, parsed)
		if change != nil {
			change(m)
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(dns.DefaultMsgSize)
		}
		_ = w.WriteMsg(m)
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		started, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			_ = s.ActivateAndServe()
		}()
		<-started
		i.t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.where["udp "+address], i.where["tcp "+address] = pc.LocalAddr().String(), l.Addr().String()
}

// silence takes packets at an address and says nothing.
func (i *internet) silence(address string) {
	i.t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = pc.Close() })
	i.where["udp "+address] = pc.LocalAddr().String()
	delete(i.where, "tcp "+address)
}

// answer does what RFC 1034 §4.3.2 says, without wildcards.
func answer(m *dns.Msg, zones [][]dns.RR) {
	name, qtype := dns.CanonicalName(m.Question[0].Name), m.Question[0].Qtype
	var zone []dns.RR
	for _, z := range zones {
		origin := dns.CanonicalName(z[0].Header().Name)
		deeper := zone == nil || len(origin) > len(zone[0].Header().Name)
		if dns.IsSubDomain(origin, name) && deeper && (qtype != dns.TypeDS || origin != name || len(zones) == 1) {
			zone = z
		}
	}
	if zone == nil {
		m.Rcode = dns.RcodeRefused
		return
	}
	origin := dns.CanonicalName(zone[0].Header().Name)
	for _, rr := range zone { // a cut?
		owner := dns.CanonicalName(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && owner != origin && dns.IsSubDomain(owner, name) && (qtype != dns.TypeDS || owner != name) {
			m.Ns = append(m.Ns, rr)
			for _, g := range zone {
				if t := g.Header().Rrtype; (t == dns.TypeA || t == dns.TypeAAAA) && dns.CanonicalName(g.Header().Name) == dns.CanonicalName(rr.(*dns.NS).Ns) {
					m.Extra = append(m.Extra, g)
				}
			}
		}
	}
	if len(m.Ns) > 0 {
		return
	}
	m.Authoritative = true
	exists := false
	for _, rr := range zone {
		if dns.CanonicalName(rr.Header().Name) == name {
			exists = true
			if t := rr.Header().Rrtype; t == qtype || t == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		exists = exists || dns.IsSubDomain(name, dns.CanonicalName(rr.Header().Name))
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{zone[0]}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	}
}

func (i *internet) count(address string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[address]
}

func soa(zone string) string {
	return zone + " 30 IN SOA ns. h. 1 1 1 1 30\n"
}

var (
	rootAddr = netip.MustParseAddr("192.0.2.53")
	n1, n2   = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
)

// good is an internet in which shop.test is delegated to two nodes, and a question about it. more is added to the
// zone test.
func good(t testing.TB, more ...string) (*internet, Question) {
	i := newInternet(t)
	test := soa("test.") + `
shop.test. 300 IN NS ns-n1.shop.test.
shop.test. 300 IN NS ns-n2.shop.test.
ns-n1.shop.test. 300 IN A 198.51.100.1
ns-n2.shop.test. 300 IN A 198.51.100.2
other.test. 300 IN NS a.dns.test.
a.dns.test. 300 IN A 203.0.113.9
` + strings.Join(more, "\n")
	i.root(test)
	for _, a := range []netip.Addr{n1, n2} {
		i.serve(a.String(), nil, ours("shop.test."))
	}
	return i, question("shop.test", "shop.test", "*.shop.test")
}

// root serves the root, and test. beside it at two other addresses.
func (i *internet) root(test string) {
	i.serve(rootAddr.String(), nil, soa(".")+`
test. 300 IN NS ns1.test.
test. 300 IN NS ns2.test.
ns1.test. 300 IN A 192.0.2.1
ns2.test. 300 IN A 192.0.2.2
`)
	i.serve("192.0.2.1", nil, test)
	i.serve("192.0.2.2", nil, test)
}

// ours is what a node answers for a zone.
func ours(apex string, more ...string) string {
	return soa(apex) + apex + " 300 IN NS ns-n1." + apex + "\n" + apex + " 300 IN NS ns-n2." + apex + "\n" +
		"ns-n1." + apex + " 300 IN A 198.51.100.1\nns-n2." + apex + " 300 IN A 198.51.100.2\n" + strings.Join(more, "\n")
}

func question(apex string, names ...string) Question {
	return Question{
		Apex: apex, Names: names, Addresses: []netip.Addr{n1, n2}, Zones: []Zone{{apex, []netip.Addr{n1, n2}}, {"shop.test", []netip.Addr{n1, n2}}},
		Servers: []Server{{Host: "ns-n1." + apex, Addresses: []netip.Addr{n1}}, {Host: "ns-n2." + apex, Addresses: []netip.Addr{n2}}},
		Issuers: []Issuer{{Name: "one", Domains: []string{"ca.example"}, Account: "https://ca.example/acct/7"}},
	}
}

func (i *internet) checker() *Checker {
	return New(Options{Roots: []netip.Addr{rootAddr}, Dial: i.dial})
}

func codes(list []Problem) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, string(p.Code))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
