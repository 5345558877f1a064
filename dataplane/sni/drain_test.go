package sni

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// TestDrainIsBounded ends Serve while a passthrough connection never does.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, target := net.Pipe()
		f := New(options(NewHandoff(), func(context.Context, fabric.Request) (net.Conn, error) { return far, nil }))
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
