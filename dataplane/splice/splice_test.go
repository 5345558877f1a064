package splice

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIdleConnectionEnds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, target := net.Pipe()
		var wg sync.WaitGroup
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			Both(near, far, []byte("hello"), IdleTime, func(bool, int64) {})
			done <- time.Since(start)
		}()
		wg.Go(func() { // one direction alone keeps the connection alive
			for range 10 {
				_, _ = target.Write([]byte("x"))
				time.Sleep(4 * time.Minute)
			}
		})
		go func() { _, _ = io.Copy(io.Discard, client) }()
		go func() { _, _ = io.Copy(io.Discard, target) }()
		if took := <-done; took < 36*time.Minute+IdleTime || took > 36*time.Minute+IdleTime+2*idleGrace {
			t.Errorf("ended after %v, want %v after the last byte", took, IdleTime)
		}
		for _, c := range []net.Conn{client, near, far, target} {
			_ = c.Close()
		}
		wg.Wait()
	})
}

func TestFailedDirectionEndsTheOther(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, target := net.Pipe()
		_ = target.Close()
		Both(near, far, []byte("hello"), IdleTime, func(bool, int64) {})
		for _, c := range []net.Conn{client, near, far} {
			_ = c.Close()
		}
	})
}
