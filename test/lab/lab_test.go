//go:build netns

package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A host in a private network reaches the internet by its router's address; nobody reaches it.
func TestSiteIsBehindNAT(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")

	ln := web.Listen(8080)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			_, _ = io.WriteString(c, host)
			_ = c.Close()
		}
	}()
	var seen string
	err := pc.In(func() error {
		c, err := net.DialTimeout("tcp", "198.18.9.1:8080", 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		seen = string(b)
		return err
	})
	if err != nil || seen != "198.18.9.2" {
		t.Errorf("the web server saw %q, %v; want the router's address", seen, err)
	}

	pcListener := pc.Listen(9090)
	err = web.In(func() error {
		c, err := net.DialTimeout("tcp", pcListener.Addr().String(), 300*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err == nil {
		t.Error("the private host was reached from the internet")
	}
}

func TestProcess(t *testing.T) {
	l := New(t)
	h := l.Host("h", "198.18.9.1")
	p := h.Start("echo", nil, "sh", "-c", "echo here; ip -o addr; sleep 60")
	Eventually(t, 10*time.Second, "output", func() error {
		if !strings.Contains(p.Log(), "198.18.9.1/16") {
			return io.ErrNoProgress
		}
		return nil
	})
	if !p.Running() {
		t.Error("ended by itself")
	}
	must(t, p.Pause())
	if !p.Running() {
		t.Error("a paused process is gone")
	}
	p.Kill()
	if p.Running() {
		t.Error("survived")
	}
	if err := p.Pause(); err == nil {
		t.Error("paused what does not run")
	}
}

func TestPausedProcessDoesNothingUntilResumed(t *testing.T) {
	l := New(t)
	// The child is in a session of its own, as PostgreSQL's are.
	p := l.Host("h", "198.18.9.1").Start("count", nil, "sh", "-c", "setsid sh -c 'while echo tick; do sleep 0.01; done' & wait")
	ticks := func() int { return strings.Count(p.Log(), "tick") }
	more := func(than int) func() error {
		return func() error {
			if ticks() <= than {
				return io.ErrNoProgress
			}
			return nil
		}
	}
	Eventually(t, 10*time.Second, "ticks", more(0))
	must(t, p.Pause())
	Eventually(t, 10*time.Second, "every process is stopped", func() error {
		pid, _ := p.current()
		for _, child := range append(descendants(pid), pid) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
			// D is who waits for a child that was stopped between its fork and its exec (vfork(2)): it can't do anything either.
			if err == nil && !slices.ContainsFunc([]string{") T ", ") Z ", ") D "}, func(state string) bool { return strings.Contains(string(b), state) }) {
				return fmt.Errorf("%s", b)
			}
		}
		return nil
	})
	paused := ticks()
	if time.Sleep(silence); ticks() != paused {
		t.Error("it went on")
	}
	must(t, p.Resume())
	Eventually(t, 10*time.Second, "ticks again", more(paused))
	must(t, p.Restart())
	Eventually(t, 10*time.Second, "ticks of the new one", more(ticks()))
	children := descendants(func() int { pid, _ := p.current(); return pid }())
	if len(children) == 0 {
		t.Fatal("no children to look for")
	}
	p.Kill()
	Eventually(t, 10*time.Second, "its children are gone", func() error {
		for _, child := range children {
			if err := syscall.Kill(child, 0); err == nil {
				return fmt.Errorf("%d is there", child)
			}
		}
		return nil
	})
}

func TestProgramTakesItsLabDown(t *testing.T) {
	var out strings.Builder
	var dir string
	boom := errors.New("boom")
	err := Program(&out, func(l *Lab) error {
		dir = l.Dir()
		l.Host("h", "198.18.9.1").Start("sleep", nil, "sleep", "600")
		if err := l.Try(func() error { l.Host("h", "198.18.9.2"); return nil }); err == nil {
			t.Error("a name was given twice")
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", dir, err)
	}
	tag, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "lab "), ":")
	if left, _ := filepath.Glob("/run/netns/wrn-" + tag + "-*"); len(tag) != 4 || len(left) > 0 {
		t.Errorf("lab %q left %v", tag, left)
	}
}

// complaints is a test whose failures are only remembered.
type complaints struct {
	testing.TB
	said []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

// A program that ends badly when it is stopped fails the test.
func TestStopWantsExitStatusZero(t *testing.T) {
	h := New(t).Host("h", "198.18.9.1")
	for _, code := range []string{"0", "2"} {
		p := h.Start("trap"+code, nil, "sh", "-c", "trap 'exit "+code+"' TERM; echo ready; while :; do sleep 0.05; done")
		Eventually(t, time.Minute, "the trap is set", func() error {
			if !strings.Contains(p.Log(), "ready") {
				return errors.New(p.Log())
			}
			return nil
		})
		heard := &complaints{TB: t}
		h.lab.t = heard
		p.Stop()
		h.lab.t = t
		if want := code != "0"; (len(heard.said) > 0) != want {
			t.Errorf("exit %s: complaints %q", code, heard.said)
		}
	}
}
