package bubbletest

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Whoever runs a bubble beside another finds one processor with the race detector, and all get back what they had.
func TestProcessorsComeBack(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	want := 3
	if raceDetector {
		want = 1
	}
	t.Run("bubbles", func(t *testing.T) {
		for range 2 {
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				for range 50 {
					Run(t, func(t *testing.T) {
						time.Sleep(time.Hour)
						if got := runtime.GOMAXPROCS(0); got != want {
							t.Errorf("%d processors in a bubble, want %d", got, want)
						}
					})
				}
			})
		}
	})
	if got := runtime.GOMAXPROCS(0); got != 3 {
		t.Errorf("%d processors after all bubbles, want the 3 from before", got)
	}
}

// What crashes the race detector on more than one processor (golang/go#78156): timers of a bubble that run, while many
// goroutines look at channels of timers that are due.
func TestTimersUnderTheRaceDetector(t *testing.T) {
	before := runtime.GOMAXPROCS(4)
	defer runtime.GOMAXPROCS(before)
	Run(t, func(t *testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 2000 {
					timer := time.NewTimer(time.Millisecond)
					time.Sleep(time.Millisecond)
					select {
					case <-timer.C:
					default:
					}
					time.AfterFunc(0, func() {})
				}
			})
		}
		all.Wait()
	})
}
