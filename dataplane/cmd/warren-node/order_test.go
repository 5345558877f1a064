package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tasks end one after the other, each when nothing that needs it is left.
func TestOrderOfTheEnd(t *testing.T) {
	const told, handed = time.Second, 3 * time.Second
	for name, c := range map[string]struct {
		requests time.Duration // that "http" still has
		want     []string
	}{
		"requests end":   {5 * time.Second, []string{"sni at 1s", "http at 3s", "tunnel at 8s"}},
		"requests don't": {time.Minute, []string{"sni at 1s", "http at 3s", "tunnel at 19s"}},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			toldCh, handedCh := make(chan struct{}), make(chan struct{})
			e := newEnd(toldCh, handedCh)
			ctx, end := context.WithCancel(t.Context())
			var mu sync.Mutex
			var got []string // guarded by mu
			start := time.Now()
			task := func(name string, after time.Duration) (string, func(context.Context) error) {
				return name, func(ctx context.Context) error {
					<-ctx.Done()
					mu.Lock()
					got = append(got, fmt.Sprintf("%s at %s", name, time.Since(start)))
					mu.Unlock()
					time.Sleep(after)
					return nil
				}
			}
			tasks := []daemon.Task{e.carrier(task("tunnel", 0)), e.taker(task("http", c.requests)), e.listener(task("sni", 0))}
			done := make(chan error, len(tasks))
			for _, task := range tasks {
				go func() { done <- task.Run(ctx) }()
			}
			time.Sleep(time.Hour)
			start = time.Now()
			end()
			time.AfterFunc(told, func() { close(toldCh) })
			time.AfterFunc(handed, func() { close(handedCh) })
			for range tasks {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		})
	}
}

// Whatever hangs, a node is gone before its shutdown would be called a failure.
func TestTheEndFitsIntoItsTime(t *testing.T) {
	const goodBye, streams = time.Second, 10 * time.Second // what gossip and streams take at most
	if all := goodBye + carryTime + streams; all >= daemon.ShutdownGrace {
		t.Errorf("%v, want less than %v", all, daemon.ShutdownGrace)
	}
}

func TestDrain(t *testing.T) {
	for name, c := range map[string]struct {
		told   bool
		second time.Duration // when a second signal comes; 0: never
		leaves bool
		want   time.Duration
	}{
		"a signal":              {leaves: true, want: 5 * time.Second},
		"two signals":           {leaves: true, second: 2 * time.Second, want: 2 * time.Second},
		"the order of a drain":  {told: true},
		"with the second early": {leaves: true, second: time.Nanosecond, want: time.Nanosecond},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.second > 0 {
				time.AfterFunc(c.second, cancel)
			}
			left, start := false, time.Now()
			drain(func() { left = true }, 5*time.Second)(ctx, c.told)
			if took := time.Since(start); left != c.leaves || took != c.want {
				t.Errorf("%s: left %t, took %v; want %t, %v", name, left, took, c.leaves, c.want)
			}
		})
	}
}
