package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct{ results, want string }{
		{"+", "h"},
		{"-", "?"},
		{"--", "??"},
		{"---", "??u"},
		{"--+", "??h"},
		{"+--+", "hhhh"},
		{"+---", "hhhu"},
		{"+--+--", "hhhhhh"},
		{"---+", "??uu"},
		{"---+-+", "??uuuu"},
		{"---++", "??uuh"},
		{"---++---", "??uuhhhu"},
	} {
		j := judge{healthy: 2, unhealthy: 3}
		got := ""
		for _, r := range tt.results {
			was := j.verdict
			if changed := j.result(r == '+'); changed != (was != j.verdict) {
				t.Errorf("%s: changed is %v from %v to %v", tt.results, changed, was, j.verdict)
			}
			got += string("?hu"[j.verdict])
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.results, got, tt.want)
		}
	}
}

// start runs a Checker until the returned function is called.
func start(t *testing.T, dial DialFunc) (*Checker, func()) {
	t.Helper()
	c := New(dial, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func tcp(id string) Target {
	return Target{ID: id, Address: "x:80", Check: Check{Interval: 10 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3}}
}

// switchboard is targets that can be switched off.
type switchboard struct {
	mu    sync.Mutex
	off   map[string]error
	dials map[string]int
}

func (s *switchboard) dial(ctx context.Context, id string) (net.Conn, error) {
	s.mu.Lock()
	err := s.off[id]
	s.dials[id]++
	s.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) { // silent
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	_ = far.Close()
	return near, nil
}

func (s *switchboard) set(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off[id] = err
}

func TestCheckerFollowsTargets(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := &switchboard{off: map[string]error{}, dials: map[string]int{}}
		c, stop := start(t, s.dial)
		defer stop()
		wait := func(d time.Duration, want ...State) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if d := cmp.Diff(want, c.States()); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		}
		refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 4711}, Err: errors.New("connection refused")}
		s.set("b", refused)
		c.Apply([]Target{tcp("b"), tcp("a")})
		wait(2*time.Second, State{Target: "a", Healthy: true}) // b has failed once
		wait(30*time.Second, State{Target: "a", Healthy: true}, State{Target: "b", Reason: "dial: connection refused"})
		s.set("a", context.DeadlineExceeded)
		s.set("b", nil)
		wait(40*time.Second, State{Target: "a", Reason: "no answer within 2s"}, State{Target: "b", Healthy: true})

		// A check that stays keeps its verdict; one that is changed begins anew; one that is gone is gone.
		changed := tcp("b")
		changed.Check.Interval = time.Minute
		s.set("b", refused)
		c.Apply([]Target{tcp("a"), changed})
		wait(0, State{Target: "a", Reason: "no answer within 2s"})
		c.Apply([]Target{changed})
		wait(time.Hour, State{Target: "b", Reason: "dial: connection refused"})
		s.mu.Lock()
		n := s.dials["a"]
		s.mu.Unlock()
		wait(time.Hour, State{Target: "b", Reason: "dial: connection refused"})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.dials["a"] != n {
			t.Errorf("a was checked %d times after it was taken away", s.dials["a"]-n)
		}
		if n := s.dials["b"]; n < 115 || n > 145 {
			t.Errorf("b was checked %d times in two hours and a minute, at first every 10 s, then each minute", n)
		}
	})
}

func TestManyTargetsAreNotCheckedAtOnce(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var now, most atomic.Int64
		c, stop := start(t, func(ctx context.Context, _ string) (net.Conn, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-ctx.Done()
			now.Add(-1)
			return nil, ctx.Err()
		})
		defer stop()
		var targets []Target
		for i := range 1000 {
			targets = append(targets, tcp(fmt.Sprintf("t%04d", i)))
		}
		c.Apply(targets)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if most.Load() != atOnce {
			t.Errorf("%d checks at once, want %d", most.Load(), atOnce)
		}
		if n := len(c.States()); n != len(targets) {
			t.Errorf("%d verdicts of %d", n, len(targets))
		}
	})
}

func TestHTTPChecks(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", bodyBytes)+"behind")
		case "/echo":
			_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.URL.RawQuery, r.Header.Get("X-Key"))
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		case "/ok":
			_, _ = io.WriteString(w, "all is well")
		default:
			http.Error(w, "secret", http.StatusServiceUnavailable)
		}
	})
	plain, encrypted := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer encrypted.Close()
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c := New(func(ctx context.Context, id string) (net.Conn, error) {
		addr := plain.Listener.Addr().String()
		if id == "tls" {
			addr = encrypted.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ok := []StatusRange{{200, 299}}
	for _, tt := range []struct {
		name, id string
		http     HTTP
		want     string
	}{
		{"expected status", "plain", HTTP{Path: "/ok", Statuses: ok}, ""},
		{"other status", "plain", HTTP{Path: "/", Statuses: append(ok, StatusRange{404, 404})}, "status 503, expected 200-299,404"},
		{"the status that is expected is an error", "plain", HTTP{Path: "/", Statuses: []StatusRange{{500, 599}}}, ""},
		{"redirects are not followed", "plain", HTTP{Path: "/redirect", Statuses: ok}, "status 302, expected 200-299"},
		{"text", "plain", HTTP{Path: "/ok", Statuses: ok, BodyContains: "well"}, ""},
		{"other text", "plain", HTTP{Path: "/ok", Statuses: ok, BodyContains: "bad"}, `the answer does not contain "bad"`},
		{"text beyond what is read", "plain", HTTP{Path: "/large", Statuses: ok, BodyContains: "behind"}, `the answer does not contain "behind"`},
		{"text before the end of a broken answer", "plain", HTTP{Path: "/broken", Statuses: ok, BodyContains: "half"}, ""},
		{"broken answer", "plain", HTTP{Path: "/broken", Statuses: ok, BodyContains: "whole"}, "read the answer: unexpected EOF"},
		{"request", "plain", HTTP{Method: "OPTIONS", Path: "/echo?a=b", Host: "app.example", Headers: http.Header{"X-Key": {"k"}}, Statuses: ok, BodyContains: "OPTIONS app.example a=b k"}, ""},
		{"host", "plain", HTTP{Path: "/echo", Statuses: ok, BodyContains: "GET x:80"}, ""},
		{"encrypted", "tls", HTTP{Path: "/ok", TLS: true, Statuses: ok}, ""},
		{"not encrypted", "plain", HTTP{Path: "/ok", TLS: true, Statuses: ok}, "tls: first record does not look like a TLS handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.http.Method == "" {
				tt.http.Method = http.MethodGet
			}
			target := Target{ID: tt.id, Address: "x:80", Check: Check{Timeout: 10 * time.Second, HTTP: &tt.http}}
			got := ""
			if err := c.check(t.Context(), target); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// A target that sends its answer a byte at a time, for ever, takes no longer than the check's timeout.
func TestSlowAnswers(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := New(func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				if _, err := far.Read(make([]byte, 4096)); err != nil {
					return
				}
				_, err := io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n")
				for err == nil {
					time.Sleep(500 * time.Millisecond)
					_, err = io.WriteString(far, "x")
				}
			}()
			return near, nil
		}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		began := time.Now()
		err := c.check(t.Context(), Target{ID: "a", Address: "x:80", Check: Check{
			Timeout: 3 * time.Second, HTTP: &HTTP{Method: "GET", Path: "/", Statuses: []StatusRange{{200, 200}}, BodyContains: "y"}}})
		if err == nil || err.Error() != "no answer within 3s" || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Second) // the target notices
		synctest.Wait()
	})
}
