//go:build netns

package lab

import (
	"strings"
	"testing"
	"time"
)

func TestUDPIsBlockedAndTCPIsNot(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc, other := site.Host("pc", "10.99.1.10"), l.Host("other", "198.18.9.3")
	echo(web)
	f, g := pc.flow(t, web.Addr), other.flow(t, web.Addr)
	f.answers()
	tcp := func(what string) {
		t.Helper()
		if seen, err := pc.tcp(web.Addr, 10*time.Second); err != nil || seen != "198.18.9.2" {
			t.Errorf("%s: TCP: %q, %v", what, seen, err)
		}
	}
	blocks := []struct {
		what  string
		at    *Host
		ports []int
	}{{"at the site's router", site.Router, nil}, {"at the host", pc, nil}, {"by port", site.Router, []int{echoPort}}, {"at the server by port", web, []int{echoPort}}}
	for _, b := range blocks {
		must(t, b.at.BlockUDP(b.ports...))
		f.isSilent(b.what)
		tcp(b.what)
		if b.at != web {
			g.answers() // others are not concerned
		}
		must(t, b.at.AllowUDP())
		f.answers()
	}
	must(t, site.Router.BlockUDP(echoPort+1, 53))
	f.answers() // another port is no concern
	if err := pc.BlockUDP(70000); err == nil || !strings.Contains(err.Error(), "70000") {
		t.Error(err)
	}
}

func TestTCPIsBlockedAndUDPIsNot(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")
	echo(web)
	f := pc.flow(t, web.Addr)
	for _, ports := range [][]int{nil, {echoPort}} {
		must(t, site.Router.BlockTCP(ports...))
		if seen, err := pc.tcp(web.Addr, time.Second); err == nil {
			t.Errorf("ports %v: a connection from %s came about", ports, seen)
		}
		f.answers()
		must(t, site.Router.BlockUDP()) // both at once
		f.isSilent("both are blocked")
		must(t, site.Router.AllowUDP())
		must(t, site.Router.AllowTCP())
		if _, err := pc.tcp(web.Addr, 10*time.Second); err != nil {
			t.Errorf("ports %v, allowed again: %v", ports, err)
		}
		f.answers()
	}
	must(t, site.Router.BlockTCP(echoPort+1))
	if _, err := pc.tcp(web.Addr, 10*time.Second); err != nil {
		t.Errorf("another port is blocked: %v", err)
	}
	if err := pc.BlockTCP(0); err == nil || !strings.Contains(err.Error(), "block TCP: 0") {
		t.Error(err)
	}
}

// A firewall knows a host by its cable: what is put into the cable later changes nothing.
func TestBlockHoldsWhenALinkIsMade(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	echo(b)
	f := a.flow(t, b.Addr)
	must(t, a.BlockUDP())
	f.isSilent("before")
	linkOf(t, a)
	f.isSilent("after")
	must(t, a.AllowUDP())
	f.answers()
}

func TestPartition(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1", "2001:db8::1"), l.Host("b", "198.18.9.2", "2001:db8::2")
	c := l.Host("c", "198.18.9.3")
	site := l.Site("s1", "198.18.9.4", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")
	echo(b)
	echo(a)
	ab, cb, pb, pa := a.flow(t, b.Addr), c.flow(t, b.Addr), pc.flow(t, b.Addr), pc.flow(t, a.Addr)
	ab.answers()
	pb.answers()

	must(t, l.Partition([]*Host{a, pc}, []*Host{b}))
	ab.isSilent("both ways")
	pb.isSilent("both ways, from behind a router")
	cb.answers()
	pa.answers() // the same side
	must(t, l.Unite())
	ab.answers()
	pb.answers()

	// One way: questions arrive, answers don't. The counter shows which.
	k := linkOf(t, b)
	must(t, l.PartitionOneWay([]*Host{b}, []*Host{a}))
	before := k.Stats(Down).Left
	ab.isSilent("one way")
	if k.Stats(Down).Left == before {
		t.Error("the open way is closed")
	}
	cb.answers()
	// An address that it takes meanwhile is no way out.
	must(t, b.ChangeAddr("198.18.9.20"))
	a.flow(t, b.Addr).isSilent("the old address")
	must(t, l.Unite())
}

func TestPartitionHoldsForIPv6(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "2001:db8::1"), l.Host("b", "2001:db8::2")
	echo(b)
	f := a.flow(t, b.Addr)
	f.answers()
	must(t, l.Partition([]*Host{a}, []*Host{b}))
	f.isSilent("IPv6")
	must(t, l.Unite())
	f.answers()
}

func TestSitesSpeakBothFamilies(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	web6 := l.Host("web6", "2001:db8::9:1")
	both := l.Site("both", "198.18.9.2", "10.99.1.0/24")
	both.Also("2001:db8::9:2", "fd00:99:1::/64")
	six := l.Site("six", "2001:db8::9:3", "fd00:99:2::/64")
	dual, only := both.Host("dual", "10.99.1.10", "fd00:99:1::10"), six.Host("only", "fd00:99:2::10")
	echo(web)
	echo(web6)
	for _, c := range []struct {
		from, to *Host
		seen     string
	}{{dual, web, "198.18.9.2"}, {dual, web6, "2001:db8::9:2"}, {only, web6, "2001:db8::9:3"}} {
		if seen, err := c.from.tcp(c.to.Addr, 10*time.Second); err != nil || seen != c.seen {
			t.Errorf("%s to %s: %q, %v; want %s", c.from.Name, c.to.Name, seen, err, c.seen)
		}
	}
	if _, err := only.tcp(web.Addr, silence); err == nil {
		t.Error("an IPv6-only host reached an IPv4 address")
	}
}

func TestRebindAndChangeWAN(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")
	echo(web)
	f := pc.flow(t, web.Addr)
	seen := f.answers()
	for range 5 {
		must(t, site.Rebind())
		now := f.answers()
		if now == seen || !strings.HasPrefix(now, "198.18.9.2:") {
			t.Errorf("rebound, the server sees %s after %s", now, seen)
		}
		seen = now
	}
	must(t, site.ChangeWAN("198.18.9.77"))
	if now := f.answers(); !strings.HasPrefix(now, "198.18.9.77:") {
		t.Errorf("the server sees %s", now)
	}
	if got := site.Router.Addrs(); len(got) != 1 || got[0].String() != "198.18.9.77" {
		t.Errorf("addresses: %v", got)
	}
	for _, bad := range []string{"x", "10.0.0.1", "198.18.9.77", "2001:db8::1"} {
		if err := site.ChangeWAN(bad); err == nil {
			t.Errorf("the address became %s", bad)
		}
	}
}

func TestHostMovesToAnotherAddress(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1", "2001:db8::1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")
	echo(web)
	must(t, pc.ChangeAddr("10.99.1.11"))
	if seen := pc.flow(t, web.Addr).answers(); !strings.HasPrefix(seen, "198.18.9.2:") {
		t.Errorf("the server sees %s", seen)
	}
	if out := pc.Run("ip", "-o", "addr"); strings.Contains(out, "10.99.1.10/") || !strings.Contains(out, "10.99.1.11/24") {
		t.Errorf("its addresses:\n%s", out)
	}
	must(t, web.ChangeAddr("2001:db8::99"))
	if out := web.Run("ip", "-o", "addr"); !strings.Contains(out, "2001:db8::99/32") || !strings.Contains(out, "198.18.9.1/16") {
		t.Errorf("its addresses:\n%s", out)
	}
}
