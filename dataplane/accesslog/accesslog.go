// Package accesslog writes a line for each request to where the operator wants it.
package accesslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Log is an access log. Lines are written at once, by whoever has one: there is no queue.
type Log struct {
	path string // "": standard output
	log  *slog.Logger

	mu  sync.Mutex
	out io.WriteCloser
}

// Open makes the log that a setting asks for: a file, "-" for standard output. For "" there is none, nil.
func Open(setting string, log *slog.Logger) (*Log, error) {
	switch setting {
	case "":
		return nil, nil
	case "-":
		return &Log{log: log, out: os.Stdout}, nil
	}
	f, err := open(setting)
	if err != nil {
		return nil, fmt.Errorf("access_log: %w", err)
	}
	return &Log{path: setting, log: log, out: f}, nil
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// Logger gives the logger to write lines with, as JSON; nil when there is no log.
func (l *Log) Logger() *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(slog.NewJSONHandler(l, nil))
}

// Write implements io.Writer: a line is in one file or in the other, whole.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(line)
}

// String names the task.
func (l *Log) String() string { return "access log" }

// Run opens the file anew at each SIGHUP, after it was moved away, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			l.reopen()
		}
	}
}

// reopen leaves the old file only for a new one.
func (l *Log) reopen() {
	if l.path == "" {
		return
	}
	f, err := open(l.path)
	if err != nil {
		l.log.Error("access log stays in the old file", "err", err)
		return
	}
	l.mu.Lock()
	old := l.out
	l.out = f
	l.mu.Unlock()
	_ = old.Close()
}
