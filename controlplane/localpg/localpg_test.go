package localpg

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

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
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Options{Dir: filepath.Join(dir, "pg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
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

func TestDataSurvivesStopAndCrash(t *testing.T) {
	dir := tempDir(t)
	s := start(t, dir)
	conn, err := pgx.Connect(t.Context(), s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'here' AS v"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	if got := query(t, s, "SELECT v FROM kept"); got != "here" {
		t.Errorf("after a stop: %q", got)
	}
	_ = syscall.Kill(s.cmd.Process.Pid, syscall.SIGKILL) // leaves postmaster.pid behind
	<-s.Done()
	s = start(t, dir)
	if got := query(t, s, "SELECT v FROM kept"); got != "here" {
		t.Errorf("after a crash: %q", got)
	}
}

func TestNothingToReachFromOutside(t *testing.T) {
	s := start(t, tempDir(t))
	if got := query(t, s, "SHOW listen_addresses"); got != "" {
		t.Errorf("listens on %q", got)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:5432"); err == nil {
		// Another server may have the port; ours must not.
		_ = c.Close()
	}
	if got := query(t, s, "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules"); got != "local peer" {
		t.Errorf("authentication is %q", got)
	}
	fi, err := os.Stat(s.socket)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("socket folder %v, %v", fi.Mode(), err)
	}
}

func TestClearErrors(t *testing.T) {
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Bin: t.TempDir()})
	if !errors.Is(err, ErrMissing) {
		t.Errorf("empty folder: %v", err)
	}
	_, err = Start(t.Context(), Options{Dir: "/tmp/" + strings.Repeat("x", 100)})
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long path: %v", err)
	}
}
