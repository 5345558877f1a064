package streams

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tcp finds the TCP connection below others; nil if there is none.
func tcp(conn net.Conn) *net.TCPConn {
	for {
		if t, ok := conn.(*net.TCPConn); ok {
			return t
		}
		below, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = below.NetConn()
	}
}

// tune makes death be noticed. What fails here only makes it be noticed later.
func tune(conn net.Conn) {
	t := tcp(conn)
	if t == nil {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepalive, Interval: keepalive / 3, Count: 3})
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTime/time.Millisecond))
		})
	}
}

// silent reports whether a connection that should have nothing to say has said nothing: no end, no error,
// no byte. It costs one system call and reads nothing.
func silent(conn net.Conn) bool {
	t := tcp(conn)
	if t == nil {
		return true
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN || err == unix.EINTR
	})
	return err == nil && quiet
}
