//go:build netns

package lab

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Every fault that the lab knows happens, alone and in pairs, and leaves hosts that reach each other.
func TestKnownFaultsHappenAndEnd(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")
	echo(web)
	p := pc.Start("sleep", nil, "sleep", "600")
	f := pc.flow(t, web.Addr)
	f.answers()
	k := linkOf(t, pc)
	was := Shape{Delay: time.Millisecond}
	must(t, k.Set(Both, was))

	faults := []Fault{
		Killed(p), Paused(p), Severed(pc), Lossy(pc), Slow(web), Parted("pc from web", []*Host{pc}, []*Host{web}),
		Deaf(site.Router), Streamless(site.Router, echoPort), Rebound(site), Moved(site.Router, netip.MustParseAddr("198.18.9.50")),
	}
	seen := map[string]int{}
	in := l.Faults(4, faults...)
	if in.Seed != 4 || l.Faults(0).Seed != l.Seed {
		t.Error("another seed than asked for")
	}
	err := in.Run(t.Context(), Schedule{Count: 30, Duration: [2]time.Duration{time.Millisecond, 20 * time.Millisecond}, Pairs: 0.5}, func(s Step, started bool) {
		if started {
			return
		}
		for _, name := range s.Faults {
			seen[name]++
		}
		if !p.Running() {
			t.Errorf("%v: the program is gone", s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		if seen[f.Name] == 0 {
			t.Errorf("this seed leaves out %q", f.Name)
		}
	}
	pc.flow(t, web.Addr).answers()
	if s, cut := k.State(Down); s != was || cut {
		t.Errorf("the link is %+v, cut: %v", s, cut)
	}
	if got := site.Router.Addrs(); got[0].String() != "198.18.9.2" {
		t.Errorf("the router is %v", got)
	}
}

// Drawn together, killing and pausing go both orders: the program runs afterwards.
func TestKilledAndPausedGetAlong(t *testing.T) {
	l := New(t)
	p := l.Host("h", "198.18.9.1").Start("sleep", nil, "sleep", "600")
	in := l.Faults(1, Killed(p), Paused(p))
	orders := map[string]bool{}
	must(t, in.Run(t.Context(), Schedule{Count: 20, Pairs: 1}, func(s Step, started bool) {
		orders[strings.Join(s.Faults, ", ")] = true
		if !started && !p.Running() {
			t.Errorf("%v: it does not run", s)
		}
	}))
	if len(orders) != 2 {
		t.Errorf("only %v", orders)
	}
}

func TestFaultsSayWhatCannotBe(t *testing.T) {
	l := New(t)
	h := l.Host("h", "198.18.9.1")
	for _, f := range []Fault{Moved(h, netip.MustParseAddr("2001:db8::1")), Moved(h, netip.MustParseAddr("10.0.0.1")), Parted("nobody", nil, []*Host{h})} {
		if err := l.Faults(1, f).Run(t.Context(), Schedule{Count: 1}, nil); err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// A prober stands on a host: what cuts the host off is what it sees.
func TestProberSeesFromItsHost(t *testing.T) {
	l := New(t)
	web, pc := l.Host("web", "198.18.9.1"), l.Host("pc", "198.18.9.2")
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = srv.Serve(web.Listen(80)) }()
	t.Cleanup(func() { _ = srv.Close() })
	pr, err := NewProber(Probe{From: pc, URL: "http://198.18.9.1/", Rate: 200, Timeout: 200 * time.Millisecond})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pr.Run(ctx) }()
	progress := func(what string, ok func(Report) bool) {
		t.Helper()
		Eventually(t, 20*time.Second, what, func() error {
			if r := pr.Report(); !ok(r) {
				return errors.New(r.String())
			}
			return nil
		})
	}
	progress("successes", func(r Report) bool { return r.Sent-r.Failed > 20 })
	pr.Mark("cut")
	must(t, linkOf(t, pc).Cut(Down))
	progress("failures", func(r Report) bool { return r.Failures["timeout"] > 20 && !r.Heals[0].Healed })
	must(t, linkOf(t, pc).Heal())
	progress("healing", func(r Report) bool { return r.Heals[0].Healed })
	cancel()
	must(t, <-done)
	r := pr.Report()
	if r.LongestGap < 200*time.Millisecond || r.Lost == 0 {
		t.Errorf("%v", r)
	}
	t.Log(r)
}
