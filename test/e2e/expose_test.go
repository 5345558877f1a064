//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// exposed is one "warren expose".
type exposed struct {
	cmd  *exec.Cmd
	said *output // on standard error
	done chan error

	URL      string
	Name     string
	Site     string
	Verified bool
	Password string
}

// expose starts "warren expose" beside a "warren up" and waits until it prints a URL.
func (r *upRun) expose(t *testing.T, config string, args ...string) *exposed {
	t.Helper()
	e := &exposed{said: &output{}, done: make(chan error, 1)}
	e.cmd = exec.Command(r.cmd.Path, append([]string{"--config", config, "-o", "json", "expose"}, args...)...)
	e.cmd.Env, e.cmd.Dir, e.cmd.SysProcAttr, e.cmd.Stderr = r.cmd.Env, r.cmd.Dir, r.cmd.SysProcAttr, e.said
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.cmd.Process.Kill() })
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(e); err != nil {
		t.Fatalf("%v; it says:\n%s", err, e.said)
	}
	go func() { e.done <- e.cmd.Wait() }()
	return e
}

// fetch asks for a URL with curl, which knows by itself where names below localhost are.
func (r *upRun) fetch(url string, args ...string) (string, error) {
	cmd := exec.Command("curl", append([]string{"-sS", "--cacert", filepath.Join(r.cmd.Dir, "warren-up", "ca.pem"), url}, args...)...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// listed is what the control plane has of a kind.
func (r *upRun) listed(t *testing.T, kind string) string {
	t.Helper()
	cmd := exec.Command(r.cmd.Path, "--config", filepath.Join(r.cmd.Dir, "warren-up", "cli.yaml"), "get", kind, "-o", "name")
	cmd.SysProcAttr = r.cmd.SysProcAttr
	cmd.Env, cmd.Dir = r.cmd.Env, r.cmd.Dir
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What runs here is published beside "warren up", through its connector or one of its own, until Ctrl-C; what a program
// leaves that was killed goes by itself.
func TestExpose(t *testing.T) {
	dir := home(t)
	up := startUp(t, "nobody", dir)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s%s", r.Host, r.URL.Path) }))
	defer app.Close()
	_, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	beside := filepath.Join(dir, "warren-up", "cli.yaml")
	// As from a laptop: nothing is known of a site that reaches it.
	laptop := filepath.Join(dir, "warren-up", "laptop.yaml")
	server := ""
	b, err := os.ReadFile(beside)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "server:") {
			server = line
		}
	}
	if err := os.WriteFile(laptop, []byte(server+"api_key_file: api.key\ndomain: warren.localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct{ name, config, site string }{{"beside", beside, "home"}, {"laptop", laptop, "laptop"}} {
		e := up.expose(t, tc.config, port, "--name", tc.name, "--lifetime", "10s")
		if !e.Verified || e.Site != tc.site || !strings.HasPrefix(e.URL, "https://"+tc.name+".warren.localhost") {
			t.Fatalf("%+v; it says:\n%s", e, e.said)
		}
		if got, err := up.fetch(e.URL + "x"); err != nil || !strings.HasPrefix(got, "hello from "+tc.name+".warren.localhost") || !strings.HasSuffix(got, "/x") {
			t.Errorf("%s: %s, %v", e.URL, got, err)
		}
		_ = e.cmd.Process.Signal(syscall.SIGINT)
		if err := <-e.done; err != nil {
			t.Errorf("Ctrl-C: %v\n%s", err, e.said)
		}
		for _, kind := range []string{"services", "targets", "sites", "connectors"} {
			if got := up.listed(t, kind); strings.Contains(got, tc.name) {
				t.Errorf("Ctrl-C left %s: %s", kind, got)
			}
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "warren-expose")); len(left) > 0 {
		t.Errorf("Ctrl-C left %s", left[0])
	}

	// Who is killed leaves a connector and rows for a moment.
	killed := up.expose(t, laptop, port, "--name", "killed", "--lifetime", "10s", "--password")
	if killed.Password == "" || !killed.Verified {
		t.Errorf("%+v; it says:\n%s", killed, killed.said)
	}
	if got, err := up.fetch(killed.URL); err != nil || strings.Contains(got, "hello from") {
		t.Errorf("without the password: %s, %v", got, err)
	}
	_ = killed.cmd.Process.Kill()
	<-killed.done
	lab.Eventually(t, patience, "its connector ends, and what was published goes", func() error {
		if left := children(t, filepath.Join(dir, "warren-expose")); len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		for _, kind := range []string{"services", "policies", "sites", "connectors"} {
			if got := up.listed(t, kind); strings.Contains(got, "killed") {
				return fmt.Errorf("%s: %s", kind, got)
			}
		}
		return nil
	})

	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	go func() {
		for {
			c, err := raw.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "raw\n")
			_ = c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(raw.Addr().String())
	e := up.expose(t, laptop, port, "--tcp")
	lab.Eventually(t, patience, e.URL+" answers", func() error { // a node that is slow to close what leads nowhere passes for one that answers
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(e.URL, "tcp://"), 10*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(c); err != nil || string(got) != "raw\n" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
	// Its files of what was killed are gone as well.
	if left, _ := os.ReadDir(filepath.Join(dir, "warren-expose")); len(left) != 1 {
		t.Errorf("%v are in the folder of one that runs", left)
	}
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-e.done; err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, e.said)
	}
	up.interrupt(t)
}
