package daemon

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestDrainComesBeforeTheEnd(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		log, _ := logger()
		begin := make(chan struct{})
		start := time.Now()
		var ended time.Duration
		task := Func("task", func(ctx context.Context) error {
			<-ctx.Done()
			ended = time.Since(start)
			return nil
		})
		time.AfterFunc(time.Minute, func() { close(begin) })
		err := RunDraining(t.Context(), log, Drain{Begin: begin, Do: func(ctx context.Context, told bool) {
			if !told {
				t.Error("not told")
			}
			select {
			case <-ctx.Done():
				t.Error("ended while draining")
			case <-time.After(30 * time.Second):
			}
		}}, task)
		if err != nil || ended != 90*time.Second {
			t.Errorf("%v, ended after %v, want 1m30s", err, ended)
		}
	})
}

func TestDrainEndsWithATask(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		log, _ := logger()
		begin := make(chan struct{})
		close(begin)
		boom := errors.New("boom")
		start := time.Now()
		err := RunDraining(t.Context(), log, Drain{Begin: begin, Do: func(ctx context.Context, _ bool) { <-ctx.Done() }},
			until("good", 0, nil), Func("bad", func(context.Context) error { time.Sleep(time.Second); return boom }))
		if !errors.Is(err, boom) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSecondSignalCutsTheDrain(t *testing.T) {
	log, _ := logger()
	signal := func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	running := make(chan struct{})
	go func() { <-running; signal() }()
	err := RunDraining(t.Context(), log, Drain{Do: func(ctx context.Context, told bool) {
		if told {
			t.Error("told")
		}
		signal()
		<-ctx.Done()
	}}, Func("task", func(ctx context.Context) error {
		close(running)
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		t.Error(err)
	}
}
