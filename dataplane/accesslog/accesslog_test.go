package accesslog

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The runtime's signal goroutine is started by the first Notify and lives for ever.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
}

var quiet = slog.New(slog.DiscardHandler)

func TestNoLog(t *testing.T) {
	l, err := Open("", quiet)
	if l != nil || err != nil || l.Logger() != nil {
		t.Errorf("%v %v", l, err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "x"), quiet); err == nil || !strings.HasPrefix(err.Error(), "access_log: ") {
		t.Errorf("%v", err)
	}
}

// A file that was moved away gets no more lines once the log has been told.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "log"), filepath.Join(dir, "log.1")
	l, err := Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.out.Close() }()
	lines := l.Logger()
	lines.Info("one")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	lines.Info("two")
	l.reopen()
	lines.Info("three")
	for file, want := range map[string]string{moved: "one two", path: "three"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range strings.Fields(want) {
			if !strings.Contains(string(b), `"msg":"`+w+`"`) {
				t.Errorf("%s: %s, want %s", file, b, w)
			}
		}
		if n := strings.Count(string(b), "\n"); n != len(strings.Fields(want)) {
			t.Errorf("%s: %d lines", file, n)
		}
	}
	// Where no new file can be, the old one goes on.
	l.path = filepath.Join(dir, "none", "log")
	l.reopen()
	lines.Info("four")
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "four") {
		t.Errorf("%s %v", b, err)
	}
}

func TestRunReopensAtHangup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for { // the first signals may come before Run listens
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			break
		}
		runtime.Gosched()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = l.out.Close()
}

func TestRunEnds(t *testing.T) {
	l, err := Open("-", quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
	l.reopen() // standard output stays what it is
	if l.out != os.Stdout {
		t.Error("standard output was left")
	}
}
