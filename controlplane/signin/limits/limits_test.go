package limits

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/presence/presencetest"
)

func TestMain(m *testing.M) {
	// The library lets a question about the cluster that nobody waits for any more sleep out its second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*call).DelayDo.func1"))
}

var fivePerMinute = Rate{Every: 12 * time.Second, Burst: 5}

func TestDecide(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	var paid time.Time
	for i, tc := range []struct {
		after time.Duration
		wait  time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0},
		{0, 12 * time.Second}, {time.Second, 11 * time.Second}, // refusals cost nothing
		{12 * time.Second, 0}, {12 * time.Second, 12 * time.Second},
		{24 * time.Second, 0},
		{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 12 * time.Second}, // never more than the burst
	} {
		var wait time.Duration
		if paid, wait = Decide(paid, start.Add(tc.after), fivePerMinute); wait != tc.wait {
			t.Errorf("attempt %d: wait %v, want %v", i, wait, tc.wait)
		}
	}
}

func TestClient(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Client(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func limiter(t *testing.T, url string) *Limiter {
	t.Helper()
	l, err := New(url, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

func connected(t *testing.T, ls ...*Limiter) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, l := range ls {
		for l.shared.Load() == nil {
			if time.Now().After(deadline) {
				t.Fatal("never connected")
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// passes counts how many of n attempts pass, made by the limiters in turn.
func passes(t *testing.T, k Key, n int, ls ...*Limiter) (ok int) {
	t.Helper()
	for i := range n {
		if ls[i%len(ls)].Take(t.Context(), k) == 0 {
			ok++
		}
	}
	return ok
}

// In an hour nothing is paid back while the test runs.
var slow = Rate{Every: time.Hour, Burst: 5}

func TestReplicasCountTogether(t *testing.T) {
	server := presencetest.Start(t)
	a, b := limiter(t, server.URL()), limiter(t, server.URL())
	connected(t, a, b)
	k := NewKey(slow, "login", "a@example.org", "192.0.2.1")
	if n := passes(t, k, 20, a, b); n != 5 {
		t.Errorf("%d of 20 attempts over two replicas passed, want 5", n)
	}
	if n := passes(t, NewKey(slow, "login", "b@example.org", "192.0.2.1"), 2, a); n != 2 {
		t.Error("another account has to wait")
	}
	a.Forget(t.Context(), k)
	if n := passes(t, k, 20, b, a); n != 5 {
		t.Errorf("%d passed after it was forgotten", n)
	}
	if n := testutil.ToFloat64(a.m.refused.WithLabelValues("login")); n == 0 {
		t.Error("refusals are not counted")
	}
	if n := testutil.ToFloat64(a.m.alone); n != 0 {
		t.Errorf("%v counted alone", n)
	}
}

func TestWithoutValkeyEachReplicaCountsAlone(t *testing.T) {
	server := presencetest.Start(t)
	a := limiter(t, server.URL())
	connected(t, a)
	server.Kill(t)
	k := NewKey(slow, "login", "a@example.org")
	if n := passes(t, k, 20, a); n != 5 {
		t.Errorf("%d of 20 attempts passed without Valkey, want 5", n)
	}
	if n := passes(t, k, 20, limiter(t, "")); n != 5 {
		t.Errorf("%d of 20 attempts passed where there is none, want 5", n)
	}
}

func TestWhatIsCountedHereIsBounded(t *testing.T) {
	l, _ := New("", slog.New(slog.DiscardHandler), nil)
	now := time.Unix(1_000_000, 0)
	l.Clock(func() time.Time { return now })
	for i := range maxLocal {
		l.local[strconv.Itoa(i)] = now
	}
	l.Take(t.Context(), NewKey(slow, "login", "a"))
	if n := len(l.local); n > 2 {
		t.Errorf("%d are kept", n)
	}
}

func TestBadURL(t *testing.T) {
	if _, err := New("nonsense://", slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("taken")
	}
}
