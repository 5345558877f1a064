package password

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		text, why string
	}{
		{"correct horse battery staple", ""},
		{"vK7pQ2mXw9Lr", ""},
		{"мой дядя самых честных", ""},
		{"elevenchars", "12 characters"},
		{"", "12 characters"},
		{strings.Repeat("ab cde f", 200), "1024 bytes"},
		{"\xff\xfe and some more of it", "1024 bytes"},
		{"password1234", "too common"},
		{"!!Password!!2024", "too common"},
		{"123123qweqwe", "too common"},
		{"dragondragondragon", "too common"},
		{"aaaaaaaaaaaaaa", "too regular"},
		{"abababababab", "too regular"},
		{"abcdefghijklmnop", "too regular"},
		{"zyxwvutsrqponm", "too regular"},
		{"maximiliane99", "your name"},
		{"maximiliane@example.org", "your name"},
	} {
		err := Check("password", tc.text, "Maximiliane@example.org", "Maximiliane Q")
		if tc.why == "" && err != nil || tc.why != "" && (err == nil || fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), tc.why)) {
			t.Errorf("%q: %v, want %q", tc.text, err, tc.why)
		}
		if err != nil && tc.text != "" && strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q is repeated in %v", tc.text, err)
		}
	}
	if n := len(common()); n < 3000 {
		t.Errorf("%d common passwords", n)
	}
}

func TestHash(t *testing.T) {
	h := New(Options{})
	hash, err := h.Hash(t.Context(), "Caf\u00e9 au lait, bitte")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	for _, tc := range []struct {
		name, hash, text string
		ok               bool
	}{
		{"right", hash, "Caf\u00e9 au lait, bitte", true},
		{"right, composed otherwise", hash, "Cafe\u0301 au lait, bitte", true},
		{"wrong", hash, "Cafe au lait, bitte", false},
		{"empty", hash, "", false},
		{"endless", hash, strings.Repeat("x", 1<<20), false},
		{"nobody", "", "whatever it may be", false},
		{"nobody, by the dummy's text", "", "nobody's", false},
	} {
		ok, stale, err := h.Verify(t.Context(), tc.hash, tc.text)
		if ok != tc.ok || stale || err != nil {
			t.Errorf("%s: %v %v %v", tc.name, ok, stale, err)
		}
	}
	old, err := argon2id.CreateHash("an old one of yours", &argon2id.Params{Memory: 8 << 10, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	if ok, stale, err := h.Verify(t.Context(), old, "an old one of yours"); !ok || !stale || err != nil {
		t.Errorf("old parameters: %v %v %v", ok, stale, err)
	}
	if _, _, err := h.Verify(t.Context(), "$argon2id$nonsense", "x"); err == nil {
		t.Error("a hash that can't be read is no error")
	}
}

// T34: sign-in is no bomb. A thousand at once compute no more hashes at a time than there are processors, the queue has
// a bound, and the memory is that of the slots.
func TestT34AThousandSignInsAtOnceStayWithinTheirMemory(t *testing.T) {
	const slots = 2
	h := New(Options{AtOnce: slots, Waiting: 8})
	hash, err := h.Hash(t.Context(), "correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	var most, ok, busy atomic.Int64
	done := make(chan struct{})
	var watch, wg sync.WaitGroup
	watch.Go(func() {
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), int64(m.HeapInuse)))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	for range 1000 {
		wg.Go(func() {
			switch good, _, err := h.Verify(context.Background(), hash, "correct horse battery staple"); {
			case good:
				ok.Add(1)
			case fault.Of(err) == fault.Unavailable:
				busy.Add(1)
			default:
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	close(done)
	watch.Wait()
	if ok.Load() < slots || ok.Load()+busy.Load() != 1000 {
		t.Errorf("%d were let in, %d told to come again", ok.Load(), busy.Load())
	}
	if n := testutil.ToFloat64(h.m.derived.WithLabelValues("verify")); n != float64(ok.Load()) {
		t.Errorf("%v hashes computed for %d sign-ins", n, ok.Load())
	}
	// Two generations of garbage beside what is in use: a thousand hashes would be 19 GiB.
	if limit := int64(Parameters.Memory) << 10 * (slots + 6); most.Load() > limit {
		t.Errorf("%d MiB in use, want %d at most", most.Load()>>20, limit>>20)
	}
}

func TestWhoGivesUpWaitingLeavesTheQueue(t *testing.T) {
	h := New(Options{AtOnce: 1, Waiting: 1, Wait: time.Hour})
	leave, err := h.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := h.enter(ctx)
		ended <- err
	}()
	for len(h.queue) == 0 {
		runtime.Gosched()
	}
	if _, err := h.enter(t.Context()); fault.Of(err) != fault.Unavailable {
		t.Errorf("beyond the bound: %v", err)
	}
	cancel()
	if err := <-ended; err != context.Canceled || len(h.queue) != 0 {
		t.Errorf("%v, %d wait", err, len(h.queue))
	}
	leave()
	leave, err = h.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave()
}
