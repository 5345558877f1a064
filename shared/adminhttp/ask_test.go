package adminhttp

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAsk(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	for _, tt := range []struct{ addr, want string }{{"", "listen.admin"}, {"9090", "listen.admin"}, {addr, "refused"}} {
		if err := Ask(t.Context(), tt.addr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.addr, err, tt.want)
		}
	}

	var ready atomic.Bool
	s := New(addr, func() error {
		if !ready.Load() {
			return errors.New("no checkpoint is applied yet")
		}
		return nil
	}, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for {
		err := Ask(t.Context(), addr)
		if err != nil && strings.Contains(err.Error(), "refused") {
			continue // it does not listen yet
		}
		if err == nil || err.Error() != "no checkpoint is applied yet" {
			t.Errorf("not ready: %v", err)
		}
		break
	}
	ready.Store(true)
	for _, at := range []string{addr, ":" + port, "0.0.0.0:" + port} {
		if err := Ask(t.Context(), at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
