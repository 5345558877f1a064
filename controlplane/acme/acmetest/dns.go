package acmetest

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// DNS is an authoritative server for every zone of two labels, over UDP and TCP. Challenges are what was
// added, and NXDOMAIN for 30 s before; every other name has the address 127.0.0.1.
type DNS struct {
	Addr string // host:port

	servers []*dns.Server
	done    sync.WaitGroup

	mu    sync.Mutex
	txt   map[string][]string // guarded by mu; by canonical name
	alias map[string]string   // guarded by mu; canonical names
	asked map[string]int      // guarded by mu; TXT queries by name
}

// StartDNS runs one for a test.
func StartDNS(t testing.TB) *DNS {
	t.Helper()
	d, err := RunDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

// RunDNS starts one on a free port of 127.0.0.1.
func RunDNS() (*DNS, error) {
	d := &DNS{txt: map[string][]string{}, alias: map[string]string{}, asked: map[string]int{}}
	for range 20 { // until a port is free for both
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		d.Addr = l.Addr().String()
		d.servers = []*dns.Server{{Listener: l, Handler: d}, {PacketConn: u, Handler: d}}
		for _, s := range d.servers {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			d.done.Go(func() { s.ActivateAndServe() })
			<-started
		}
		return d, nil
	}
	return nil, errors.New("no port is free for UDP and TCP")
}

// Stop ends it.
func (d *DNS) Stop() {
	for _, s := range d.servers {
		s.Shutdown()
	}
	d.done.Wait()
}

// Add adds a TXT value to a name.
func (d *DNS) Add(name, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := dns.CanonicalName(name)
	d.txt[n] = append(d.txt[n], value)
}

// Alias makes a name an alias (CNAME) of another: a question for it is answered with what is there, as a resolver
// does.
func (d *DNS) Alias(name, of string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alias[dns.CanonicalName(name)] = dns.CanonicalName(of)
}

// Remove takes a value away.
func (d *DNS) Remove(name, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := dns.CanonicalName(name)
	d.txt[n] = slices.DeleteFunc(d.txt[n], func(v string) bool { return v == value })
}

// Asked counts TXT queries for a name.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[dns.CanonicalName(name)]
}

// ServeDNS implements dns.Handler.
func (d *DNS) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	ask := q.Question[0]
	name := dns.CanonicalName(ask.Name)
	head := dns.RR_Header{Name: ask.Name, Class: dns.ClassINET, Rrtype: ask.Qtype}
	d.mu.Lock()
	if of, ok := d.alias[name]; ok {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: ask.Name, Class: dns.ClassINET, Rrtype: dns.TypeCNAME}, Target: of})
		head.Name, name = of, of
	}
	values := slices.Clone(d.txt[name])
	if ask.Qtype == dns.TypeTXT {
		d.asked[name]++
	}
	d.mu.Unlock()
	switch challenge := strings.HasPrefix(name, "_acme-challenge."); {
	case ask.Qtype == dns.TypeTXT && len(values) > 0:
		for _, v := range values {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{v}})
		}
	case ask.Qtype == dns.TypeA && !challenge:
		m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	case challenge && len(values) == 0:
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		labels := dns.SplitDomainName(name)
		zone := dns.Fqdn(strings.Join(labels[max(0, len(labels)-2):], "."))
		m.Ns = append(m.Ns, &dns.SOA{
			Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 30},
			Ns:  "ns." + zone, Mbox: "hostmaster." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 30,
		})
	}
	w.WriteMsg(m)
}
