package program

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		bytes uint64
		want  int
	}{{0, idlePercent}, {10*idleRate - 1, idlePercent}, {10 * idleRate, usualPercent}, {1 << 40, usualPercent}} {
		if got := percent(tt.bytes, 10*time.Second); got != tt.want {
			t.Errorf("%d bytes in 10 s: %d, want %d", tt.bytes, got, tt.want)
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
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (Thrift{}).Run(ctx) }()
		time.Sleep(thriftLook + time.Second)
		if p := now(); p != idlePercent {
			t.Errorf("idle, %d", p)
		}
		for range idleRate*int(thriftLook/time.Second)>>20 + 1 {
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
