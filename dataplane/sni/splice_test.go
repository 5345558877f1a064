package sni

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

func TestIdlePassthroughEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, target := net.Pipe()
		var wg sync.WaitGroup
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			newPump(idleTime).run(near, far, []byte("hello"), func(bool, int64) {})
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
		if took := <-done; took < 36*time.Minute+idleTime || took > 36*time.Minute+idleTime+2*idleGrace {
			t.Errorf("ended after %v, want %v after the last byte", took, idleTime)
		}
		for _, c := range []net.Conn{client, near, far, target} {
			_ = c.Close()
		}
		wg.Wait()
	})
}

func TestFailedDirectionEndsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, target := net.Pipe()
		_ = target.Close()
		newPump(idleTime).run(near, far, []byte("hello"), func(bool, int64) {})
		for _, c := range []net.Conn{client, near, far} {
			_ = c.Close()
		}
	})
}

// TestDrainIsBounded ends Serve while a passthrough connection never does.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, target := net.Pipe()
		f := New(func(context.Context, fabric.Request) (net.Conn, error) { return far, nil }, newHealth(), NewHandoff(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		f.Apply(Config{Routes: []Route{passRoute("www.example.org")}})
		l := NewHandoff() // as good a listener as any, and without a network
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Serve(ctx, l) }()
		client, near := net.Pipe()
		if err := l.give(near); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, target) }()
		if _, err := client.Write(clientHello(t, "www.example.org", nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(start) != drainTime {
			t.Errorf("Serve ended after %v with %v, want %v", time.Since(start), err, drainTime)
		}
		_, _ = client.Close(), target.Close()
	})
}
