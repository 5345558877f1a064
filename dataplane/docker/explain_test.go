package docker

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhyASocketCantBeUsed(t *testing.T) {
	dir := t.TempDir()
	dial := func(path string) error {
		_, err := dialUnix(t.Context(), path)
		return err
	}
	old := filepath.Join(dir, "old.sock")
	l, err := net.Listen("unix", old)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.sock"): "no such file or directory: there is no such socket: the engine does not run, or has it elsewhere",
		old:                             "connection refused: nobody listens there: the engine does not run",
	} {
		if err := explain(dial(path), path); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	refused := &net.OpError{Op: "dial", Err: &os.SyscallError{Syscall: "connect", Err: syscall.EACCES}}
	if err := explain(refused, filepath.Join(dir, "none", "x.sock")); !strings.Contains(err.Error(), "permission denied: this process may not enter the socket's folder") {
		t.Errorf("%v", err)
	}
	other := errors.New("other")
	if err := explain(other, old); !errors.Is(err, other) {
		t.Errorf("%v", err)
	}
}

func TestForWhomASocketIs(t *testing.T) {
	for _, tt := range []struct {
		mode os.FileMode
		in   []int
		want string
	}{
		{0o660, []int{1, 2}, "permission denied: only its owner and the group 64999 may use the socket, and this process is not in it"},
		{0o600, []int{64999}, "permission denied: only its owner may use the socket"},
		{0o660, []int{64999}, "permission denied"}, // something else is in the way
	} {
		if err := denied(syscall.EACCES, tt.mode, 64999, tt.in); err.Error() != tt.want || !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v %v: %v, want %s", tt.mode, tt.in, err, tt.want)
		}
	}
}
