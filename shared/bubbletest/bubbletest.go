// Package bubbletest runs tests in bubbles of testing/synctest that the race detector survives.
//
// In a bubble, timers run in two places: in the bubble's root, which advances the clock, and in a goroutine that looks at
// the channel of a timer that is due. Both do so under the one race context that the bubble has for timers, without a lock
// between them, so that on two processors the detector's shadow stack comes apart: SIGSEGV in its own code, or "CHECK
// failed" (golang/go#78156; seen with Go 1.26.8 in one of twenty runs of a package with busy timers). With one processor
// the two cannot meet. The detector loses little by it: it knows races by the order of synchronizations (happens-before),
// not by two goroutines meeting in time.
package bubbletest

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Run runs f in a new bubble, as synctest.Test does; all that is said there holds. While it runs, and the race detector is
// on, the whole process has one processor; it may be called from tests that run in parallel.
func Run(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if raceDetector {
		narrow()
		defer widen()
	}
	synctest.Test(t, f)
}

var (
	mu      sync.Mutex
	bubbles int // that run now
	width   int // processors before the first of them
)

func narrow() {
	mu.Lock()
	defer mu.Unlock()
	if bubbles++; bubbles == 1 {
		width = runtime.GOMAXPROCS(1)
	}
}

func widen() {
	mu.Lock()
	defer mu.Unlock()
	if bubbles--; bubbles == 0 {
		runtime.GOMAXPROCS(width)
	}
}
