//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// byHand is one "make lab".
type byHand struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *output
	done chan error
}

func buildByHand(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "warren-lab")
	if out, err := exec.Command("go", "build", "-o", program, "../lab/cmd/warren-lab").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func startByHand(t *testing.T) *byHand {
	t.Helper()
	r := &byHand{cmd: exec.Command(buildByHand(t), "-bin", "../../bin", "-nodes", "2", "-sites", "1", "-replicas", "1"), out: &output{}, done: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := r.cmd.StdinPipe()
	if err == nil {
		r.in = in
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { r.done <- r.cmd.Wait(); close(gone) }()
	t.Cleanup(func() { // of a test that failed before the end
		_ = r.cmd.Process.Signal(syscall.SIGINT)
		<-gone
	})
	return r
}

// says waits until it has printed something.
func (r *byHand) says(t *testing.T, what string) {
	t.Helper()
	lab.Eventually(t, 3*patience, "it says "+what, func() error {
		if !strings.Contains(r.out.String(), what) {
			return fmt.Errorf("it says:\n%s", r.out)
		}
		return nil
	})
}

// types gives it a line and returns what it answers.
func (r *byHand) types(t *testing.T, line string) string {
	t.Helper()
	before := len(r.out.String())
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "an answer to "+line, func() error {
		if !strings.HasSuffix(r.out.String()[before:], "lab> ") {
			return fmt.Errorf("it says:\n%s", r.out)
		}
		return nil
	})
	return strings.TrimSuffix(r.out.String()[before:], "lab> ")
}

// leavesNothing waits for its end and looks for what it made.
func (r *byHand) leavesNothing(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("ended with %v:\n%s", err, r.out)
		}
	case <-time.After(60 * time.Second):
		_ = r.cmd.Process.Kill()
		t.Fatalf("did not end:\n%s", r.out)
	}
	nothingLeft(t, r.out.String())
}

// nothingLeft looks for what a lab made that has printed its name.
func nothingLeft(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`lab ([0-9a-f]{4}):`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no lab:\n%s", out)
	}
	for _, pattern := range []string{"/run/netns/", "/etc/netns/", os.TempDir() + "/"} {
		if left, _ := filepath.Glob(pattern + "wrn-" + m[1] + "-*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if left := children(t, "wrn-"+m[1]+"-"); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

func TestLabByHand(t *testing.T) {
	r := startByHand(t)
	r.says(t, "lab> ")
	quiet := func(line string) {
		t.Helper()
		if got := r.types(t, line); got != "" {
			t.Errorf("%s: %s", line, got)
		}
	}
	says := func(line, what string) {
		t.Helper()
		if got := r.types(t, line); !strings.Contains(got, what) {
			t.Errorf("%s: %s", line, got)
		}
	}
	says("help", "block-udp HOST")
	says("hosts", "198.18.5.1")
	says("status", "s1/s1-con")
	says("nonsense", `no command "nonsense"`)
	says("kill n9", `no program "n9"; there are control1`)
	says("cut nowhere", `no host "nowhere"`)
	says("shape s1 fast", `"fast"`)
	quiet("shape s1 5ms ~1ms 1% up")
	says("link s1", "Delay:5ms Jitter:1ms Loss:0.01")
	quiet("shape s1 off")
	for _, line := range []string{"block-udp s1-nat 51820", "allow-udp s1-nat", "part n1,n2 s1 oneway", "unite", "rebind s1", "wan s1 198.18.5.99", "stop kv", "cont kv", "restart s1"} {
		quiet(line)
	}
	// What is done is seen by the probe, and is over when it is undone.
	quiet("probe 50 n1")
	probe := func(what, want string) {
		t.Helper()
		lab.Eventually(t, patience, what, func() error {
			if got := r.types(t, "probe"); !regexp.MustCompile(want).MatchString(got) {
				return fmt.Errorf("%s", got)
			}
			return nil
		})
	}
	quiet("kill n1")
	probe("requests fail", `n1: [1-9]\d* failed, not healed\n$`)
	quiet("restart n1")
	sent, failed := 0, -1
	lab.Eventually(t, patience, "requests succeed again", func() error {
		var moreSent, moreFailed int
		got := r.types(t, "probe")
		if _, err := fmt.Sscanf(got, "%d sent, %d failed", &moreSent, &moreFailed); err != nil {
			return fmt.Errorf("%w: %s", err, got)
		}
		if moreFailed == failed && moreSent >= sent+20 {
			return nil // twenty more, and none of them failed
		}
		if moreFailed != failed {
			sent, failed = moreSent, moreFailed
		}
		return fmt.Errorf("%s", got)
	})
	says("probe-end", " sent, ")
	_ = r.in.Close()
	r.leavesNothing(t)
}

func TestLabByHandInterruptedWhileItStarts(t *testing.T) {
	r := startByHand(t)
	r.says(t, "starting a cluster")
	lab.Eventually(t, patience, "it has made hosts", func() error {
		m := regexp.MustCompile(`lab ([0-9a-f]{4}):`).FindStringSubmatch(r.out.String())
		if m == nil {
			return fmt.Errorf("it says:\n%s", r.out)
		}
		if made, _ := filepath.Glob("/run/netns/wrn-" + m[1] + "-*"); len(made) < 4 {
			return fmt.Errorf("only %v", made)
		}
		return nil
	})
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT) // as a terminal does: to all of its group
	r.leavesNothing(t)
}

// Whoever reads what it prints may end first: it still cleans up.
func TestLabByHandOutlivesItsReader(t *testing.T) {
	// bash waits for all of a pipeline.
	out, err := exec.Command("bash", "-c", `"$0" -bin ../../bin -nodes 1 -sites 1 -replicas 1 </dev/null | head -n 1`, buildByHand(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	nothingLeft(t, string(out))
}
