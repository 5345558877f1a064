package streams

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A connection gets BBR wherever the kernel lets this process use it, and goes on as it was elsewhere.
func TestTuneChoosesCongestionControl(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const before = "reno" // every kernel has it, for everybody
	may := withSocket(t, conn, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	})
	if err := withSocket(t, conn, func(fd int) error { return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, before) }); err != nil {
		t.Fatal(err)
	}
	tune(conn)
	want := congestion
	if may != nil {
		if !errors.Is(may, unix.ENOENT) && !errors.Is(may, unix.EPERM) {
			t.Fatal(may)
		}
		want = before
	}
	var got string
	if err := withSocket(t, conn, func(fd int) (err error) {
		got, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		return err
	}); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// What is sent is acknowledged although nobody reads it.
func TestAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	time.Sleep(100 * time.Millisecond)
	before, ok := acknowledged(conn)
	if !ok || before < 50*time.Millisecond {
		t.Fatalf("%v, %v", before, ok)
	}
	eventually(t, "the other kernel acknowledges", func() bool {
		_, err := conn.Write([]byte("x"))
		now, ok := acknowledged(conn)
		return err == nil && ok && now < before
	})
	if _, ok := acknowledged(&net.UnixConn{}); ok {
		t.Error("what is no TCP is told of")
	}
}

func withSocket(t *testing.T, conn net.Conn, f func(fd int) error) error {
	t.Helper()
	raw, err := tcp(conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return failed
}
