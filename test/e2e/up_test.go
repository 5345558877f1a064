//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// output collects what a program prints, for several readers.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// upRun is one "warren up".
type upRun struct {
	cmd  *exec.Cmd
	out  *output
	done chan error
}

// startUp starts "warren up" as an account and waits until it says how to use it.
func startUp(t *testing.T, account, home string, args ...string) *upRun {
	t.Helper()
	u, err := user.Lookup(account)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	bin := filepath.Join(home, "bin") // where the account may read it
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"warren", "warren-control", "warren-node", "warren-connector"} {
		b, err := os.ReadFile(filepath.Join("../../bin", name))
		if err == nil {
			_ = os.Remove(filepath.Join(bin, name))
			err = os.WriteFile(filepath.Join(bin, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	r := &upRun{cmd: exec.Command(filepath.Join(bin, "warren"), append([]string{"up"}, args...)...), out: &output{}, done: make(chan error, 1)}
	r.cmd.Env = []string{"HOME=" + home, "XDG_STATE_HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}
	r.cmd.Dir = home
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	lab.Eventually(t, 3*patience, "warren up says that it is up", func() error {
		if !strings.Contains(r.out.String(), "Ctrl-C ends it.") {
			return fmt.Errorf("it says:\n%s", r.out)
		}
		return nil
	})
	return r
}

// paste runs the commands that it printed, as they stand, in a shell of the account.
func (r *upRun) paste(t *testing.T) {
	t.Helper()
	pasted := 0
	// Not the steps above, which look alike from the tenth second on.
	_, commands, _ := strings.Cut(r.out.String(), "Paste these")
	commands, _, _ = strings.Cut(commands, "Sign in as") // a link, for a browser
	for line := range strings.Lines(commands) {
		line, ok := strings.CutPrefix(line, "  ")
		if !ok || strings.HasPrefix(line, " ") {
			continue
		}
		cmd := exec.Command("sh", "-c", line)
		cmd.SysProcAttr = r.cmd.SysProcAttr
		cmd.Env, cmd.Dir = r.cmd.Env, r.cmd.Dir
		out, err := cmd.CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) == 0 {
			t.Errorf("%s%v\n%s", line, err, out)
		}
		pasted++
	}
	if pasted < 5 {
		t.Errorf("%d commands to paste:\n%s", pasted, r.out)
	}
}

// interrupt is Ctrl-C.
func (r *upRun) interrupt(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("ended with %v:\n%s", err, r.out)
		}
	case <-time.After(60 * time.Second):
		t.Fatalf("did not end:\n%s", r.out)
	}
}

// children are the processes that have a path in their command line.
func children(t *testing.T, path string) []string {
	t.Helper()
	var found []string
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range lines {
		b, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(b), path) {
			found = append(found, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return found
}

func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wrn-up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUpAsOrdinaryUserIsPastableAndSurvivesARestart(t *testing.T) {
	dir := home(t)
	first := startUp(t, "nobody", dir)
	first.paste(t)
	first.interrupt(t)
	if left := children(t, dir); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
	again := startUp(t, "nobody", dir)
	again.paste(t)
	again.interrupt(t)
}

func TestUpAsRootEphemeralLeavesNothing(t *testing.T) {
	dir := home(t)
	r := startUp(t, "root", dir, "--ephemeral")
	r.paste(t)
	r.interrupt(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "bin" {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if left := children(t, dir); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

// Killed without a chance to clean up, it leaves nothing running, and starts again.
func TestUpSurvivesBeingKilled(t *testing.T) {
	dir := home(t)
	r := startUp(t, "nobody", dir)
	_ = r.cmd.Process.Kill()
	<-r.done
	lab.Eventually(t, patience, "its children end", func() error {
		if left := children(t, dir); len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		return nil
	})
	again := startUp(t, "nobody", dir)
	again.paste(t)
	again.interrupt(t)
}

// Members that were revoked or deleted since join anew at the next start.
func TestUpReplacesWhoIsTrustedNoMore(t *testing.T) {
	dir := home(t)
	first := startUp(t, "nobody", dir)
	for _, args := range [][]string{{"node", "revoke", "node-1"}, {"delete", "node", "node-2"}, {"delete", "connector", "connector"}} {
		cmd := exec.Command(filepath.Join(dir, "bin", "warren"), append(args, "--yes", "--config", filepath.Join(dir, "warren-up", "cli.yaml"))...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	first.interrupt(t)
	again := startUp(t, "nobody", dir) // both nodes have answered a request, then
	if !strings.Contains(again.out.String(), "node-1 was revoked: another takes its place") {
		t.Errorf("said:\n%s", again.out)
	}
	again.paste(t)
	again.interrupt(t)
}
