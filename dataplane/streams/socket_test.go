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

// What is sent is acknowledged although nobody reads it; where it does not arrive, nothing is, whatever the peer sends.
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
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	send := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var a acks
	if _, ok := a.look(conn); ok {
		t.Error("the first look tells of an acknowledgement since the one before")
	}
	send(conn)
	eventually(t, "the other kernel acknowledges", func() bool {
		ago, ok := a.look(conn)
		return ok && ago < time.Minute
	})
	if _, ok := a.look(conn); ok {
		t.Error("an acknowledgement is told of twice")
	}
	if err := withSocket(t, peer, dropAll); err != nil {
		t.Fatal(err)
	}
	send(conn)
	for range 3 {
		send(peer)
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if ago, ok := a.look(conn); ok {
			t.Errorf("acknowledged %v ago, though nothing arrives", ago)
		}
	}
	if _, ok := a.look(&net.UnixConn{}); ok {
		t.Error("what is no TCP is told of")
	}
}

// dropAll has a socket drop all that comes to it, as a path does that works in one direction.
func dropAll(fd int) error {
	none := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none})
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
