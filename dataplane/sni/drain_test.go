package sni

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// TestDrainIsBounded ends Serve while a passthrough connection never does.
func TestDrainIsBounded(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
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

// TestHandedIsBounded ends Serve just after connections of which one says nothing, and another no whole hello.
func TestHandedIsBounded(t *testing.T) {
	for name, first := range map[string][]byte{"nothing": nil, "half a hello": clientHello(t, "www.example.org", nil)[:10]} {
		bubbletest.Run(t, func(t *testing.T) {
			f := New(options(NewHandoff(), nil))
			l := NewHandoff()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- f.Serve(ctx, l) }()
			client, near := net.Pipe()
			if err := l.give(near); err != nil {
				t.Fatal(err)
			}
			want := firstByteTime
			if len(first) > 0 {
				want = wholeHelloTime
				if _, err := client.Write(first); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			start := time.Now()
			cancel()
			<-f.Handed()
			if took := time.Since(start); took != want {
				t.Errorf("%s: handed over after %v, want %v", name, took, want)
			}
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_ = client.Close()
		})
	}
}
