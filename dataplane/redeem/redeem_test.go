package redeem_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/redeem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whether there is a way to the control plane is known from the channel: not while nobody answers, at once when somebody
// does, and not any more when he is gone.
func TestReachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := ads.NewConns([]string{l.Addr().String()}, insecure.NewCredentials())
	t.Cleanup(func() { _ = conns.Close() })
	p := redeem.New(conns)
	away := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := p.Reachable(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", when, err)
		}
	}
	away("nobody answers")
	conn, err := conns.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conns.Failed(conn) // as the stream does, before it tries again
	server := grpc.NewServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	if err := p.Reachable(t.Context()); err != nil {
		t.Errorf("somebody answers: %v", err)
	}
	server.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if conn, err = conns.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	conns.Failed(conn)
	away("he is gone")
	if err := conns.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Reachable(t.Context()); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no connections any more: %v", err)
	}
}
