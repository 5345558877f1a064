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

// congestion finds the rate of a path instead of taking each loss for congestion: at 40 ms and 0.1 % loss it
// sends 900 Mbit/s where Reno sends 15. A kernel that has no such module, or does not let this process
// use it, goes on with its own.
const congestion = "bbr"

// tune makes death be noticed, and loss be got over. What fails here only makes either take longer.
func tune(conn net.Conn) {
	t := tcp(conn)
	if t == nil {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepalive, Interval: keepalive / 3, Count: 3})
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTime/time.Millisecond))
			_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
		})
	}
}

// How kernels watch an idle control connection: below the patience of who waits for a site, and for a fraction of what
// a heartbeat costs.
const (
	watchIdle     = 4 * time.Second
	watchInterval = time.Second
	watchPatience = 6 * time.Second // of who dials; a node has that of forgetAfter
)

// watch has the kernel ask the other one while a control connection is idle, and end it when nothing is acknowledged
// for so long. What fails here leaves it to heartbeats.
func watch(conn net.Conn, patience time.Duration) {
	t := tcp(conn)
	if t == nil {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: watchIdle, Interval: watchInterval, Count: int((patience - watchIdle) / watchInterval)})
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience/time.Millisecond))
		})
	}
}

// acks follows what the other kernel acknowledges of a connection. The zero value is ready.
type acks struct {
	bytes uint64 // acknowledged at the last look
	known bool
}

// look is how long ago the other kernel last acknowledged something; false: nothing since the last look, or that can't be
// told. An acknowledgement of nothing new does not count: one comes with all that the peer sends, also where nothing
// reaches it.
func (a *acks) look(conn net.Conn) (ago time.Duration, ok bool) {
	t := tcp(conn)
	if t == nil {
		return 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info *unix.TCPInfo
	controlled := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if controlled != nil || err != nil {
		return 0, false
	}
	more := a.known && info.Bytes_acked != a.bytes
	a.bytes, a.known = info.Bytes_acked, true
	return time.Duration(info.Last_ack_recv) * time.Millisecond, more
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
