package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(asProcess); how != "" {
		os.Exit(drainingProcess(how))
	}
	// The runtime's signal goroutine is started by the first Notify and lives for ever: outside of
	// every bubble of synctest.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Stop(c)
	goleak.VerifyTestMain(m)
}

func logger() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

// until blocks until the end, then cleans up for a while.
func until(name string, cleanup time.Duration, err error) Task {
	return Func(name, func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(cleanup) // in the bubble's time
		return err
	})
}

func TestContextEnds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		log, out := logger()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		err := Run(ctx, log, until("a", 2*time.Second, nil), until("b", 5*time.Second, context.Canceled), until("c", 0, fmt.Errorf("listen: %w", context.Canceled)))
		if err != nil {
			t.Errorf("Run = %v", err)
		}
		if d := time.Since(start); d != time.Hour+5*time.Second {
			t.Errorf("ended after %s, want the end and the longest clean-up", d)
		}
		if out.Len() > 0 {
			t.Errorf("logged %s", out)
		}
	})
}

func TestTaskFails(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"error", boom, "bad: boom"},
		{"nil", nil, "bad: ended by itself"},
		{"cancelled by itself", fmt.Errorf("dial: %w", context.Canceled), "bad: dial: context canceled"},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			log, _ := logger()
			cleaned := false
			good := Func("good", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				cleaned = true
				return nil
			})
			bad := Func("bad", func(context.Context) error {
				time.Sleep(time.Minute)
				return c.err
			})
			err := Run(t.Context(), log, good, bad)
			if err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: %v hides its cause", c.name, err)
			}
			if !cleaned {
				t.Errorf("%s: the other task did not clean up", c.name)
			}
		})
	}
}

func TestFirstFailureWins(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		log, out := logger()
		first := Func("first", func(context.Context) error { return errors.New("broken") })
		err := Run(t.Context(), log, first, until("second", time.Second, errors.New("flush failed")))
		if err == nil || err.Error() != "first: broken" {
			t.Errorf("Run = %v", err)
		}
		if !strings.Contains(out.String(), "flush failed") || !strings.Contains(out.String(), "task=second") {
			t.Errorf("logged %q, want the other task's error", out)
		}
	})
}

func TestTaskHangs(t *testing.T) {
	for _, failed := range []error{nil, errors.New("broken")} {
		bubbletest.Run(t, func(t *testing.T) {
			log, out := logger()
			ctx, cancel := context.WithCancel(t.Context())
			release := make(chan struct{})
			hang := Func("hang", func(context.Context) error { <-release; return nil })
			tasks := []Task{hang, until("good", 0, nil)}
			want := "hang: not ended after 30s"
			if failed != nil {
				tasks = append(tasks, Func("bad", func(context.Context) error { return failed }))
				want = "bad: broken"
			} else {
				cancel()
			}
			start := time.Now()
			if err := Run(ctx, log, tasks...); err == nil || err.Error() != want {
				t.Errorf("Run = %v, want %q", err, want)
			}
			if d := time.Since(start); d != ShutdownGrace {
				t.Errorf("gave up after %s", d)
			}
			if !strings.Contains(out.String(), "hang") {
				t.Errorf("logged %q, want the task's name", out)
			}
			cancel()
			close(release)
			synctest.Wait()
		})
	}
}

func TestNoTasks(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		log, _ := logger()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Run(ctx, log); err != nil {
			t.Error(err)
		}
	})
}

func TestSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		log, _ := logger()
		started := make(chan struct{})
		task := Func("task", func(ctx context.Context) error {
			close(started) // Run listens for signals before it starts a task
			<-ctx.Done()
			return nil
		})
		done := make(chan error)
		go func() { done <- Run(t.Context(), log, task) }()
		<-started
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", sig, err)
		}
	}
}
