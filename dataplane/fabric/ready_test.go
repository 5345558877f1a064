package fabric

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a pool that knows how many of its buffers are out.
type counted struct {
	sync.Pool
	made atomic.Int32
}

func newCounted() *counted {
	c := &counted{}
	c.New = func() any { c.made.Add(1); b := make([]byte, 64); return &b }
	return c
}

// waiter is a connection that says when there is something to read.
type waiter struct {
	net.Conn
	ready chan error
}

func (w waiter) Await() error { return <-w.ready }

func TestReadyReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	pool := newCounted()
	r := NewReadyReader(far, &pool.Pool, 3)
	for _, msg := range []string{"a", "bc", "def"} {
		_, _ = near.Write([]byte(msg))
		n, b, err := r.Read()
		if err != nil || !bytes.Equal((*b)[3:3+n], []byte(msg)) {
			t.Fatalf("%d bytes, %v, want %q", n, err, msg)
		}
		pool.Put(b)
	}
	msg := []byte("again")
	if got := testing.AllocsPerRun(200, func() {
		_, _ = near.Write(msg)
		_, b, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		pool.Put(b)
	}); got >= 1 { // the pool may lose a buffer to a collection
		t.Errorf("%v allocations a read", got)
	}
	_ = far.SetReadDeadline(time.Now())
	if _, b, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) || b != nil {
		t.Errorf("past the deadline: %v, buffer %v", err, b != nil)
	}
	_ = far.SetReadDeadline(time.Time{})
	_ = near.Close()
	if _, b, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v, buffer %v", err, b != nil)
	}
}

// What can wait by itself is given a buffer when it has something.
func TestReadyReaderAwaits(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	pool := newCounted()
	w := waiter{far, make(chan error)}
	r := NewReadyReader(w, &pool.Pool, 0)
	got := make(chan error)
	read := func() {
		n, b, err := r.Read()
		if err == nil && string((*b)[:n]) != "x" {
			err = errors.New("something else")
		}
		got <- err
	}
	go read()
	go func() { _, _ = near.Write([]byte("x")) }()
	if n := pool.made.Load(); n != 0 {
		t.Errorf("%d buffers while there is nothing to read", n)
	}
	w.ready <- nil
	if err := <-got; err != nil || pool.made.Load() != 1 {
		t.Errorf("%v, %d buffers", err, pool.made.Load())
	}
	go read()
	w.ready <- io.EOF
	if err := <-got; err != io.EOF || pool.made.Load() != 1 {
		t.Errorf("%v, %d buffers", err, pool.made.Load())
	}
}
