package inbound

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestQuota(t *testing.T) {
	all := NewTenants(NewLimiter(PerIP, 100))
	all.Apply(map[string]Quota{"a": {PerSecond: 10}, "b": {}})
	a, b := all.Of("a"), all.Of("b")
	now := a.since.Add(time.Second) // when it was made
	takes := func(want int) {
		t.Helper()
		got := 0
		for a.Take(now) == nil {
			if got++; got > 100 {
				break
			}
		}
		if got != want {
			t.Errorf("%v after the start: %d, want %d", now.Sub(a.since)-time.Second, got, want)
		}
	}
	takes(10) // a second's worth at once
	now = now.Add(99 * time.Millisecond)
	takes(0)
	now = now.Add(time.Millisecond)
	takes(1)
	now = now.Add(500 * time.Millisecond)
	takes(5)
	now = now.Add(time.Hour)
	takes(10) // what nobody has taken does not add up
	now = now.Add(-time.Minute)
	takes(0) // a request that began before the last one

	now = now.Add(time.Minute)
	all.Apply(map[string]Quota{"a": {PerSecond: 20}, "b": {}})
	if now = now.Add(100 * time.Millisecond); all.Of("a") != a {
		t.Fatal("it is another one after a change")
	}
	takes(2)
	all.Apply(map[string]Quota{"a": {}, "b": {}})
	takes(101)

	for range 1000 {
		if err := b.Take(now); err != nil {
			t.Fatalf("without a quota: %v", err)
		}
	}
	if all.Apply(map[string]Quota{"b": {}}); all.Of("a") != nil || all.Of("b") != b {
		t.Error("who is gone is there, or who stays is another one")
	}
	var none *Tenant
	if none.Take(now) != nil || none.Enter(now) != nil {
		t.Error("nobody has bounds")
	}
	none.Leave()
}

// However many ask at the same moment, a quota is given out once.
func TestQuotaAtOnce(t *testing.T) {
	all := NewTenants(NewLimiter(PerIP, 100))
	all.Apply(map[string]Quota{"a": {PerSecond: 100}})
	a := all.Of("a")
	now := a.since.Add(time.Second)
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if a.Take(now) == nil {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() != 100 {
		t.Errorf("%d of a quota of 100", got.Load())
	}
}

// T38: whoever wants all connections of a node leaves room for the others, and they for each other.
func TestT38_NobodyTakesAllConnections(t *testing.T) {
	const places = 900
	l := NewLimiter(places, places)
	all := NewTenants(l)
	all.Apply(map[string]Quota{"noisy": {}, "loud": {}, "quiet": {}})
	now := time.Now()
	client := netip.MustParseAddr("192.0.2.1")
	open := map[string]int{}
	opens := func(org string, most int) (got int) {
		for range most {
			if l.Enter(client) != nil {
				return got
			}
			if all.Of(org).Enter(now) != nil {
				l.Leave(client, false)
				return got
			}
			open[org]++
			got++
		}
		return got
	}
	if got := opens("noisy", 10*places); got != places*8/9 {
		t.Errorf("one alone has %d of %d places", got, places)
	}
	if got := opens("loud", 10*places); got < places/20 {
		t.Errorf("the second gets %d of %d", got, places)
	}
	if got := opens("quiet", 8); got != 8 {
		t.Errorf("beside two who want all the third gets %d of 8", got)
	}
	// As those leave whom the first has more than its share of, others come in its place.
	for range 200 {
		all.Of("noisy").Leave()
		l.Leave(client, false)
		open["noisy"]--
	}
	if got := opens("loud", 10*places); got < 100 {
		t.Errorf("the second gets %d of the 200 that the first has left", got)
	}
	if got := opens("noisy", 1); got != 0 {
		t.Error("who has most of them gets more")
	}
	for org, n := range open {
		for range n {
			all.Of(org).Leave()
			l.Leave(client, false)
		}
		if left := all.Of(org).open; left != 0 {
			t.Errorf("%s: %d are open at the end", org, left)
		}
	}
}

// Who is refused waits, as long as not too many do.
func TestHold(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		all := NewTenants(NewLimiter(PerIP, 100))
		all.Apply(map[string]Quota{"a": {PerSecond: 1}, "b": {PerSecond: 1}})
		waits := func(id string, ctx context.Context) time.Duration {
			start := time.Now()
			all.Of(id).Hold(ctx)
			return time.Since(start)
		}
		held := func(d time.Duration) bool { return holdTime/2 <= d && d < holdTime+holdTime/2 }
		if d := waits("a", t.Context()); !held(d) {
			t.Errorf("%v, want about %v", d, holdTime)
		}
		gone, leave := context.WithTimeout(t.Context(), holdTime/4)
		defer leave()
		if d := waits("a", gone); d != holdTime/4 {
			t.Errorf("%v after the client is gone", d-holdTime/4)
		}
		var flood sync.WaitGroup
		var took [mostHeld]time.Duration
		for i := range took {
			flood.Go(func() { took[i] = waits("a", t.Context()) })
		}
		synctest.Wait()
		if d := waits("a", t.Context()); d != 0 {
			t.Errorf("%v beside %d others", d, mostHeld)
		}
		if d := waits("b", t.Context()); !held(d) {
			t.Errorf("%v beside those of another organization, want about %v", d, holdTime)
		}
		flood.Wait()
		parts := map[time.Duration]int{} // how many of the flood are told in each twentieth of the time
		for _, d := range took {
			if !held(d) {
				t.Errorf("%v of a flood, want about %v", d, holdTime)
			}
			if parts[d/(holdTime/20)]++; parts[d/(holdTime/20)] > mostHeld/5 {
				t.Fatalf("a flood is told all at once, %v later", d)
			}
		}
		if d := waits("a", t.Context()); !held(d) {
			t.Errorf("%v when the others are gone, want about %v", d, holdTime)
		}
	})
}
