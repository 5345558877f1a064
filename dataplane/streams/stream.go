package streams

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// stream is one use of a wire. It is a net.Conn that can close one half.
type stream struct {
	wire     *wire
	prepared bool // the connection stood idle before: nobody knows whether it still leads anywhere
	owner    owner
	heard    atomic.Bool // something came back
	forsaken fabric.Forsaken

	reading sync.Mutex
	ended   error // guarded by reading; how the other end has ended: io.EOF or errGone

	writing sync.Mutex
	said    bool // guarded by writing; we have ended

	closing sync.Mutex
	closed  atomic.Bool // written under closing
}

// owner gets a wire back.
type owner interface {
	// background runs f in a goroutine, unless the owner is ending.
	background(f func()) bool
	// release is called once: the wire can carry another stream, or it is closed.
	release(w *wire, again bool)
}

var _ net.Conn = (*stream)(nil)

// Prepared reports whether the connection was made ahead of need and nothing has come back over it yet.
func (s *stream) Prepared() bool { return s.prepared && !s.heard.Load() }

// Read reads what the other end has sent; io.EOF says that it is done.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.awaitLocked(); err != nil {
		return 0, err
	}
	return s.wire.read(p)
}

// Await waits until there is something to read, for those that want to hold no buffer meanwhile.
func (s *stream) Await() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.awaitLocked()
}

// awaitLocked waits until there is a byte to read.
func (s *stream) awaitLocked() error {
	switch {
	case s.closed.Load():
		return net.ErrClosed
	case s.ended != nil:
		return s.ended
	case s.wire.left > 0:
		return nil
	}
	err := s.wire.next()
	for err == errForsaken {
		s.forsaken.Note()
		err = s.wire.next()
	}
	if err == io.EOF || err == errGone {
		s.ended = err
	}
	if err == nil {
		s.heard.Store(true)
	}
	return err
}

// WriteTo copies what comes until its end. While nothing comes it holds no buffer.
func (s *stream) WriteTo(dst io.Writer) (total int64, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		if err := s.awaitLocked(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := s.moveLocked(dst)
		total += n
		if err != nil {
			return total, err
		}
	}
}

// moveLocked copies the rest of a frame.
func (s *stream) moveLocked(dst io.Writer) (total int64, err error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for s.wire.left > 0 {
		n, err := s.wire.read(*b)
		if err != nil {
			return total, err
		}
		m, err := dst.Write((*b)[:n])
		total += int64(m)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Write sends.
func (s *stream) Write(p []byte) (total int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for len(p) > 0 {
		n := copy((*b)[frameHeader:], p)
		if err := s.sendLocked(*b, n); err != nil {
			return total, err
		}
		total, p = total+n, p[n:]
	}
	return total, nil
}

// sendLocked sends n bytes that stand in b behind the place of a frame's header.
func (s *stream) sendLocked(b []byte, n int) error {
	if s.said || s.closed.Load() {
		return net.ErrClosed
	}
	putFrame(b, frameData, n)
	_, err := s.wire.tls.Write(b[:frameHeader+n])
	return err
}

// ReadFrom sends what src gives until its end. While a TCP connection has nothing to give it holds no
// buffer.
func (s *stream) ReadFrom(src io.Reader) (total int64, err error) {
	ready := fabric.NewReadyReader(src, &buffers, frameHeader)
	for {
		n, b, rerr := ready.Read()
		if n > 0 {
			s.writing.Lock()
			err = s.sendLocked(*b, n)
			s.writing.Unlock()
		}
		if b != nil {
			buffers.Put(b)
		}
		if err != nil {
			return total, err
		}
		total += int64(n)
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}

// CloseWrite says that nothing more comes from us.
func (s *stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.said || s.closed.Load() {
		return net.ErrClosed
	}
	s.said = true
	return s.wire.say(frameEnd)
}

// Close ends the stream. The connection goes on if both ends soon have said their last word; a write
// that is in progress can't be interrupted without breaking TLS, so that closes it.
func (s *stream) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	switch {
	case !s.lastWord():
	case s.readable():
		s.giveBack(true)
		return nil
	case s.owner.background(s.linger):
		return nil
	}
	s.giveBack(false)
	return nil
}

// lastWord says that we have ended, if that was not said. It does not block for long.
func (s *stream) lastWord() bool {
	if !s.writing.TryLock() {
		return false
	}
	defer s.writing.Unlock()
	if s.said {
		return true
	}
	s.said = true
	word := byte(frameGone)
	if s.reading.TryLock() {
		if s.ended == io.EOF { // they are done, so that is an ordinary end
			word = frameEnd
		}
		s.reading.Unlock()
	}
	return s.wire.tls.SetWriteDeadline(time.Now().Add(lastWordTime)) == nil && s.wire.say(word) == nil
}

// readable reports whether the other end has ended and nobody reads.
func (s *stream) readable() bool {
	if !s.reading.TryLock() {
		return false
	}
	defer s.reading.Unlock()
	return s.ended != nil
}

// linger waits for the other end's last word.
func (s *stream) linger() {
	late := time.AfterFunc(lastWordTime, s.wire.abort)
	defer late.Stop()
	_ = s.wire.tls.SetReadDeadline(time.Unix(1, 0)) // whoever reads has to let go
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.ended == nil {
		_ = s.wire.tls.SetReadDeadline(time.Time{})
		if !s.wire.drain() {
			s.giveBack(false)
			return
		}
	}
	s.giveBack(late.Stop())
}

func (s *stream) giveBack(again bool) {
	if again {
		again = s.wire.tls.SetDeadline(time.Time{}) == nil
	}
	if !again {
		s.wire.abort()
	}
	s.owner.release(s.wire, again)
}

func (s *stream) LocalAddr() net.Addr                { return s.wire.tls.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr               { return s.wire.tls.RemoteAddr() }
func (s *stream) SetDeadline(t time.Time) error      { return s.limit(s.wire.tls.SetDeadline, t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.limit(s.wire.tls.SetReadDeadline, t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.limit(s.wire.tls.SetWriteDeadline, t) }

// limit sets a deadline, unless the stream is over: it would be the next one's.
func (s *stream) limit(set func(time.Time) error, t time.Time) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	return set(t)
}
