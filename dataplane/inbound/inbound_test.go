package inbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBucket(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::"} {
		if got := Bucket(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(2, 3)
	a, mapped, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	open := func(clients, connections int) {
		t.Helper()
		if c, n := l.Open(); c != clients || n != connections {
			t.Errorf("%d connections of %d clients, want %d of %d", n, c, connections, clients)
		}
	}
	enter := func(client netip.Addr, want error) {
		t.Helper()
		if err := l.Enter(client); err != want {
			t.Errorf("%s: %v, want %v", client, err, want)
		}
	}
	enter(a, nil)
	enter(mapped, nil)
	enter(a, ErrPerIP)
	open(1, 2)
	l.Vouch(a) // one of them no longer counts for the address
	enter(a, nil)
	enter(b, ErrCrowded)
	open(1, 3)
	l.Leave(a, true)
	enter(b, nil)
	l.Leave(a, false)
	l.Leave(mapped, false)
	l.Leave(b, false)
	open(0, 0)
}

// tired is a listener whose first accepts fail.
type tired struct {
	net.Listener
	fail  int
	conns chan net.Conn
}

func (l *tired) Accept() (net.Conn, error) {
	if l.fail > 0 {
		l.fail--
		return nil, os.NewSyscallError("accept4", syscall.EMFILE)
	}
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (*tired) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptGoesOn(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		const fails = 12
		l := &tired{fail: fails, conns: make(chan net.Conn)}
		ctx, cancel := context.WithCancel(t.Context())
		served, failed, first := 0, 0, 0
		done := make(chan error, 1)
		start := time.Now()
		go func() {
			done <- Accept(ctx, l, func(net.Conn) { served++ }, func(_ error, again bool) {
				if failed++; !again {
					first++
				}
			})
		}()
		l.conns <- nil
		// 5, 10, … 640 ms, then a second each.
		if d := time.Since(start); d != 1275*time.Millisecond+4*time.Second {
			t.Errorf("accepted after %v", d)
		}
		l.conns <- nil
		close(l.conns)
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if served != 2 || failed != fails || first != 1 {
			t.Errorf("%d served, %d errors told, %d of them as the first", served, failed, first)
		}
		cancel()
		if err := Accept(ctx, l, nil, nil); err != nil {
			t.Errorf("after the end of its context: %v", err)
		}
	})
}
