// Package presencetest starts a real Valkey or Redis server for tests.
package presencetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Server is a private server on a unix socket.
type Server struct {
	socket string
	bin    string
	cmd    *exec.Cmd
}

// Start runs a server until the test ends. A machine without one fails the test.
func Start(t *testing.T) *Server {
	t.Helper()
	s := &Server{}
	for _, name := range []string{"valkey-server", "redis-server"} {
		if p, err := exec.LookPath(name); err == nil {
			s.bin = p
			break
		}
	}
	if s.bin == "" {
		t.Fatal("neither valkey-server nor redis-server is installed: apt-get install redis-server")
	}
	dir, err := os.MkdirTemp("", "wrn") // short: a socket path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.socket = filepath.Join(dir, "s")
	t.Cleanup(func() { s.Kill(t) })
	s.Restart(t)
	return s
}

// URL is where the server listens.
func (s *Server) URL() string { return "unix://" + s.socket }

// Restart starts the server anew, empty.
func (s *Server) Restart(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.bin, "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(s.socket))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := s.dial()
		if err == nil {
			err = c.Do(t.Context(), c.B().Ping().Build()).Error()
			c.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", s.bin, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Kill ends the server as a crash would.
func (s *Server) Kill(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Flush empties the server.
func (s *Server) Flush(t *testing.T) {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(t.Context(), c.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// All is what the server holds: each key with its value, as far as it is a text.
func (s *Server) All(t *testing.T) map[string]string {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range keys {
		all[k], _ = c.Do(t.Context(), c.B().Get().Key(k).Build()).ToString()
	}
	return all
}

// Forge sets keys to a value, whatever they are.
func (s *Server) Forge(t *testing.T, value string, keys ...string) {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, k := range keys {
		if err := c.Do(t.Context(), c.B().Set().Key(k).Value(value).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Server) dial() (valkey.Client, error) {
	opt, err := valkey.ParseURL(s.URL())
	if err != nil {
		return nil, err
	}
	opt.DisableCache = true
	return valkey.NewClient(opt)
}
