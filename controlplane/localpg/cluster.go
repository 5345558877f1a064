package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Files of the state directory that say who may connect.
const (
	hbaFile   = "pg_hba.conf"
	identFile = "pg_ident.conf"
)

// initialize makes the data directory under another name and renames it when it is complete, so that an
// interrupted start leaves nothing that looks usable. initdb writes without fsync and syncs once at the end,
// which is three times as fast.
func (s *Server) initialize(ctx context.Context) error {
	fresh := s.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := s.own.makeDir(fresh); err != nil {
		return err
	}
	run := func(args ...string) error {
		cmd := s.own.command(ctx, filepath.Join(s.bin, "initdb"), append([]string{"-D", fresh}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb: %w: %s", err, lastLine(out))
		}
		return nil
	}
	if err := run("--no-sync", "--username="+role, "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"); err != nil {
		return err
	}
	if !s.opt.Unsafe {
		if err := run("--sync-only"); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, s.data); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeAccess lets in this process's account and the server's, each by what the kernel says of the other
// end of the socket. It is written at every start: the account of this process may be another one now.
func (s *Server) writeAccess() error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	names := fmt.Sprintf("own %q %s\n", me.Username, role)
	if s.own.name != me.Username {
		names += fmt.Sprintf("own %q %s\n", s.own.name, role)
	}
	for name, text := range map[string]string{hbaFile: "local all all peer map=own\n", identFile: names} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(s.dir, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// clear removes what a server that is gone left behind, and reports whether there was such a thing. One
// that outlived its starter is on its way out: it is waited for. A process that merely got the same number
// since would make PostgreSQL refuse to start.
func (s *Server) clear(ctx context.Context) (crashed bool, err error) {
	pidFile := filepath.Join(s.data, "postmaster.pid")
	pid := readPID(pidFile)
	if pid == 0 {
		return false, nil
	}
	if s.isOurs(pid) {
		s.log.Info("waiting for the previous database server", "pid", pid)
		_ = syscall.Kill(pid, syscall.SIGINT)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for s.isOurs(pid) {
			select {
			case <-ctx.Done():
				return false, fmt.Errorf("the previous server, process %d, does not end: %w", pid, ctx.Err())
			case <-tick.C:
			}
		}
		return true, nil
	}
	for _, f := range []string{pidFile, filepath.Join(s.socket, socketName+".lock")} {
		if other := readPID(f); other == 0 || errors.Is(syscall.Kill(other, 0), syscall.ESRCH) {
			continue // PostgreSQL sees by itself that nobody is there
		}
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return true, err
		}
	}
	return true, nil
}

// isOurs reports whether a process is a server on our data: servers stand in their data directory.
func (s *Server) isOurs(pid int) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	data, err := filepath.EvalSymlinks(s.data)
	return err == nil && cwd == data
}

// readPID reads the first line of a lock file; 0 if there is none.
func readPID(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}
