package tunnel

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestInflight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f inflight
		waits := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			if f.wait(); time.Since(start) != want {
				t.Errorf("waited %v, want %v", time.Since(start), want)
			}
		}
		f.begin(inflightMost)
		waits(0)
		f.begin(1)
		go func() { // what is on its way comes out, slowly
			for range 10 {
				time.Sleep(inflightLook / 2)
				f.end(0)
			}
			f.end(1)
		}()
		waits(5 * inflightLook)
		f.begin(inflightMost) // of which nothing comes out
		waits(inflightLook)
		f.end(3) // after it was given up
		f.begin(inflightMost)
		waits(0)
		if n := f.now.Load(); n != inflightMost {
			t.Errorf("%d on their way, want %d", n, inflightMost)
		}
	})
}
