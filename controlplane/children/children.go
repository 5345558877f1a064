// Package children runs programs of ours that end with who started them.
package children

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Children are programs that run for this one. Safe for concurrent use.
type Children struct {
	dir    string
	failed chan string // names of children that ended by themselves

	mu       sync.Mutex
	running  []*child // in the order of their start
	stopping bool
}

type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended, once done is closed
}

// New makes Children that print into files of a folder; it starts nothing.
func New(dir string) *Children { return &Children{dir: dir, failed: make(chan string, 16)} }

// Failed says the names of children that end by themselves.
func (c *Children) Failed() <-chan string { return c.failed }

// Start runs a program; what it prints goes to a file of its name.
func (c *Children) Start(name, program string, args ...string) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(c.LogFile(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	ch := &child{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	ch.cmd.Stdout, ch.cmd.Stderr = out, out
	// A Ctrl-C at the terminal is for us; should we die, they end as if told to.
	ch.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal comes when the thread that started the child ends
		defer runtime.UnlockOSThread()
		err := ch.cmd.Start()
		started <- err
		if err == nil {
			c.wait(ch)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.mu.Lock()
	c.running = append(c.running, ch)
	c.mu.Unlock()
	return nil
}

func (c *Children) wait(ch *child) {
	ch.err = ch.cmd.Wait()
	close(ch.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopping {
		c.failed <- ch.name
	}
}

// Stop ends all children, the last started first, and waits for each; who does not end is killed.
func (c *Children) Stop() error {
	var errs []error
	c.mu.Lock()
	c.stopping = true
	running := c.running
	c.mu.Unlock()
	for i := len(running) - 1; i >= 0; i-- {
		ch := running[i]
		select {
		case <-ch.done: // by itself; whoever waits for failed says so
			continue
		default:
		}
		_ = ch.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ch.done:
		case <-time.After(15 * time.Second):
			_ = ch.cmd.Process.Kill()
			<-ch.done
		}
		if ch.err != nil {
			errs = append(errs, fmt.Errorf("%s ended with %w; its last words, from %s:\n%s", ch.name, ch.err, c.LogFile(ch.name), c.Tail(ch.name)))
		}
	}
	return errors.Join(errs...)
}

// LogFile is where a child prints.
func (c *Children) LogFile(name string) string { return filepath.Join(c.dir, name+".log") }

// Tail is the last lines that a child printed.
func (c *Children) Tail(name string) string {
	b, err := os.ReadFile(c.LogFile(name))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}
