package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/model"
)

func check(t *testing.T, i *internet, q Question) Report {
	t.Helper()
	r, err := i.checker().Check(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGoodDelegation(t *testing.T) {
	i, q := good(t)
	r := check(t, i, q)
	if !r.OK() || !r.Delegated || len(r.Warnings) > 0 || !slices.Equal(r.Issuers, []string{"one"}) || r.Refusal() != "" {
		t.Errorf("%+v", r)
	}
	for _, name := range q.Names {
		if !slices.Equal(r.Methods[name], []model.ChallengeType{model.DNS01}) {
			t.Errorf("%s: %v", name, r.Methods[name])
		}
	}
	want := []string{"shop.test NS ns-n1.shop.test", "shop.test NS ns-n2.shop.test", "ns-n1.shop.test A 198.51.100.1", "ns-n2.shop.test A 198.51.100.2"}
	var got []string
	for _, rec := range r.Records {
		got = append(got, rec.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("to type: %v", got)
	}
	// The parent was asked, at each of its servers, and each of ours.
	for _, a := range []string{"192.0.2.53", "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"} {
		if i.count(a) == 0 {
			t.Errorf("%s was not asked", a)
		}
	}
}

// Each mistake is refused by its name, with what to type.
func TestRefusals(t *testing.T) {
	lame := func(m *dns.Msg) { m.Rcode, m.Answer, m.Ns, m.Authoritative = dns.RcodeRefused, nil, nil, false }
	delegated := func(more string) string {
		return soa("test.") + "shop.test. 300 IN NS ns-n1.shop.test.\nshop.test. 300 IN NS ns-n2.shop.test.\n" +
			"ns-n1.shop.test. 300 IN A 198.51.100.1\nns-n2.shop.test. 300 IN A 198.51.100.2\n" + more
	}
	elsewhere := soa("test.") + "shop.test. 300 IN NS a.dns.test.\na.dns.test. 300 IN A 203.0.113.9\n"
	both := func(i *internet, zones ...string) {
		for _, a := range []netip.Addr{n1, n2} {
			i.serve(a.String(), nil, zones...)
		}
	}
	for _, tt := range []struct {
		name string
		make func(*internet, *Question)
		code Code
		says string
	}{
		{"no delegation", func(i *internet, q *Question) {
			i.root(soa("test."))
			both(i, ours("shop.test."))
		}, NotDelegated, "shop.test is not delegated to our nodes: type NS ns-n1.shop.test (198.51.100.1), ns-n2.shop.test (198.51.100.2) at its registrar"},
		{"wrong name servers", func(i *internet, q *Question) {
			i.root(elsewhere)
			i.serve("203.0.113.9", nil, soa("shop.test."))
		}, WrongServers, "shop.test is delegated to a.dns.test: type NS ns-n1.shop.test"},
		{"one too many", func(i *internet, q *Question) {
			i.root(delegated("shop.test. 300 IN NS a.dns.test.\n"))
			both(i, ours("shop.test."))
		}, ExtraServers, "names a.dns.test beside our nodes: remove a.dns.test there"},
		{"the parent's servers disagree", func(i *internet, q *Question) {
			i.root(delegated(""))
			i.serve("192.0.2.2", nil, strings.Replace(delegated(""), "shop.test. 300 IN NS ns-n2.shop.test.\n", "", 1))
			both(i, ours("shop.test."))
		}, ParentsDisagree, "test do not agree yet"},
		{"old glue", func(i *internet, q *Question) {
			i.root(strings.Replace(delegated(""), "A 198.51.100.2", "A 203.0.113.77", 1))
			both(i, ours("shop.test."))
			i.serve("203.0.113.77", nil, ours("shop.test."))
		}, WrongGlue, "has the address 203.0.113.77 for ns-n2.shop.test: type 198.51.100.2 there"},
		{"a lame node", func(i *internet, q *Question) {
			i.root(delegated(""))
			both(i, ours("shop.test."))
			i.serve(n2.String(), lame, ours("shop.test."))
		}, LameServer, "ns-n2.shop.test (198.51.100.2), which the registrar of shop.test names, does not answer for shop.test (REFUSED)"},
		{"a node without authority", func(i *internet, q *Question) {
			i.root(delegated(""))
			both(i, ours("shop.test."))
			i.serve(n2.String(), func(m *dns.Msg) { m.Authoritative = false }, ours("shop.test."))
		}, LameServer, "answers without authority"},
		{"a node that is down", func(i *internet, q *Question) {
			i.root(delegated(""))
			i.serve(n1.String(), nil, ours("shop.test."))
		}, LameServer, "(no server answers): start the node"},
		{"a DS record left behind", func(i *internet, q *Question) {
			i.root(delegated("shop.test. 300 IN DS 1 13 2 " + strings.Repeat("AB", 32) + "\n"))
			both(i, ours("shop.test."))
		}, StaleDS, "remove the DS record (DNSSEC) there"},
		{"CAA of the parent", func(i *internet, q *Question) {
			i.root(delegated("test. 300 IN CAA 0 issue \"other.example\"\n"))
			both(i, ours("shop.test."))
		}, CAAForbids, `CAA at test permits other.example only: add 0 issue "ca.example"`},
		{"CAA closer than a good one", func(i *internet, q *Question) {
			i.root(delegated("test. 300 IN CAA 0 issue \"ca.example\"\n"))
			both(i, ours("shop.test.", "shop.test. 300 IN CAA 0 issue \";\""))
		}, CAAForbids, "CAA at shop.test permits no authority"},
		{"CAA behind an alias", func(i *internet, q *Question) {
			q.Names = []string{"www.shop.test"}
			i.root(delegated("www.other.test. 300 IN CAA 0 issue \"other.example\"\n"))
			both(i, ours("shop.test.", "www.shop.test. 300 IN CNAME www.other.test."))
		}, CAAForbids, "CAA at www.shop.test permits other.example only"},
		{"CAA that is not answered", func(i *internet, q *Question) {
			i.root(delegated(""))
			both(i, ours("shop.test."))
			for _, a := range []netip.Addr{n1, n2} {
				i.serve(a.String(), func(m *dns.Msg) {
					if m.Question[0].Qtype == dns.TypeCAA {
						m.Rcode, m.Ns = dns.RcodeServerFailure, nil
					}
				}, ours("shop.test."))
			}
		}, CAAUnanswered, "SERVFAIL"},
		{"a stray alias", func(i *internet, q *Question) {
			i.root(elsewhere + "validation.other.test. 300 IN TXT x\n")
			i.serve("203.0.113.9", nil, soa("shop.test.")+"_acme-challenge.shop.test. 300 IN CNAME validation.other.test.\n")
		}, ChallengeAlias, "_acme-challenge.shop.test is an alias (CNAME) of validation.other.test, which is not ours"},
		{"an alias to a stranger's domain here", func(i *internet, q *Question) {
			i.root(elsewhere + "stranger.test. 300 IN NS ns-n1.stranger.test.\nns-n1.stranger.test. 300 IN A 198.51.100.1\n")
			both(i, ours("stranger.test."))
			i.serve("203.0.113.9", nil, soa("shop.test.")+"_acme-challenge.shop.test. 300 IN CNAME _acme-challenge.stranger.test.\n")
			q.Zones = []Zone{{"shop.test", q.Addresses}}
		}, ChallengeAlias, "which is not ours"},
		{"an alias to a domain of ours that is not delegated", func(i *internet, q *Question) {
			i.root(elsewhere + "mine.test. 300 IN NS a.dns.test.\n")
			i.serve("203.0.113.9", nil, soa("shop.test.")+"_acme-challenge.shop.test. 300 IN CNAME _acme-challenge.mine.test.\n", soa("mine.test."))
			q.Zones = []Zone{{"mine.test", q.Addresses}}
		}, ChallengeAlias, "that domain is not delegated to our nodes: see the check of mine.test"},
		{"an alias to itself", func(i *internet, q *Question) {
			i.root(elsewhere)
			i.serve("203.0.113.9", nil, soa("shop.test.")+"_acme-challenge.shop.test. 300 IN CNAME a.shop.test.\na.shop.test. 300 IN CNAME _acme-challenge.shop.test.\n")
		}, ChallengeSilent, "without an end"},
		{"a stray delegation", func(i *internet, q *Question) {
			i.root(elsewhere)
			i.serve("203.0.113.9", nil, soa("shop.test.")+"_acme-challenge.shop.test. 300 IN NS b.dns.test.\nb.dns.test. 300 IN A 203.0.113.10\n")
		}, ChallengeDelegated, "_acme-challenge.shop.test is delegated to other name servers: remove the NS records there"},
		{"addresses of ours and of others", func(i *internet, q *Question) {
			q.Names = q.Names[:1]
			i.root(elsewhere)
			i.serve("203.0.113.9", nil, soa("shop.test.")+"shop.test. 300 IN A 198.51.100.1\nshop.test. 300 IN A 203.0.113.50\n")
		}, PointsElsewhere, "shop.test has the addresses 203.0.113.50, which are not our nodes': remove them"},
		{"a wildcard without the DNS", func(i *internet, q *Question) {
			i.root(elsewhere)
			i.serve("203.0.113.9", nil, soa("shop.test.")+"shop.test. 300 IN A 198.51.100.1\n")
		}, WildcardNeedsDNS, "a wildcard can be proved in the DNS alone"},
		{"nobody in the parent", func(i *internet, q *Question) {
			i.serve(rootAddr.String(), nil, soa(".")+"test. 300 IN NS ns1.test.\nns1.test. 300 IN A 192.0.2.1\n")
			q.Names = q.Names[:1]
		}, ParentSilent, "the zone above shop.test can't be asked"},
		{"names that lead nowhere", func(i *internet, q *Question) {
			i.root(soa("test."))
			q.Names = []string{"shop.test"}
			q.Servers, q.Addresses = nil, nil
		}, NotDelegated, "its pool has no nodes yet"},
	} {
		i := newInternet(t)
		q := question("shop.test", "shop.test", "*.shop.test")
		tt.make(i, &q)
		r := check(t, i, q)
		got := codes(r.Problems)
		if !slices.Equal(got, []string{string(tt.code)}) || r.OK() {
			t.Errorf("%s: %v, want %s\n%+v", tt.name, got, tt.code, r.Problems)
			continue
		}
		if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.Message, tt.says) }) {
			t.Errorf("%s: %q, want %q in it", tt.name, r.Problems[0].Message, tt.says)
		}
	}
}

// Whom the parent lacks costs no certificate: those that it names all answer.
func TestMissingServersAreAWarning(t *testing.T) {
	i, q := good(t)
	n3 := netip.MustParseAddr("198.51.100.3")
	q.Servers = append(q.Servers, Server{Host: "ns-n3.shop.test", Addresses: []netip.Addr{n3}})
	r := check(t, i, q)
	if !r.OK() || !slices.Equal(codes(r.Warnings), []string{string(MissingServers)}) || !strings.Contains(r.Warnings[0].Message, "ns-n3.shop.test") {
		t.Errorf("%+v", r)
	}
}

// Domains that are somebody else's to serve: an alias of the challenge, or addresses of ours.
func TestWithoutDelegation(t *testing.T) {
	i, _ := good(t, "customer.test. 300 IN NS a.dns.test.")
	i.serve("203.0.113.9", nil, soa("customer.test.")+`
_acme-challenge.customer.test. 300 IN CNAME _acme-challenge.c1.shop.test.
www.customer.test. 300 IN CNAME edge.shop.test.
a.customer.test. 300 IN A 198.51.100.2
_acme-challenge.far.customer.test. 300 IN CNAME x.customer.test.
x.customer.test. 300 IN CNAME _acme-challenge.c2.shop.test.
`)
	for _, a := range []netip.Addr{n1, n2} {
		i.serve(a.String(), nil, ours("shop.test.", "edge.shop.test. 300 IN A 198.51.100.1", `_acme-challenge.c1.shop.test. 300 IN TXT "v"`))
	}
	q := question("customer.test", "customer.test", "*.customer.test", "www.customer.test", "a.customer.test", "far.customer.test")
	r := check(t, i, q)
	if !r.OK() || r.Delegated {
		t.Fatalf("%+v", r)
	}
	if r.Aliases["customer.test"] != "c1.shop.test" || r.Aliases["far.customer.test"] != "c2.shop.test" || len(r.Aliases) != 2 {
		t.Errorf("aliases %v", r.Aliases)
	}
	for name, want := range map[string][]model.ChallengeType{
		"customer.test": {model.DNS01}, "*.customer.test": {model.DNS01}, "far.customer.test": {model.DNS01},
		"www.customer.test": {model.TLSALPN01, model.HTTP01}, "a.customer.test": {model.TLSALPN01, model.HTTP01},
	} {
		if !slices.Equal(r.Methods[name], want) {
			t.Errorf("%s: %v, want %v", name, r.Methods[name], want)
		}
	}
}

// Name servers without glue, and an answer that does not fit into a packet.
func TestWalk(t *testing.T) {
	i := newInternet(t)
	i.root(soa("test.") + "far.test. 300 IN NS ns.helper.test.\nhelper.test. 300 IN NS ns.dns.test.\nns.dns.test. 300 IN A 203.0.113.1\n")
	i.serve("203.0.113.1", nil, soa("helper.test.")+"ns.helper.test. 300 IN A 203.0.113.2\n")
	var many strings.Builder
	for range 100 {
		many.WriteString("big.far.test. 300 IN TXT " + strings.Repeat("x", 1+many.Len()%200) + "\n")
	}
	i.serve("203.0.113.2", nil, soa("far.test.")+many.String())
	w := newWalk(Options{Roots: []netip.Addr{rootAddr}, Dial: i.dial}, Question{})
	m, _, err := w.find(t.Context(), "big.far.test.", dns.TypeTXT)
	if err != nil || len(m.Answer) < 50 {
		t.Errorf("%v, %v", m, err)
	}
}

// Whatever servers say, a check ends: by its questions or by its time.
func TestEndless(t *testing.T) {
	i := newInternet(t)
	deeper := func(m *dns.Msg) { // a delegation further down, to the same server, for ever
		name := m.Question[0].Name
		m.Authoritative, m.Answer, m.Rcode = false, nil, dns.RcodeSuccess
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNS, Class: dns.ClassINET}, Ns: "x." + name}}
	}
	i.serve(rootAddr.String(), deeper, soa("."))
	q := question("shop.test", "shop.test", "*.shop.test")
	if r := check(t, i, q); r.OK() {
		t.Errorf("%+v", r)
	}
	if n := i.count(rootAddr.String()); n > maxAsked+2*maxPerName {
		t.Errorf("%d questions", n)
	}
}

func TestTimeout(t *testing.T) {
	i := newInternet(t)
	i.silence(rootAddr.String())
	q := question("shop.test", "shop.test", "*.shop.test")
	// The caller's end is the check's, and is told from the DNS being silent.
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := i.checker().Check(short, q); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	cancelled, stop := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := i.checker().Check(cancelled, q); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// With a limit of its own it reports what it did not learn.
	f := func() Facts {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return gather(ctx, newWalk(i.checker().with, q), q)
	}()
	r := Judge(q, f)
	if r.OK() || !slices.Contains(codes(r.Problems), string(ParentSilent)) {
		t.Errorf("%+v", r.Problems)
	}
}

// An order may have a hundred names.
func TestManyNames(t *testing.T) {
	i, q := good(t)
	q.Names = nil
	for n := range 100 {
		q.Names = append(q.Names, fmt.Sprintf("n%d.shop.test", n))
	}
	if r := check(t, i, q); !r.OK() || len(r.Methods) != 100 {
		t.Errorf("%d methods, %v", len(r.Methods), r.Refusal())
	}
}

// A stranger's zone does not make us talk to this host, or to what a cloud tells machines.
func TestStrangeServers(t *testing.T) {
	i := newInternet(t)
	i.root(soa("test.") + "shop.test. 300 IN NS a.evil.test.\na.evil.test. 300 IN A 127.0.0.1\na.evil.test. 300 IN A 169.254.169.254\na.evil.test. 300 IN AAAA ::1\n")
	for _, a := range []string{"127.0.0.1", "169.254.169.254"} {
		i.serve(a, nil, soa("shop.test.")+"shop.test. 300 IN A 198.51.100.1\n")
	}
	r := check(t, i, question("shop.test", "shop.test"))
	if r.OK() || i.count("127.0.0.1")+i.count("169.254.169.254")+i.count("::1") > 0 {
		t.Errorf("%+v, asked %v", r, i.asked)
	}
}
