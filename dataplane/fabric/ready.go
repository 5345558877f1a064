package fabric

import (
	"io"
	"os"
	"sync"
	"syscall"
)

// ReadPooled reads once into a buffer of the pool, behind its first skip bytes. It holds no buffer while a
// connection of the system has nothing to read: idle connections are many. The caller puts b back, unless
// it is nil; it may come with an error.
func ReadPooled(src io.Reader, pool *sync.Pool, skip int) (n int, b *[]byte, err error) {
	if c, ok := src.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			return readReady(raw, pool, skip)
		}
	}
	b = pool.Get().(*[]byte)
	n, err = src.Read((*b)[skip:])
	return n, b, err
}

func readReady(raw syscall.RawConn, pool *sync.Pool, skip int) (n int, b *[]byte, err error) {
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		b = pool.Get().(*[]byte)
		for {
			n, rerr = syscall.Read(int(fd), (*b)[skip:])
			if rerr != syscall.EINTR {
				break
			}
		}
		if rerr == syscall.EAGAIN {
			pool.Put(b)
			b = nil
			return false
		}
		return true
	})
	switch {
	case err != nil: // closed, or past the deadline
		return 0, b, err
	case rerr != nil:
		return 0, b, os.NewSyscallError("read", rerr)
	case n == 0:
		return 0, b, io.EOF
	}
	return n, b, nil
}
