package gossip

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// two are the records of the owner a and of the reader b.
func two() (a, b *records) {
	a, b = newRecords("a", 11), newRecords("b", 22)
	a.expect([]string{"b"})
	b.expect([]string{"a"})
	return a, b
}

func set(r *records, sites ...string) message {
	m, _ := r.set(sites)
	return m
}

func TestDeltas(t *testing.T) {
	a, b := two()
	if b.sites("a") != nil {
		t.Error("told before it was told")
	}
	first := set(a)
	if fresh, changed := b.take(first, clock(0)); !fresh || !changed || b.sites("a") == nil || len(b.sites("a")) != 0 {
		t.Errorf("no site at all is something to tell: %v", b.sites("a"))
	}
	if _, changed := a.set(nil); changed {
		t.Error("the same again is news")
	}
	b.take(set(a, "x", "y", "x", ""), clock(0))
	m := set(a, "y", "z")
	if fresh, _ := b.take(m, clock(0)); !fresh || !slices.Equal(b.sites("a"), []string{"y", "z"}) {
		t.Errorf("%v", b.sites("a"))
	}
	if fresh, changed := b.take(m, clock(0)); fresh || changed {
		t.Error("heard twice, it is news twice")
	}
	if fresh, changed := b.take(message{kind: msgDelta, node: "stranger", epoch: 1, seq: 1}, clock(0)); fresh || changed {
		t.Error("a stranger's sites")
	}
}

func TestWhoIsBehindAsksTheOwner(t *testing.T) {
	a, b := two()
	b.take(set(a, "x"), clock(0))
	lost := set(a, "y")
	after := set(a, "z")
	if fresh, changed := b.take(after, clock(1)); fresh || changed || !slices.Equal(b.sites("a"), []string{"x"}) {
		t.Errorf("a gap: %v", b.sites("a"))
	}
	if ask, next := b.wants(clock(1)); len(ask) != 0 || !next.Equal(clock(1).Add(askAfter)) {
		t.Errorf("it may only have been overtaken: %v %v", ask, next)
	}
	if ask, next := b.wants(clock(1.2)); !slices.Equal(ask, []string{"a"}) || !next.Equal(clock(2.2)) {
		t.Errorf("%v %v", ask, next)
	}
	if ask, _ := b.wants(clock(1.3)); len(ask) != 0 {
		t.Error("asked twice at once")
	}
	b.take(lost, clock(1.4)) // late
	b.take(after, clock(1.5))
	if ask, next := b.wants(clock(3)); len(ask) != 0 || !next.IsZero() || !slices.Equal(b.sites("a"), []string{"z"}) {
		t.Errorf("caught up, and asks %v", ask)
	}
	set(a, "u")
	b.compare("a", pulse{epoch: 11, seq: a.own.seq}, clock(5))
	if ask, _ := b.wants(clock(5)); len(ask) != 1 {
		t.Error("the owner says that there is more: no reason to wait")
	}
	if _, changed := b.take(a.whole(), clock(6)); !changed || !slices.Equal(b.sites("a"), []string{"u"}) {
		t.Errorf("%v", b.sites("a"))
	}
	if _, next := b.wants(clock(6)); !next.IsZero() {
		t.Error("still behind")
	}
}

func TestTooMuchForAPacketIsAnnounced(t *testing.T) {
	a, b := two()
	b.take(set(a, "x"), clock(0))
	m := set(a, siteIDs(0, 2000)...)
	if m.kind != msgAnnounce {
		t.Fatalf("kind %d", m.kind)
	}
	if fresh, changed := b.take(m, clock(1)); !fresh || changed {
		t.Errorf("fresh %v, changed %v", fresh, changed)
	}
	if fresh, _ := b.take(m, clock(1)); fresh {
		t.Error("passed on twice")
	}
	if ask, _ := b.wants(clock(2)); len(ask) != 1 {
		t.Error("not asked")
	}
	b.take(a.whole(), clock(2))
	if len(b.sites("a")) != 2000 {
		t.Errorf("%d sites", len(b.sites("a")))
	}
	if set(a, make([]string, 0)...); len(a.own.sites) != 0 {
		t.Error("not emptied")
	}
	if set(a, siteIDs(0, maxSites+5)...); len(a.own.sites) != maxSites {
		t.Errorf("%d sites", len(a.own.sites))
	}
}

func TestNextProcessOfANode(t *testing.T) {
	a, b := two()
	b.take(set(a, "x"), clock(0))
	old := set(a, "y")
	again := newRecords("a", 33)
	set(again, "z")
	if !b.compare("a", pulse{epoch: 33, seq: 1}, clock(1)) || b.sites("a") != nil {
		t.Errorf("what the old one said holds: %v", b.sites("a"))
	}
	if fresh, changed := b.take(old, clock(1)); fresh || changed || b.sites("a") != nil {
		t.Errorf("a late delta of the old one: %v", b.sites("a"))
	}
	b.take(again.whole(), clock(1))
	if !slices.Equal(b.sites("a"), []string{"z"}) {
		t.Errorf("%v", b.sites("a"))
	}
	b.forget("a")
	if b.sites("a") != nil {
		t.Error("not forgotten")
	}
	b.compare("a", pulse{epoch: 33, seq: 1}, clock(2))
	if ask, _ := b.wants(clock(2)); len(ask) != 1 {
		t.Error("alive again, its record is not asked for")
	}
	b.expect(nil)
	if b.sites("a") != nil || b.compare("a", pulse{epoch: 33, seq: 9}, clock(2)) {
		t.Error("no peer any more")
	}
}

// Whatever is lost, late or doubled: who hears the owner's pulses ends with its sites.
func TestRecordsConverge(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		a, b := two()
		var air []message
		now := clock(0)
		for range 60 {
			now = now.Add(time.Duration(rnd.IntN(300)) * time.Millisecond)
			switch rnd.IntN(4) {
			case 0:
				var sites []string
				for range rnd.IntN(80) {
					sites = append(sites, fmt.Sprintf("site_%026d", rnd.IntN(100)))
				}
				air = append(air, set(a, sites...))
			case 1:
				if rnd.IntN(10) == 0 {
					a = newRecords("a", rnd.Uint64()|1)
				}
			default:
				if len(air) > 0 {
					b.take(air[rnd.IntN(len(air))], now)
				}
			}
		}
		for range 3 {
			now = now.Add(2 * time.Second)
			b.compare("a", pulse{epoch: a.own.epoch, seq: a.own.seq}, now)
			if ask, _ := b.wants(now); len(ask) > 0 {
				b.take(a.whole(), now)
			}
		}
		if !slices.Equal(b.sites("a"), a.own.sites) {
			t.Fatalf("seed %d: %v, want %v", seed, b.sites("a"), a.own.sites)
		}
	}
}
