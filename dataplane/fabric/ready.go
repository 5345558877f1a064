package fabric

import (
	"io"
	"os"
	"sync"
	"syscall"
)

// A ReadyReader reads a connection again and again into buffers of a pool. It holds none while there is nothing to
// read: idle connections are many. It allocates nothing per read.
type ReadyReader struct {
	src  io.Reader
	pool *sync.Pool // of *[]byte
	skip int

	raw   syscall.RawConn       // nil: src is no connection of the system
	ready func(fd uintptr) bool // the method, once
	n     int                   // of one read, as the two below
	buf   *[]byte
	err   error
}

// NewReadyReader makes a reader of src that leaves the first skip bytes of each buffer free.
func NewReadyReader(src io.Reader, pool *sync.Pool, skip int) *ReadyReader {
	r := &ReadyReader{src: src, pool: pool, skip: skip}
	if c, ok := src.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			r.raw, r.ready = raw, r.try
		}
	}
	return r
}

// Read reads once. The caller puts b back, unless it is nil; it may come with an error.
func (r *ReadyReader) Read() (n int, b *[]byte, err error) {
	if r.raw != nil {
		return r.system()
	}
	if c, ok := r.src.(interface{ Await() error }); ok {
		if err := c.Await(); err != nil {
			return 0, nil, err
		}
	}
	b = r.pool.Get().(*[]byte)
	n, err = r.src.Read((*b)[r.skip:])
	return n, b, err
}

// system reads when the system says that there is something.
func (r *ReadyReader) system() (n int, b *[]byte, err error) {
	r.n, r.buf, r.err = 0, nil, nil
	err = r.raw.Read(r.ready)
	n, b = r.n, r.buf
	r.buf = nil
	switch {
	case err != nil: // closed, or past the deadline
		return 0, b, err
	case r.err != nil:
		return 0, b, os.NewSyscallError("read", r.err)
	case n == 0:
		return 0, b, io.EOF
	}
	return n, b, nil
}

// try reads; false: there is nothing yet.
func (r *ReadyReader) try(fd uintptr) bool {
	r.buf = r.pool.Get().(*[]byte)
	for {
		r.n, r.err = syscall.Read(int(fd), (*r.buf)[r.skip:])
		if r.err != syscall.EINTR {
			break
		}
	}
	if r.err == syscall.EAGAIN {
		r.pool.Put(r.buf)
		r.buf = nil
		return false
	}
	return true
}
