package dns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func challenged(cfg Config, challenges ...Challenge) Config {
	for i := range challenges {
		challenges[i].ID = fmt.Sprintf("c%d", i)
		if challenges[i].Expires.IsZero() {
			challenges[i].Expires = at.Add(10 * time.Minute)
		}
	}
	cfg.Challenges = challenges
	return cfg
}

func TestChallenges(t *testing.T) {
	v := mustView(t, challenged(
		example(),
		Challenge{Name: "example.org", Text: "apex"}, Challenge{Name: "example.org", Text: "wildcard"}, Challenge{Name: "example.org", Text: "apex"},
		Challenge{Name: "foo.wild.example.org", Text: "foo"}, Challenge{Name: "a.new.example.org", Text: "new"},
		Challenge{Name: "old.example.org", Text: "old", Expires: at}, Challenge{Name: "www.example.org", Text: "www"},
		Challenge{Name: "www.example.org", Text: "old", Expires: at.Add(-time.Second)},
	))
	both := "30 IN A 192.0.2.1\nfoo.wild.example.org. 30 IN A 192.0.2.2"
	checkLookups(t, v, []want{
		// Nobody keeps them, and a set is whole: apex and wildcard are asked for at one name.
		{qname: "_acme-challenge.example.org.", qtype: dns.TypeTXT, answer: "_acme-challenge.example.org. 0 IN TXT \"apex\"\n_acme-challenge.example.org. 0 IN TXT \"wildcard\""},
		{qname: "_AcMe-Challenge.Www.example.org.", qtype: dns.TypeTXT, answer: "_AcMe-Challenge.Www.example.org. 0 IN TXT \"www\""},
		{qname: "_acme-challenge.www.example.org.", qtype: dns.TypeANY, answer: "_acme-challenge.www.example.org. 0 IN TXT \"www\""},
		{qname: "_acme-challenge.www.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "x._acme-challenge.www.example.org.", qtype: dns.TypeTXT, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "www.example.org.", qtype: dns.TypeTXT, authority: negativeSOA},
		// Below a wildcard: every name that it covers goes on resolving, that of the challenge included.
		{qname: "_acme-challenge.foo.wild.example.org.", qtype: dns.TypeTXT, answer: "_acme-challenge.foo.wild.example.org. 0 IN TXT \"foo\""},
		{qname: "foo.wild.example.org.", qtype: dns.TypeA, answer: "foo.wild.example.org. " + both},
		{qname: "bar.wild.example.org.", qtype: dns.TypeA, answer: strings.ReplaceAll("foo.wild.example.org. "+both, "foo", "bar")},
		{qname: "bar.foo.wild.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "_acme-challenge.foo.wild.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		// Where nothing is, the names above a challenge are not denied: a resolver could take that for all below.
		{qname: "_acme-challenge.a.new.example.org.", qtype: dns.TypeTXT, answer: "_acme-challenge.a.new.example.org. 0 IN TXT \"new\""},
		{qname: "_acme-challenge.a.new.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "a.new.example.org.", qtype: dns.TypeNS, authority: negativeSOA},
		{qname: "new.example.org.", qtype: dns.TypeA, authority: negativeSOA},
		{qname: "b.new.example.org.", qtype: dns.TypeA, rcode: dns.RcodeNameError, authority: negativeSOA},
		// Expired.
		{qname: "_acme-challenge.old.example.org.", qtype: dns.TypeTXT, rcode: dns.RcodeNameError, authority: negativeSOA},
		{qname: "old.example.org.", qtype: dns.TypeTXT, rcode: dns.RcodeNameError, authority: negativeSOA},
	})
}

// Whatever the zones and the challenges, only the questions that are about a challenge are answered otherwise.
func TestChallengesChangeNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	cfg := randomConfig(r, 15)
	var challenges []Challenge
	owners, above := map[string]bool{}, map[string]bool{}
	for i, q := range questions(r, cfg) {
		name := strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(q, "*", "s"), "."))
		if !strings.HasSuffix(name, ".test") || len(name) > 200 || i%3 > 0 {
			continue
		}
		challenges = append(challenges, Challenge{Name: name, Text: "x"})
		owners["_acme-challenge."+name+"."] = true
		for rest := name; rest != ""; _, rest, _ = strings.Cut(rest, ".") {
			above[rest+"."] = true
		}
	}
	plain, with := mustView(t, cfg), newView(challenged(cfg, challenges...), nil)
	asked, differed := 0, 0
	for _, q := range append(questions(r, cfg), questions(r, cfg)...) {
		for _, prefix := range []string{"", "_acme-challenge.", "x._acme-challenge.", "x.", "*."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeANY, dns.TypeCAA} {
				name := prefix + q
				lower := strings.ToLower(name)
				was, is := plain.lookup(name, qtype, 0, at), with.lookup(name, qtype, 0, at)
				asked++
				if owners[lower] && (qtype == dns.TypeTXT || qtype == dns.TypeANY) && is.rcode == dns.RcodeSuccess && len(is.answer) == 1 {
					differed++
					continue
				}
				if was.rcode == dns.RcodeNameError && is.rcode == dns.RcodeSuccess && len(is.answer) == 0 && (owners[lower] || above[lower]) {
					differed++
					was.rcode = is.rcode
				}
				if was.rcode != is.rcode || text(was.answer) != text(is.answer) || text(was.authority) != text(is.authority) {
					t.Errorf("%s %s: %v, with challenges %v", name, dns.TypeToString[qtype], was, is)
				}
			}
		}
	}
	if asked < 5000 || differed < 100 {
		t.Errorf("%d questions, %d about challenges: this test looks at too little", asked, differed)
	}
}

// A node that hears from nobody forgets a challenge by itself, over both transports.
func TestChallengeExpires(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s, _ := newServer(t, challenged(example(), Challenge{Name: "new.example.org", Text: "v", Expires: time.Now().Add(10 * time.Minute)}))
		q := query(t, "_acme-challenge.new.example.org.", dns.TypeTXT, 0)
		answers := func() (n int) {
			for _, over := range []transport{overUDP, overTCP} {
				n += len(mustUnpack(t, s.handle(q, netip.Addr{}, over, nil)).Answer)
			}
			return n
		}
		time.Sleep(10*time.Minute - time.Millisecond)
		if n := answers(); n != 2 {
			t.Errorf("%d answers before", n)
		}
		time.Sleep(time.Millisecond)
		if n := answers(); n != 0 {
			t.Errorf("%d answers after", n)
		}
		if m := mustUnpack(t, s.handle(q, netip.Addr{}, overUDP, nil)); m.Rcode != dns.RcodeNameError || m.Ns[0].Header().Ttl > 30 {
			t.Errorf("after: %v", m)
		}
	})
}

// Thousands of challenges: of one name as many as an answer over TCP carries, of others all.
func TestManyChallenges(t *testing.T) {
	var all []Challenge
	for i := range 5000 {
		all = append(all, Challenge{Name: "example.org", Text: fmt.Sprintf("%043d", i), Expires: at.Add(time.Duration(i+1) * time.Second)},
			Challenge{Name: fmt.Sprintf("n%d.example.org", i), Text: "x"})
	}
	v := mustView(t, challenged(example(), all...))
	r := respond(v, query(t, "_acme-challenge.example.org.", dns.TypeTXT, 0), tcpSize, 0, at, nil)
	m := mustUnpack(t, r.packet)
	if r.truncated || len(m.Answer) != maxTexts || m.Answer[0].(*dns.TXT).Txt[0] != fmt.Sprintf("%043d", 4999) {
		t.Errorf("%d answers, truncated %v", len(m.Answer), r.truncated)
	}
	if m := ask(t, v, query(t, "_acme-challenge.example.org.", dns.TypeTXT, 1232)); !m.Truncated || len(m.Answer) > 0 {
		t.Errorf("over UDP: %v", m)
	}
	if a := v.lookup("_acme-challenge.n4999.example.org.", dns.TypeTXT, 0, at); len(a.answer) != 1 {
		t.Errorf("%+v", a)
	}
}

func TestBadChallenges(t *testing.T) {
	for _, c := range []Challenge{
		{Name: "example.net", Text: "x"}, {Name: "*.example.org", Text: "x"}, {Name: "Example.org", Text: "x"}, {Name: "", Text: "x"},
		{Name: "a..example.org", Text: "x"}, {Name: "example.org", Text: ""}, {Name: "example.org", Text: strings.Repeat("x", 256)},
		{Name: strings.Repeat(strings.Repeat("a", 59)+".", 4) + "example.org", Text: "x"},
	} {
		v := newView(challenged(example(), c, Challenge{Name: "example.org", Text: "good"}), nil)
		e, ok := errors.AsType[*ObjectError](v.err)
		if !ok || e.Challenge != "c0" {
			t.Errorf("%q: %v", c.Name, v.err)
		}
		if a := v.lookup("_acme-challenge.example.org.", dns.TypeTXT, 0, at); len(a.answer) != 1 {
			t.Errorf("%q: the good one is not served: %v", c.Name, a)
		}
	}
}

func TestCAA(t *testing.T) {
	cfg := example()
	cfg.Zones[0].Issuers = []string{"letsencrypt.org", "Bad CA", "pki.goog"}
	v := newView(cfg, nil)
	if e, ok := errors.AsType[*ObjectError](v.err); !ok || e.Zone != "z1" || !strings.Contains(e.Error(), "issuer") {
		t.Errorf("a bad issuer: %v", v.err)
	}
	checkLookups(t, v, []want{
		{qname: "example.org.", qtype: dns.TypeCAA, answer: "example.org. 30 IN CAA 0 issue \"letsencrypt.org\"\nexample.org. 30 IN CAA 0 issue \"pki.goog\""},
		{qname: "www.example.org.", qtype: dns.TypeCAA, authority: negativeSOA},
		{qname: "empty.test.", qtype: dns.TypeCAA, authority: "empty.test. 30 IN SOA empty.test. hostmaster.empty.test. 42 3600 600 604800 30"},
	})
	// Who is allowed changes without anything else.
	next := cfg
	next.Zones = append([]Zone{}, cfg.Zones...)
	next.Zones[0].Issuers = []string{"pki.goog"}
	if a := newView(next, v).lookup("example.org.", dns.TypeCAA, 0, at); len(a.answer) != 1 {
		t.Errorf("after a change: %v", a.answer)
	}
}

// What says more of authorities takes the place of their names. What can't stand in a record is not served, the rest is.
func TestCAAWithAccounts(t *testing.T) {
	const account = "pki.goog; accounturi=https://pki.goog/1?a=b&c; validationmethods=dns-01"
	cfg := example()
	cfg.Zones[0].Issuers = []string{"pki.goog"}
	v := newView(cfg, nil)
	next := cfg
	next.Zones = append([]Zone{}, cfg.Zones...)
	next.Zones[0].CAA = []CAA{{"issue", account}, {"issuewild", ";"}}
	records := "example.org. 30 IN CAA 0 issue \"" + account + "\"\nexample.org. 30 IN CAA 0 issuewild \";\""
	checkLookups(t, newView(next, v), []want{{qname: "example.org.", qtype: dns.TypeCAA, answer: records}})
	for _, bad := range []CAA{{"iodef", "mailto:a@example.org"}, {"issue", ""}, {"issue", "a\"b"}, {"issue", `a\000`}, {"issue", "a\x00"}, {"issue", "é"}, {"issue", strings.Repeat("a", maxCAA+1)}, {"", "a"}} {
		next.Zones[0].CAA = []CAA{bad, {"issue", account}}
		v := newView(next, nil)
		if e, ok := errors.AsType[*ObjectError](v.err); !ok || e.Zone != "z1" {
			t.Errorf("%q: %v", bad, v.err)
		}
		if a := v.lookup("example.org.", dns.TypeCAA, 0, at); len(a.answer) != 1 {
			t.Errorf("%q: served %v", bad, a.answer)
		}
	}
}

// Over real sockets, what a certificate authority sees.
func TestChallengeOverSockets(t *testing.T) {
	s, _ := newServer(t, challenged(example(), Challenge{Name: "example.org", Text: "v", Expires: time.Now().Add(time.Minute)}))
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s, []net.PacketConn{udp}, tcp)
	for network, addr := range map[string]string{"udp": udp.LocalAddr().String(), "tcp": tcp.Addr().String()} {
		m := new(dns.Msg)
		m.SetQuestion("_acme-challenge.example.org.", dns.TypeTXT)
		in, _, err := (&dns.Client{Net: network}).Exchange(m, addr)
		if err != nil || len(in.Answer) != 1 || in.Answer[0].Header().Ttl != 0 || !in.Authoritative {
			t.Errorf("%s: %v, %v", network, in, err)
		}
	}
}
