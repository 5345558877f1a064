package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// starterEnv makes the test binary start a server in a directory and wait for its own end.
const starterEnv = "WARREN_LOCALPG_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(starterEnv); dir != "" {
		s, err := Start(context.Background(), Options{Dir: dir, Unsafe: true})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.cmd.Process.Pid)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wrn") // short, and below a folder that the server's account may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pg")
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := tryStart(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func tryStart(t *testing.T, dir string) (*Server, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Start(ctx, Options{Dir: dir, Unsafe: true})
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out string
	if err := conn.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func keep(t *testing.T, s *Server) {
	t.Helper()
	if got := query(t, s, "WITH made AS (SELECT 'here' AS v) SELECT v FROM made"); got != "here" {
		t.Fatal(got)
	}
	conn, err := pgx.Connect(t.Context(), s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'here' AS v"); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, s *Server, when string) {
	t.Helper()
	if got := query(t, s, "SELECT v FROM kept"); got != "here" {
		t.Errorf("%s: %q", when, got)
	}
}

// With fsync, as in earnest.
func TestDataSurvivesStopAndCrash(t *testing.T) {
	dir := tempDir(t)
	safe := func() *Server {
		s, err := Start(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		return s
	}
	s := safe()
	if got := query(t, s, "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	keep(t, s)
	if err := errors.Join(s.Stop(t.Context()), s.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	s = safe()
	kept(t, s, "after a stop")
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // leaves postmaster.pid behind
	<-s.Done()
	kept(t, safe(), "after a crash")
}

// The starter is killed: the server shuts down by itself, and the next starter gets the data.
func TestServerEndsWithItsStarter(t *testing.T) {
	dir := tempDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starterEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(line)
	}
	if _, err := tryStart(t, dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second starter: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	s := start(t, dir) // waits for the old server
	if s.cmd.Process.Pid == pid {
		t.Error("the old server goes on")
	}
	log, err := os.ReadFile(s.logFile())
	if err != nil || !strings.Contains(string(log), "database system is shut down") || strings.Contains(string(log), "not properly shut down") {
		t.Errorf("the old server did not shut down cleanly (%v):\n%s", err, log)
	}
}

// After a reboot, or in a new container, the number in a left-over lock file may be somebody else's.
func TestStaleLockFileOfAnotherProcess(t *testing.T) {
	dir := tempDir(t)
	s := start(t, dir)
	keep(t, s)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A process of the server's own account: only such a one does PostgreSQL take for a server.
	other := s.own.command(t.Context(), "sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	for _, f := range []string{filepath.Join(s.data, "postmaster.pid"), filepath.Join(s.socket, socketName+".lock")} {
		if err := os.WriteFile(f, fmt.Appendf(nil, "%d\n%s\n", other.Process.Pid, s.data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept(t, start(t, dir), "after a reboot")
}

// What a killed initdb leaves looks like a data directory; it must not be taken for one.
func TestInterruptedInitialization(t *testing.T) {
	dir := tempDir(t)
	half := filepath.Join(dir, "data.new")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	query(t, start(t, dir), "SELECT 'up'")
}

func TestNothingToReachFromOutside(t *testing.T) {
	s := start(t, tempDir(t))
	if got := query(t, s, "SHOW listen_addresses"); got != "" {
		t.Errorf("listens on %q", got)
	}
	if got := query(t, s, "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules"); got != "local peer" {
		t.Errorf("authentication is %q", got)
	}
	fi, err := os.Stat(s.socket)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("socket folder %v, %v", fi.Mode(), err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); s.own.credential != nil && f[0] == "Groups:" && len(f) > 1 {
			t.Errorf("the server kept groups of its starter: %s", line)
		}
	}
}

func TestClearErrors(t *testing.T) {
	if _, err := Start(t.Context(), Options{Dir: t.TempDir(), Bin: t.TempDir()}); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Start(t.Context(), Options{Dir: "/tmp/" + strings.Repeat("x", 100)}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long path: %v", err)
	}
	dir := tempDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, dir); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install postgresql-9") {
		t.Errorf("data of another version: %v", err)
	}
}

func TestCanReach(t *testing.T) {
	dir := tempDir(t)
	closed := filepath.Join(filepath.Dir(dir), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	o := owner{"stranger", &syscall.Credential{Uid: 54321, Gid: 54321}}
	if err := o.canReach(dir); err != nil {
		t.Error(err)
	}
	if err := o.canReach(filepath.Join(closed, "pg")); err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("below a closed folder: %v", err)
	}
}
