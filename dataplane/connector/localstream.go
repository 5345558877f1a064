package connector

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// localStream is the node's end of a stream to a local site. Header and status go through memory; after them a TCP
// stream is the connection to the target itself, so that it takes one file, as any other does, and nobody copies. A
// stream of datagrams stays in memory.
type localStream struct {
	net.Conn // in memory, to the site's end

	done     chan struct{} // closed by Close
	answered atomic.Bool   // the status was read
	target   atomic.Pointer[net.TCPConn]
	in, back atomic.Int64 // bytes to the target, and from it

	mu          sync.Mutex
	read, write time.Time // guarded by mu; deadlines, as last set
	closed      bool      // guarded by mu
}

// siteEnd is the other one.
type siteEnd struct {
	net.Conn
	near *localStream
}

func newLocalStream() (*localStream, siteEnd) {
	a, b := net.Pipe()
	near := &localStream{Conn: a, done: make(chan struct{})}
	return near, siteEnd{b, near}
}

// hand gives the node the connection to the target, before the node is told that there is one. What it returns waits
// until the stream is over.
func (s siteEnd) hand(ctx context.Context, target *net.TCPConn) splicer {
	n := s.near
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = target.SetReadDeadline(n.read)
	_ = target.SetWriteDeadline(n.write)
	n.target.Store(target)
	return func(_, _ net.Conn) (int64, int64) {
		select {
		case <-n.done:
		case <-ctx.Done():
		}
		return n.in.Load(), n.back.Load()
	}
}

// direct is the connection to the target, once the node knows of it; nil before, and of datagrams.
func (s *localStream) direct() *net.TCPConn {
	if !s.answered.Load() {
		return nil
	}
	return s.target.Load()
}

func (s *localStream) Read(b []byte) (int, error) {
	if t := s.direct(); t != nil {
		n, err := t.Read(b)
		s.back.Add(int64(n))
		return n, err
	}
	if s.answered.Load() || len(b) == 0 {
		return s.Conn.Read(b)
	}
	n, err := s.Conn.Read(b[:1])
	if n > 0 {
		s.answered.Store(true)
	}
	return n, err
}

func (s *localStream) Write(b []byte) (int, error) {
	t := s.direct()
	if t == nil {
		return s.Conn.Write(b)
	}
	n, err := t.Write(b)
	s.in.Add(int64(n))
	return n, err
}

// ReadFrom and WriteTo let the kernel move the bytes where it can.

// ReadFrom implements io.ReaderFrom.
func (s *localStream) ReadFrom(r io.Reader) (int64, error) {
	t := s.direct()
	if t == nil {
		return io.Copy(struct{ io.Writer }{s.Conn}, r)
	}
	n, err := t.ReadFrom(r)
	s.in.Add(n)
	return n, err
}

// WriteTo implements io.WriterTo.
func (s *localStream) WriteTo(w io.Writer) (int64, error) {
	t := s.direct()
	if t == nil {
		return io.Copy(w, struct{ io.Reader }{s})
	}
	n, err := t.WriteTo(w)
	s.back.Add(n)
	return n, err
}

// CloseWrite ends the direction to the target.
func (s *localStream) CloseWrite() error {
	if t := s.direct(); t != nil {
		return t.CloseWrite()
	}
	return s.Close() // datagrams have no half-close
}

func (s *localStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	close(s.done)
	err := s.Conn.Close()
	if t := s.target.Load(); t != nil {
		err = errors.Join(err, t.Close())
	}
	return err
}

func (s *localStream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *localStream) SetReadDeadline(t time.Time) error {
	return s.deadline(t, &s.read, net.Conn.SetReadDeadline)
}

func (s *localStream) SetWriteDeadline(t time.Time) error {
	return s.deadline(t, &s.write, net.Conn.SetWriteDeadline)
}

func (s *localStream) deadline(t time.Time, keep *time.Time, set func(net.Conn, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*keep = t
	if target := s.target.Load(); target != nil {
		if s.answered.Load() {
			return set(target, t)
		}
		_ = set(target, t)
	}
	return set(s.Conn, t)
}
