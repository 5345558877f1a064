// Command expose measures what people wait for beside a "warren up": until "warren expose" prints a URL that answers, until
// "warren doctor" has looked at everything.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the four programs")
	runs := flag.Int("runs", 10, "how often")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *bin, *runs)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "expose:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, runs int) (err error) {
	dir, err := os.MkdirTemp("", "wrn-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL may run as another account
		return err
	}
	warren, err := filepath.Abs(filepath.Join(bin, "warren"))
	if err != nil {
		return err
	}
	state := filepath.Join(dir, "up")
	up, err := begin(ctx, warren, dir, "up", "--state-dir", state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.end()) }()
	if err := up.until("Ctrl-C ends it."); err != nil {
		return err
	}
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(app) }()
	defer srv.Close()
	_, port, err := net.SplitHostPort(app.Addr().String())
	if err != nil {
		return err
	}
	// As it is from elsewhere: the same, but that nothing is known of a site that reaches this machine.
	conf, err := os.ReadFile(filepath.Join(state, "cli.yaml"))
	if err != nil {
		return err
	}
	away := filepath.Join(state, "away.yaml")
	if err := os.WriteFile(away, []byte(strings.ReplaceAll(string(conf), "site: home\n", "")), 0o600); err != nil {
		return err
	}
	for _, way := range []struct{ name, conf string }{{"connector that is up", filepath.Join(state, "cli.yaml")}, {"connector of its own", away}} {
		var took []time.Duration
		for range runs {
			d, err := once(ctx, warren, dir, way.conf, port)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			took = append(took, d)
		}
		slices.Sort(took)
		err := measure.Figure{
			"bench": "expose", "through": way.name, "runs": runs, "p50_ms": measure.Milliseconds(took[len(took)/2]), "max_ms": measure.Milliseconds(took[len(took)-1]), "wanted_ms": "<= 2000",
		}.Print(os.Stdout)
		if err != nil {
			return err
		}
	}
	own := filepath.Join(state, "cli.yaml")
	if err := doctor(ctx, warren, dir, own, "nothing", runs); err != nil {
		return err
	}
	// What is broken does not refuse, it hangs: that takes longest. Nodes and connector first, then the database as well.
	var halted []*os.Process
	defer func() {
		for _, p := range halted {
			err = errors.Join(err, p.Signal(syscall.SIGCONT))
		}
	}()
	for _, broken := range []struct{ what, program string }{{"nodes", "warren-node"}, {"nodes and connector", "warren-connector"}, {"nodes, connector and database", "postgres"}} {
		found, err := halt(state, broken.program)
		halted = append(halted, found...)
		if err != nil {
			return err
		}
		if err := doctor(ctx, warren, dir, own, broken.what, min(runs, 3)); err != nil {
			return err
		}
	}
	return nil
}

// halt stops the processes of a program that have the state in their command line.
func halt(state, program string) (found []*os.Process, err error) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err != nil { // it is over
			continue
		}
		name, _, _ := strings.Cut(string(line), "\x00")
		if filepath.Base(name) != program || !strings.Contains(string(line), state) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return found, err
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.SIGSTOP)
		}
		if err != nil {
			return found, fmt.Errorf("stop %s: %w", program, err)
		}
		found = append(found, p)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no %s of %s runs", program, state)
	}
	return found, nil
}

// doctor measures how long all checks take. What they find is of no interest here.
func doctor(ctx context.Context, warren, dir, conf, broken string, runs int) error {
	var took []time.Duration
	for range runs {
		since := time.Now()
		p, err := begin(ctx, warren, dir, "--config", conf, "-o", "json", "doctor")
		if err != nil {
			return err
		}
		var found []struct{ Name string }
		if err := json.NewDecoder(p.out).Decode(&found); err != nil {
			return fmt.Errorf("doctor: %w", errors.Join(err, p.end()))
		}
		took = append(took, time.Since(since))
		_ = p.cmd.Wait() // it ends with 1 when a check failed
	}
	slices.Sort(took)
	return measure.Figure{
		"bench": "doctor", "broken": broken, "runs": runs, "p50_ms": measure.Milliseconds(took[len(took)/2]), "max_ms": measure.Milliseconds(took[len(took)-1]), "wanted_ms": "<= 10000",
	}.Print(os.Stdout)
}

// once measures from the start of the program until it prints the URL, which has answered by then.
func once(ctx context.Context, warren, dir, conf, port string) (took time.Duration, err error) {
	since := time.Now()
	p, err := begin(ctx, warren, dir, "--config", conf, "-o", "json", "expose", port)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	var made struct{ Verified bool }
	if err := json.NewDecoder(p.out).Decode(&made); err != nil {
		return 0, err
	}
	if took = time.Since(since); !made.Verified {
		return 0, errors.New("what it printed did not answer")
	}
	return took, nil
}

// program is one that runs, and what it prints.
type program struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func begin(ctx context.Context, path, dir string, args ...string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, path, args...)}
	p.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
	p.cmd.Stderr = os.Stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us, who end it
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

// until reads what it prints until some words have come.
func (p *program) until(words string) error {
	for {
		line, err := p.out.ReadString('\n')
		if strings.Contains(line, words) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s ended without the words %q: %w", p.cmd, words, err)
		}
	}
}

func (p *program) end() error {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
	return p.cmd.Wait()
}
