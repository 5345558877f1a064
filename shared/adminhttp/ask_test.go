package adminhttp

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/porttest"
)

func TestAsk(t *testing.T) {
	addr := porttest.Address(t)
	_, port, _ := net.SplitHostPort(addr)
	for _, tt := range []struct{ addr, want string }{{"", "listen.admin"}, {"9090", "listen.admin"}, {addr, "refused"}} {
		if err := Ask(t.Context(), tt.addr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.addr, err, tt.want)
		}
	}

	for name, at := range map[string][]string{
		"port":   {addr, ":" + port, "0.0.0.0:" + port},
		"socket": {"unix:" + filepath.Join(t.TempDir(), "admin.sock")},
	} {
		t.Run(name, func(t *testing.T) { answers(t, at) })
		t.Run(name+" again", func(t *testing.T) { answers(t, at) })
	}
}

// answers runs a server at the first of the addresses and asks it by all of them.
func answers(t *testing.T, at []string) {
	addr := at[0]
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
		if err != nil && (strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "no such file")) {
			continue // it does not listen yet
		}
		if err == nil || err.Error() != "no checkpoint is applied yet" {
			t.Errorf("not ready: %v", err)
		}
		break
	}
	ready.Store(true)
	for _, at := range at {
		if err := Ask(t.Context(), at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
