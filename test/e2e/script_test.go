//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// TestScripts calls the command line on an administrator's machine of a real cluster: what takes nodes, connectors, a certificate
// authority or machines of its own. Other commands have scripts in controlplane/cmd/warren-control. Beside what package testscript has
// there are
//
//	warren CODE ARG...          call it; it has to exit so. An ARG that begins with ./ is in the script's folder
//	eventually CODE ARG...      the same, again and again until it exits so
//	until REGEXP ARG...         call it until it says so, then end it as Ctrl-C does; it has to exit with 0
//	authority                   start a certificate authority, which is the issuer "pebble"
func TestScripts(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.Admin.Resolver(c.Client.Addr)
	bin, err := filepath.Abs("../../bin/warren")
	c.must(err)
	calls := scripted{c, bin}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("APP", app)
			env.Setenv("DOMAIN", domain)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"warren": calls.call, "eventually": calls.eventually, "until": calls.until, "authority": calls.authority},
	})
}

// scripted are the commands of scripts.
type scripted struct {
	c   *suite
	bin string
}

func (s scripted) authority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: authority")
	}
	ts.Check(s.c.StartAuthority(context.Background(), acmetest.Config{}))
}

// command is a call on the administrator's machine.
func (s scripted) command(ts *testscript.TestScript, args []string) (cmd *exec.Cmd, stdout, stderr *output) {
	var all []string
	for _, a := range args {
		if strings.HasPrefix(a, "./") {
			a = ts.MkAbs(a)
		}
		all = append(all, a)
	}
	cmd = s.c.Admin.Command(s.bin, all...)
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "WARREN_SERVER=http://198.18.1.10:8080", "WARREN_API_KEY_FILE="+filepath.Join(s.c.Dir, "bootstrap.key"))
	cmd.Dir = ts.MkAbs(".")
	stdout, stderr = &output{}, &output{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// once calls it and returns how it exits.
func (s scripted) once(ts *testscript.TestScript, args []string) (code int, stdout, stderr string) {
	cmd, out, errw := s.command(ts, args)
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errw.String()
}

func (s scripted) call(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: warren CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code, stdout, stderr := s.once(ts, args[1:])
	_, _ = ts.Stdout().Write([]byte(stdout))
	_, _ = ts.Stderr().Write([]byte(stderr))
	if code != want {
		ts.Fatalf("exit %d, want %d\n%s%s", code, want, stdout, stderr)
	}
}

func (s scripted) eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		code, stdout, stderr := s.once(ts, args[1:])
		if code == want {
			_, _ = ts.Stdout().Write([]byte(stdout))
			_, _ = ts.Stderr().Write([]byte(stderr))
			return
		}
		if time.Since(begin) > 2*patience {
			ts.Fatalf("exit %d, want %d\n%s%s", code, want, stdout, stderr)
		}
	}
}

func (s scripted) until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP ARG...")
	}
	words, err := regexp.Compile(args[0])
	ts.Check(err)
	cmd, stdout, stderr := s.command(ts, args[1:])
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	end := time.After(2 * patience)
	for !words.MatchString(stdout.String() + stderr.String()) {
		select {
		case err := <-ended:
			ts.Fatalf("it ended with %v before it said so:\n%s%s", err, stdout, stderr)
		case <-end:
			_ = cmd.Process.Kill()
			<-ended
			ts.Fatalf("it does not say so:\n%s%s", stdout, stderr)
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-ended:
		if err != nil {
			ts.Fatalf("after Ctrl-C: %v\n%s%s", err, stdout, stderr)
		}
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		ts.Fatalf("Ctrl-C does not end it:\n%s%s", stdout, stderr)
	}
	_, _ = ts.Stdout().Write(bytes.TrimSpace([]byte(stdout.String())))
}
