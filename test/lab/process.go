package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs on a host until it is killed, stopped or the test ends.
type Process struct {
	Name    string
	Host    *Host
	env     []string
	program string
	args    []string
	log     string
	sockets []*os.File // that it is started with

	mu     sync.Mutex // guards the following: Restart replaces them
	cmd    *exec.Cmd
	done   chan struct{}
	clock  time.Duration // what is wrong about the wall clock
	jumped bool          // clock was ever set
}

// Start starts a program on the host; its output is shown when the test fails.
func (h *Host) Start(name string, env []string, program string, args ...string) *Process {
	h.lab.t.Helper()
	t := h.lab.t
	p := &Process{Name: name, Host: h, env: env, program: program, args: args, log: filepath.Join(h.lab.dir, name+".log")}
	if err := p.launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- %s, last lines\n%s", name, p.Tail(60))
		}
	})
	return p
}

// Keep makes the program be handed sockets at its next starts, as by a service manager that keeps them open
// meanwhile (sd_listen_fds(3)). It may be called once. The sockets are closed with the lab.
func (p *Process) Keep(names []string, sockets []*os.File) {
	p.sockets = sockets
	p.env = append(p.env, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	p.Host.lab.t.Cleanup(func() {
		for _, s := range sockets {
			_ = s.Close()
		}
	})
}

// Become makes the next starts be of the program of the same name in another folder: an upgrade.
func (p *Process) Become(folder string) { p.program = filepath.Join(folder, filepath.Base(p.program)) }

func (p *Process) launch() error {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	line := append([]string{p.program}, p.args...)
	if len(p.sockets) > 0 { // only the program's own process knows its id
		line = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, line...)
	}
	cmd := p.Host.Command(line[0], line[1:]...) // ip netns exec replaces itself by the program: its pid is the program's
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, p.sockets
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s on %s: %w", p.Name, p.Host.Name, err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	by, jumped := p.clock, p.jumped
	p.mu.Unlock()
	if !jumped {
		return nil
	}
	// As soon as ip netns exec, and the shell before a program with sockets, have made way for the program.
	err = Wait(context.Background(), time.Minute, p.Name+" is started", func() error { return p.replaced(cmd.Process.Pid) })
	if err == nil {
		err = setClock(cmd.Process.Pid, by)
	}
	return err
}

// replaced returns nil once the process is the program.
func (p *Process) replaced(pid int) error {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err == nil && (filepath.Base(exe) == "ip" || strings.HasSuffix(exe, "sh")) {
		err = fmt.Errorf("it still is %s", exe)
	}
	return err
}

func (p *Process) current() (pid int, done chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid, p.done
}

// PID is the number of the program that runs, or ran last.
func (p *Process) PID() int {
	pid, _ := p.current()
	return pid
}

// Kill ends the process and its children as a power cut would, and waits until it is gone.
func (p *Process) Kill() {
	pid, done := p.current()
	if p.Running() {
		all := halt(pid) // or a child escapes that is being made just now
		for _, child := range all {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	<-done
}

// Stop asks the process to end (SIGTERM) and waits; after a minute it is killed and the test fails. It fails, too,
// when the process exits with anything but 0: a panic on the way down is no end.
func (p *Process) Stop() {
	p.Host.lab.t.Helper()
	pid, done := p.current()
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-done:
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			p.Host.lab.t.Errorf("%s exited with %d on SIGTERM", p.Name, code)
		}
	case <-time.After(time.Minute):
		p.Kill()
		p.Host.lab.t.Errorf("%s did not end on SIGTERM", p.Name)
	}
}

// Pause makes the process and its children stand still (SIGSTOP), as on a machine that is out of breath:
// nothing of it is closed, and nobody is told.
func (p *Process) Pause() error {
	pid, _ := p.current()
	if !p.Running() {
		return fmt.Errorf("pause %s: it does not run", p.Name)
	}
	halt(pid)
	return nil
}

// Resume ends a Pause.
func (p *Process) Resume() error {
	pid, _ := p.current()
	if !p.Running() {
		return fmt.Errorf("resume %s: it does not run", p.Name)
	}
	for _, child := range descendants(pid) {
		_ = syscall.Kill(child, syscall.SIGCONT)
	}
	return syscall.Kill(-pid, syscall.SIGCONT)
}

// Restart starts the program anew, with the arguments that it had; if it still runs, it is killed before.
func (p *Process) Restart() error {
	p.Kill()
	return p.launch()
}

// halt stops a process, its group and all that descends from it, PostgreSQL's children in groups of their own
// included, and returns the descendants. It goes from parents to children until it finds no more.
func halt(pid int) []int {
	_ = syscall.Kill(-pid, syscall.SIGSTOP)
	stopped := map[int]bool{}
	for {
		more := false
		all := descendants(pid)
		for _, child := range all {
			if !stopped[child] {
				_ = syscall.Kill(child, syscall.SIGSTOP)
				stopped[child], more = true, true
			}
		}
		if !more {
			return all
		}
	}
}

// descendants are the children of a process, their children and so on.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state ppid …; the name may hold anything.
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], child)
		}
	}
	found := []int{pid}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found[1:]
}

// Running reports whether the process is still there.
func (p *Process) Running() bool {
	_, done := p.current()
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// ExitCode is with what the process has ended; -1: not yet, or by a signal.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.ProcessState.ExitCode()
}

// Log is all that the process has printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// LogFile is where the process prints to.
func (p *Process) LogFile() string { return p.log }

// Tail is the last lines of Log.
func (p *Process) Tail(lines int) string {
	all := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
