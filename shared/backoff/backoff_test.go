package backoff

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// ceilings of the first waits: no wait is longer, and the longest of many comes near.
func TestBounds(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		min, max time.Duration
		ceilings []time.Duration
	}{
		{"zero value", 0, 0, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30000 * ms, 30000 * ms}},
		{"own", 10 * ms, 35 * ms, []time.Duration{10 * ms, 20 * ms, 35 * ms, 35 * ms}},
		{"max below min", 0, 50 * ms, []time.Duration{50 * ms, 50 * ms}},
		{"max is min", 50 * ms, 50 * ms, []time.Duration{50 * ms, 50 * ms}},
		{"huge", math.MaxInt64 / 3, math.MaxInt64, []time.Duration{math.MaxInt64 / 3, math.MaxInt64 / 3 * 2, math.MaxInt64, math.MaxInt64}},
		{"least", 1, 2, []time.Duration{1, 2, 2}},
		{"negative", -1, -1, []time.Duration{100 * ms, 200 * ms}},
	} {
		longest := make([]time.Duration, len(c.ceilings))
		b := Backoff{Min: c.min, Max: c.max}
		for range 500 {
			b.Reset()
			for i, ceiling := range c.ceilings {
				w := b.Next()
				if w < 0 || w >= ceiling {
					t.Fatalf("%s: wait %d is %s, want less than %s", c.name, i, w, ceiling)
				}
				longest[i] = max(longest[i], w)
			}
		}
		for i, ceiling := range c.ceilings {
			if longest[i] < ceiling/2 { // fails by chance once in 2^500
				t.Errorf("%s: the longest wait %d of 500 is %s of %s", c.name, i, longest[i], ceiling)
			}
		}
	}
}

func TestManyFailures(t *testing.T) {
	var b Backoff
	for range 10_000 {
		if w := b.Next(); w < 0 || w >= 30*time.Second {
			t.Fatalf("waits %s", w)
		}
	}
}

func TestWait(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b := Backoff{Min: time.Minute, Max: time.Minute}
		start := time.Now()
		if !b.Wait(t.Context()) {
			t.Error("Wait ended early")
		}
		if d := time.Since(start); d >= time.Minute {
			t.Errorf("waited %s", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		b = Backoff{Min: math.MaxInt64, Max: math.MaxInt64} // years
		go func() { ended <- b.Wait(ctx) }()
		synctest.Wait()
		cancel()
		if <-ended {
			t.Error("Wait went on after the end")
		}
		for range 200 {
			b = Backoff{Min: 1, Max: 1} // no wait at all: both are ready
			if b.Wait(ctx) {
				t.Fatal("Wait went on after the end")
			}
		}
	})
}
