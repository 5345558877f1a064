package program

import (
	"context"
	"runtime/debug"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		mib  uint64 // a second
		want int
	}{{0, leastPercent}, {1, leastPercent}, {5, leastPercent}, {12, 30}, {24, 60}, {36, 90}, {41, usualPercent}, {1 << 20, usualPercent}} {
		if got := percent(10*tt.mib<<20, 10*time.Second); got != tt.want {
			t.Errorf("%d MiB a second: %d, want %d", tt.mib, got, tt.want)
		}
	}
}

var sink []byte

// A process is thrifty while it has little to do, and leaves the collector as it was.
func TestThrift(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	now := func() int {
		p := debug.SetGCPercent(usualPercent)
		debug.SetGCPercent(p)
		return p
	}
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (Thrift{}).Run(ctx) }()
		time.Sleep(thriftLook + time.Second)
		if p := now(); p != leastPercent {
			t.Errorf("idle, %d", p)
		}
		for range 41 * int(thriftLook/time.Second) {
			sink = make([]byte, 1<<20)
		}
		time.Sleep(thriftLook)
		if p := now(); p != usualPercent {
			t.Errorf("busy, %d", p)
		}
		time.Sleep(thriftLook)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if p := now(); p != usualPercent {
		t.Errorf("at the end, %d", p)
	}
}
