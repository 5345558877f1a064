package streams

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"time"
)

// Bounds of waiting for the other end's last word when a stream is closed: enough for what was in flight,
// less than a new connection is worth.
const (
	lastWordTime = time.Second
	lastWordMost = 256 << 10 // bytes
)

var buffers = sync.Pool{New: func() any { b := make([]byte, frameHeader+frameMost); return &b }}

// errGone is what a reader gets when the other end has given the stream up.
var errGone = errors.New("stream closed by the other end")

// errForsaken is no end: there is nobody behind the other end at the moment.
var errForsaken = errors.New("whom the stream leads through is silent")

// wire is one stream connection. It carries one stream at a time, and only that reads and writes.
type wire struct {
	tls *tls.Conn

	head     [frameHeader]byte
	headSize int // bytes of head that are there
	left     int // bytes of the frame that are still to come
}

// next reads a frame header. It returns nil when bytes of the stream follow, io.EOF or errGone when the
// stream has ended this way. After an error of time, and after errForsaken, it may be called again.
func (w *wire) next() error {
	for w.headSize < frameHeader {
		n, err := w.tls.Read(w.head[w.headSize:])
		w.headSize += n
		if err != nil && w.headSize < frameHeader {
			return cut(err)
		}
	}
	kind, size, err := parseFrame(w.head)
	if err != nil {
		return err
	}
	w.headSize = 0
	switch kind {
	case frameEnd:
		return io.EOF
	case frameGone:
		return errGone
	case frameForsaken:
		return errForsaken
	}
	w.left = size
	return nil
}

// read reads bytes of the frame in progress.
func (w *wire) read(p []byte) (int, error) {
	n, err := w.tls.Read(p[:min(len(p), w.left)])
	w.left -= n
	if n > 0 {
		return n, nil // an error comes again
	}
	return 0, cut(err)
}

// say sends a frame without content.
func (w *wire) say(kind byte) error {
	var b [frameHeader]byte
	putFrame(b[:], kind, 0)
	_, err := w.tls.Write(b[:])
	return err
}

// drain reads until the stream in progress has ended this way. It reports whether that came to pass.
func (w *wire) drain() bool {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for total := 0; total < lastWordMost; {
		for w.left > 0 {
			n, err := w.read(*b)
			if err != nil {
				return false
			}
			total += n
		}
		if err := w.next(); err != nil && err != errForsaken {
			return err == io.EOF || err == errGone
		}
	}
	return false
}

// abort closes the connection without a word.
func (w *wire) abort() { _ = w.tls.NetConn().Close() }

// cut makes the end of a connection an error: the end of a stream is said in a frame.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
