// Package localpg runs a private PostgreSQL server as a child process, for one machine and for tests.
//
// The server listens on a unix socket only, in a folder that nobody else may enter, and knows its users
// by their operating-system account: there is no password, and nothing to reach from outside.
package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/shared/backoff"
)

// MinVersion is the oldest major version of PostgreSQL that Warren works with.
const MinVersion = 15

// role is the database user of this process.
const role = "warren"

// Options say where the server lives.
type Options struct {
	Dir    string // state directory; made if missing, kept
	Bin    string // folder of initdb and postgres; looked for if empty
	Unsafe bool   // no fsync: for tests, whose data may be lost
	Log    *slog.Logger
}

// Server is a running child.
type Server struct {
	socket string
	cmd    *exec.Cmd
	done   chan struct{}
	err    error // of the child; read after done
	log    string
}

// ErrMissing is wrapped when no usable PostgreSQL is installed.
var ErrMissing = errors.New("PostgreSQL is not installed")

// Start initializes the state directory if it is new, starts the server and waits until it answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	bin, err := findBin(o.Bin)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("postgresql: %w", err)
	}
	s := &Server{socket: filepath.Join(dir, "run"), log: filepath.Join(dir, "log")}
	if n := len(s.socket) + len("/.s.PGSQL.5432"); n > 107 {
		return nil, fmt.Errorf("postgresql: the path of %s is too long for a unix socket: %d bytes with the socket's name, 107 at most", dir, n)
	}
	owner, err := account()
	if err != nil {
		return nil, fmt.Errorf("postgresql: %w", err)
	}
	data := filepath.Join(dir, "data")
	for _, d := range []string{dir, data, s.socket} {
		if err := owner.makeDir(d); err != nil {
			return nil, fmt.Errorf("postgresql: %w", err)
		}
	}
	if err := owner.canReach(dir); err != nil {
		return nil, fmt.Errorf("postgresql: %w", err)
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := initialize(ctx, bin, data, owner, o); err != nil {
			return nil, err
		}
	}
	// After a crash the old server's children may live for a moment longer and keep the data to themselves.
	_, crashed := os.Stat(filepath.Join(data, "postmaster.pid"))
	retry := backoff.Backoff{Max: time.Second}
	for n := 0; ; n++ {
		if err := s.start(bin, data, owner, o); err != nil {
			return nil, err
		}
		err := s.wait(ctx)
		if err == nil {
			return s, nil
		}
		_ = s.Stop(context.WithoutCancel(ctx))
		if crashed != nil || n == 20 || !retry.Wait(ctx) {
			return nil, err
		}
	}
}

// DSN is the connection string of a database of the server; "" is the default one.
func (s *Server) DSN(database string) string {
	if database == "" {
		database = "postgres"
	}
	q := url.Values{"host": {s.socket}, "port": {"5432"}, "user": {role}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Done closes when the server has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server cleanly: open transactions are rolled back. When ctx ends first it is killed.
func (s *Server) Stop(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // "fast shutdown"
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-s.done:
		case <-time.After(5 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.done
		}
		return fmt.Errorf("postgresql: killed, it did not end in time: %w", ctx.Err())
	}
}

// findBin looks where distributions put the server.
func findBin(bin string) (string, error) {
	usable := func(dir string) bool {
		for _, f := range []string{"initdb", "postgres"} {
			if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
				return false
			}
		}
		return true
	}
	if bin != "" {
		if !usable(bin) {
			return "", fmt.Errorf("%w: no initdb and postgres in %s", ErrMissing, bin)
		}
		return bin, nil
	}
	best := 0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, d := range dirs {
		v, err := strconv.Atoi(filepath.Base(filepath.Dir(d)))
		if err == nil && v >= MinVersion && v > best && usable(d) {
			best, bin = v, d
		}
	}
	if best > 0 {
		return bin, nil
	}
	if p, err := exec.LookPath("postgres"); err == nil && usable(filepath.Dir(p)) {
		return filepath.Dir(p), nil
	}
	return "", fmt.Errorf("%w (version %d or newer): apt-get install postgresql", ErrMissing, MinVersion)
}

// owner is the account that the server runs as. PostgreSQL refuses to run as root.
type owner struct {
	name       string
	credential *syscall.Credential // nil: this process's own
}

func account() (owner, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return owner{}, err
		}
		return owner{name: u.Username}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return owner{}, err
		}
		return owner{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}}, nil
	}
	return owner{}, errors.New("started by root, and there is no account postgres or nobody to run the server as")
}

func (o owner) makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	if o.credential == nil {
		return nil
	}
	return os.Chown(dir, int(o.credential.Uid), int(o.credential.Gid))
}

// canReach checks that the folders above dir may be entered by the server's account.
func (o owner) canReach(dir string) error {
	if o.credential == nil {
		return nil
	}
	for d := filepath.Dir(dir); d != "/"; d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		if fi.Mode()&0o001 == 0 && st.Uid != o.credential.Uid && (st.Gid != o.credential.Gid || fi.Mode()&0o010 == 0) {
			return fmt.Errorf("the server runs as %s, which may not enter %s: choose another state directory, or chmod o+x it", o.name, d)
		}
	}
	return nil
}

func (o owner) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "LC_") }), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential}
	return cmd
}

// initialize makes the cluster. It writes without fsync and syncs once at the end, which is three times as
// fast; an interrupted initialization is removed.
func initialize(ctx context.Context, bin, data string, o owner, opt Options) error {
	run := func(args ...string) error {
		cmd := o.command(ctx, filepath.Join(bin, "initdb"), append([]string{"-D", data}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("postgresql: initdb: %w: %s", err, lastLine(out))
		}
		return nil
	}
	fail := func(err error) error {
		if rm := emptyDir(data); rm != nil {
			return errors.Join(err, rm)
		}
		return err
	}
	if err := run("--no-sync", "--username="+role, "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"); err != nil {
		return fail(err)
	}
	me, err := user.Current()
	if err != nil {
		return fail(err)
	}
	maps := fmt.Sprintf("own %s %s\n", me.Username, role)
	if o.name != me.Username {
		maps += fmt.Sprintf("own %s %s\n", o.name, role)
	}
	for name, text := range map[string]string{
		"pg_hba.conf":   "local all all peer map=own\n",
		"pg_ident.conf": maps,
	} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			return fail(err)
		}
	}
	if opt.Unsafe {
		return nil
	}
	if err := run("--sync-only"); err != nil {
		return fail(err)
	}
	return nil
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (s *Server) start(bin, data string, o owner, opt Options) error {
	args := []string{
		"-D", data, "-k", s.socket, "-p", "5432",
		"-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "max_connections=100",
	}
	if o.credential != nil {
		// The folder keeps others out; within it, this process is not the server's account.
		args = append(args, "-c", "unix_socket_permissions=0777")
	}
	if opt.Unsafe {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("postgresql: %w", err)
	}
	defer out.Close()
	s.cmd = o.command(context.Background(), filepath.Join(bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr.Setpgid = true // a Ctrl-C at the terminal is for us, not for it
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	s.done = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The death signal comes when the starting thread ends, so the thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("postgresql: %w", err)
	}
	return nil
}

// wait asks until the server answers. It may have to recover first.
func (s *Server) wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN(""))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgresql: no answer: %w", errors.Join(ctx.Err(), err))
		case <-s.done:
			b, _ := os.ReadFile(s.log)
			return fmt.Errorf("postgresql: the server ended: %v: %s", s.err, lastLine(b))
		case <-tick.C:
		}
	}
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}
