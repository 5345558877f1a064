package push

import (
	"context"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// run marks at the given moments and returns when flushes came, all in time since the start.
func flushes(t *testing.T, w Window, took time.Duration, marks ...time.Duration) []time.Duration {
	t.Helper()
	var out []time.Duration
	bubbletest.Run(t, func(t *testing.T) {
		begin := time.Now()
		c := NewCoalescer(w, func() {
			out = append(out, time.Since(begin))
			time.Sleep(took)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		for _, at := range marks {
			time.Sleep(at - time.Since(begin))
			c.Mark()
		}
		time.Sleep(10 * time.Second)
		cancel()
		<-done
	})
	return out
}

func every(gap, until time.Duration) []time.Duration {
	var out []time.Duration
	for at := time.Duration(0); at < until; at += gap {
		out = append(out, at)
	}
	return out
}

func TestLoneChangeGoesOutAtOnce(t *testing.T) {
	w := DefaultWindow
	got := flushes(t, w, 0, 0, 3*time.Second)
	if len(got) != 2 || got[0] != w.First || got[1] != 3*time.Second+w.First {
		t.Errorf("flushed at %v", got)
	}
}

func TestStormIsGathered(t *testing.T) {
	w := DefaultWindow
	const storm = 2 * time.Second
	got := flushes(t, w, 0, every(time.Millisecond, storm)...) // 2,000 changes
	if most := int(storm/w.Busy) + 3; len(got) > most || len(got) < most/2 {
		t.Errorf("%d flushes, want about %d", len(got), most)
	}
	for i := 1; i < len(got); i++ {
		if gap := got[i] - got[i-1]; gap > w.Most {
			t.Errorf("%v without a flush", gap)
		}
	}
	if last := got[len(got)-1]; last < storm {
		t.Errorf("the last change, at %v, was flushed at %v", storm, last)
	}
}

// Pushing that takes long makes windows longer, so that it never takes all the time; there is a limit.
func TestSlowPushesStretchTheWindow(t *testing.T) {
	w := DefaultWindow
	got := flushes(t, w, 100*time.Millisecond, every(time.Millisecond, 3*time.Second)...)
	for i := 2; i < len(got); i++ {
		if gap := got[i] - got[i-1]; gap < 200*time.Millisecond || gap > w.Most+100*time.Millisecond {
			t.Errorf("flush %d came %v after the one before", i, gap)
		}
	}
	if len(got) < 5 {
		t.Errorf("only %d flushes", len(got))
	}
}
