// Package localpg runs a private PostgreSQL server as a child process, for a single machine or for tests.
//
// The server listens on a unix socket only, in a folder that nobody else may enter, and knows its users
// by their operating-system account: there is no password, and nothing to reach from outside. It ends with the
// process that started it, however that one ends.
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
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/shared/backoff"
)

// MinVersion is the oldest major version of PostgreSQL that Warren works with.
const MinVersion = 15

// role is the database user of this process.
const role = "warren"

// socketName is the file that a server on port 5432 listens on.
const socketName = ".s.PGSQL.5432"

// maxSocketPath is the room for a path in sockaddr_un, unix(7).
const maxSocketPath = 107

// maxLog is the size at which the server's log is put aside, one generation of it.
const maxLog = 1 << 20

// Options say where the server lives.
type Options struct {
	Dir    string // state directory, of nothing else; made if missing, kept
	Bin    string // folder of initdb and postgres; looked for if empty
	Unsafe bool   // no fsync: for tests, whose data may be lost
	Log    *slog.Logger
}

// Server is a running child.
type Server struct {
	dir, data, socket string

	bin  string
	own  owner
	opt  Options
	log  *slog.Logger
	lock *os.File // of dir, while the server runs

	cmd     *exec.Cmd
	done    chan struct{}
	err     error       // of the child; read after done
	serving atomic.Bool // it has answered: its end is the end of the Server
	logs    int64       // where this start begins in the log
}

// Start initializes the state directory if it is new, starts the server and waits until it answers. ctx
// bounds the start, not the server.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("postgresql: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		_ = s.lock.Close()
		return nil, fmt.Errorf("postgresql: %w", err)
	}
	return s, nil
}

// prepare finds what is needed, makes the folders and locks them.
func prepare(o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, data: filepath.Join(dir, "data"), socket: filepath.Join(dir, "run"), opt: o, log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if n := len(filepath.Join(s.socket, socketName)); n > maxSocketPath {
		return nil, fmt.Errorf("the path of %s is too long for a unix socket: %d bytes with the socket's name, %d at most", dir, n, maxSocketPath)
	}
	if s.bin, err = findBin(o.Bin, s.data); err != nil {
		return nil, err
	}
	if s.own, err = account(); err != nil {
		return nil, err
	}
	if err := s.own.makeTop(dir); err != nil {
		return nil, err
	}
	if err := s.own.canReach(dir); err != nil {
		return nil, err
	}
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := s.own.makeDir(s.socket); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// lockDir keeps two processes from running servers on one directory. The kernel gives the lock back when
// the holder ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another process", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// begin starts the server on a directory that is locked.
func (s *Server) begin(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		begin := time.Now()
		if err := s.initialize(ctx); err != nil {
			return err
		}
		s.log.Info("database initialized", "dir", s.data, "dur", time.Since(begin))
	}
	if err := s.writeAccess(); err != nil {
		return err
	}
	crashed, err := s.clear(ctx)
	if err != nil {
		return err
	}
	// After a crash the old server's children may live for a moment longer and keep the data to themselves.
	retry := backoff.Backoff{Max: time.Second}
	for n := 1; ; n++ {
		if err := s.start(); err != nil {
			return err
		}
		err := s.wait(ctx)
		if err == nil {
			s.serving.Store(true)
			return nil
		}
		_ = s.halt(context.WithoutCancel(ctx))
		if !crashed || n == 20 || !retry.Wait(ctx) {
			return err
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

// Stop ends the server cleanly: open transactions are rolled back. When ctx ends first it is killed. Stop
// may be called again.
func (s *Server) Stop(ctx context.Context) error {
	err := s.halt(ctx)
	_ = s.lock.Close()
	if err != nil {
		return fmt.Errorf("postgresql: %w", err)
	}
	return nil
}

func (s *Server) halt(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // "fast shutdown"
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return fmt.Errorf("killed, it did not end in time: %w", ctx.Err())
}

func (s *Server) start() error {
	conf := []string{
		"listen_addresses=",
		"port=5432",
		`unix_socket_directories="` + strings.ReplaceAll(s.socket, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"hba_file=" + filepath.Join(s.dir, hbaFile),
		"ident_file=" + filepath.Join(s.dir, identFile),
		"max_connections=100",
		"logging_collector=off",
	}
	if s.opt.Unsafe {
		conf = append(conf, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", s.data}
	for _, c := range conf {
		args = append(args, "-c", c)
	}
	out, err := s.openLog()
	if err != nil {
		return err
	}
	defer out.Close()
	s.cmd = s.own.command(context.Background(), filepath.Join(s.bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr.Setpgid = true // a Ctrl-C at the terminal is for us, not for it
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	s.done, s.err = make(chan struct{}), nil
	started := make(chan error, 1)
	go func(cmd *exec.Cmd, done chan struct{}) {
		// The death signal comes when the starting thread ends, so the thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			if s.serving.Load() {
				_ = s.lock.Close() // the directory is free again
			}
			close(done)
		}
	}(s.cmd, s.done)
	return <-started
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *Server) openLog() (*os.File, error) {
	name := s.logFile()
	if fi, err := os.Stat(name); err == nil && fi.Size() > maxLog {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.logs = fi.Size()
	return f, nil
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
			return fmt.Errorf("no answer: %w", errors.Join(ctx.Err(), err))
		case <-s.done:
			return fmt.Errorf("the server ended: %v: %s", s.err, s.complaint())
		case <-tick.C:
		}
	}
}

// complaint is the line of this start's log that says why it ended.
func (s *Server) complaint() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil || int64(len(b)) < s.logs {
		return "see " + s.logFile()
	}
	b = b[s.logs:]
	for _, word := range []string{"PANIC:", "FATAL:"} {
		if i := bytes.LastIndex(b, []byte(word)); i >= 0 {
			line, _, _ := bytes.Cut(b[i:], []byte("\n"))
			return string(line)
		}
	}
	return lastLine(b)
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}
