package gossip

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// stream is a connection that yields a sealed message of no more than maxStream bytes, and ends with its link.
type stream struct {
	net.Conn
	link    *link
	begun   bool   // the frame's head was read; memberlist reads from one goroutine
	head    []byte // of which this is still to be handed over
	left    int    // of what may be read
	once    sync.Once
	release func()
}

func (l *link) track(c net.Conn, release func()) *stream {
	s := &stream{Conn: c, link: l, left: maxStream, release: release}
	l.mu.Lock()
	closed := l.open == nil
	if !closed {
		l.open[s] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		_ = s.Close()
	}
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	if !s.begun {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	if len(s.head) > 0 {
		n := copy(b, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	if s.left <= 0 {
		s.link.wire.m.drop(dropTooLong)
		return 0, fmt.Errorf("stream from %s: more than %d bytes: %w", s.RemoteAddr(), maxStream, io.ErrUnexpectedEOF)
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	s.link.wire.m.received.Add(float64(n))
	return n, err
}

// begin reads the frame's head. memberlist sees nothing of a frame that is not sealed or holds nothing.
func (s *stream) begin() error {
	head := make([]byte, frameHead)
	n, err := io.ReadFull(s.Conn, head)
	s.left -= n
	s.link.wire.m.received.Add(float64(n))
	if err != nil {
		return err
	}
	if err := checkFrame(head); err != nil {
		s.link.wire.m.drop(dropMalformed)
		return fmt.Errorf("stream from %s: %w", s.RemoteAddr(), err)
	}
	s.begun, s.head = true, head
	return nil
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.link.wire.m.sent.Add(float64(n))
	return n, err
}

func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		s.link.mu.Lock()
		if s.link.open != nil {
			delete(s.link.open, s)
		}
		s.link.mu.Unlock()
		s.release()
	})
	return err
}
