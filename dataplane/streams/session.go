package streams

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// Bounds of a control connection.
const (
	sendTime    = 5 * time.Second
	leaveWord   = time.Second // for the word that ends it to be heard
	floodTime   = time.Second
	floodMost   = 500              // messages within floodTime: many times what the other end has to say
	retryAfter  = 2 * time.Second  // a connector makes a connection that is down for so long anew
	forgetAfter = 10 * time.Second // a node waits longer: the connector knows first

	// A path that is well and not used is asked so seldom, and after a minute of that even less: thousands of sites may
	// be idle on one node, and their kernels ask each other meanwhile (watch). The first use ends it.
	idleEvery = 10 * time.Second
	restEvery = time.Minute
)

// hasteMost is how soon at least the judge of a path in use asks again, also one that follows.
const hasteMost = 2 * liveness.EveryInUse

// Kinds of failure.
var (
	errSilent = errors.New("no answer to heartbeats")
	errFlood  = errors.New("too many messages")

	errReplaced = errors.New("another connection has taken its place")
)

// session is one control connection, seen from either end. One goroutine does everything: a read that
// takes until the next heartbeat is due serves as timer, and SetReadDeadline wakes it.
type session struct {
	conn    *tls.Conn
	patient time.Duration // how long the path may be down before the session ends
	flags   func() byte   // of our asks
	heard   func(message) // what is no heartbeat, and the flags of asks; called by run
	replied func(uint32)  // to an ask of ours and all before it; called by run
	changed func()        // usable is another; called by run

	usable atomic.Bool
	woken  atomic.Bool
	want   atomic.Int32 // of a node: to be told; 0: nothing
	used   atomic.Bool  // since the last look
	doubts atomic.Bool  // somebody has reason to doubt the path: ask at once
	other  atomic.Bool  // of a node: another session has taken this one's place
	rests  atomic.Bool  // heartbeats are seldom

	mu    sync.Mutex
	judge liveness.Judge // guarded by mu
	open  int            // guarded by mu; questions without an answer

	// Of run.
	seq       uint32
	told      uint32 // of a node: the ask that says that the other end does not answer in its tunnel; 0: none
	in        []byte
	fresh     time.Duration // a round trip not yet told
	downSince time.Time     // zero: it is not down
	acks      acks
	counted   int // messages since countFrom
	countFrom time.Time
}

func newSession(conn *tls.Conn, follows bool, patient time.Duration) *session {
	s := &session{
		conn: conn, patient: patient, in: make([]byte, 0, 2*messageMost),
		flags: func() byte { return 0 }, heard: func(message) {}, replied: func(uint32) {}, changed: func() {},
	}
	s.judge.Follows, s.judge.Idle, s.judge.Rest = follows, idleEvery, restEvery
	return s
}

// run exchanges heartbeats until ctx ends or the connection does. It closes the connection. usable is then what it
// was.
func (s *session) run(ctx context.Context) error {
	defer s.conn.NetConn().Close()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.NetConn().Close() })
	defer stop()
	for {
		err := s.step(time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// replace ends a session that another one has taken the place of. Who is there, if anybody is, is told.
func (s *session) replace() {
	s.other.Store(true)
	s.wake()
}

// leave tells the other end, and waits a moment until it has gone: what it sends meanwhile would undo the telling.
func (s *session) leave() error {
	if err := s.write(message{kind: kindReplaced}.append(nil)); err != nil {
		return err
	}
	_ = s.conn.SetDeadline(time.Now().Add(leaveWord))
	_ = s.conn.CloseWrite()
	_, _ = io.Copy(io.Discard, s.conn)
	return errReplaced
}

// step sends what is due, then reads until more is.
func (s *session) step(now time.Time) error {
	if s.other.Load() {
		return s.leave()
	}
	if err := s.send(now); err != nil {
		return err
	}
	if err := s.judgeState(now); err != nil {
		return err
	}
	if err := s.conn.SetReadDeadline(s.next(now)); err != nil {
		return err
	}
	if s.woken.Swap(false) || s.used.Load() || s.other.Load() { // after the deadline is set: a later wake undoes it
		return nil
	}
	n, err := s.conn.Read(s.in[len(s.in):cap(s.in)])
	s.in = s.in[:len(s.in)+n]
	if n > 0 {
		if err := s.take(time.Now()); err != nil {
			return err
		}
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// next says when to ask again.
func (s *session) next(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.judge.Next(now)
	s.rests.Store(s.judge.State(now) == liveness.Up && s.open == 0 && next.Sub(now) > hasteMost && !s.used.Load())
	return next
}

// wake makes run look again.
func (s *session) wake() {
	s.woken.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

// use tells that the path is used.
func (s *session) use() {
	s.used.Store(true)
	if s.rests.Swap(false) {
		s.wake()
	}
}

// doubt has the other end asked at once, whatever the judge thinks.
func (s *session) doubt() {
	s.doubts.Store(true)
	s.wake()
}

// tell has a number of stream connections told. Only the newest is.
func (s *session) tell(want int) {
	s.want.Store(int32(want))
	s.wake()
}

// send sends a number to be told and a question that is due, in one write.
func (s *session) send(now time.Time) error {
	var out []byte
	if want := s.want.Swap(0); want != 0 {
		out = message{kind: kindWant, want: int(want)}.append(out)
	}
	s.mu.Lock()
	if s.used.Swap(false) {
		s.judge.Use(now)
	}
	if s.doubts.Swap(false) || !s.judge.Next(now).After(now) {
		s.seq++
		s.judge.Sent(uint64(s.seq), now)
		s.open++
		out = message{kind: kindAsk, seq: s.seq, rtt: s.fresh, flags: s.flags()}.append(out)
		s.fresh = 0
	}
	s.mu.Unlock()
	return s.write(out)
}

func (s *session) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// judgeState draws the conclusions of the judge's opinion.
func (s *session) judgeState(now time.Time) error {
	s.mu.Lock()
	state := s.judge.State(now)
	if state == liveness.Suspect {
		if ago, ok := s.acks.look(s.conn); ok {
			s.judge.Acknowledged(ago, now)
		}
	}
	s.mu.Unlock()
	if s.usable.Swap(state.Usable()) != state.Usable() {
		s.changed()
	}
	switch {
	case state != liveness.Down:
		s.downSince = time.Time{}
	case s.downSince.IsZero():
		s.downSince = now
	case now.Sub(s.downSince) >= s.patient:
		return errSilent
	}
	return nil
}

// take takes the messages that have come.
func (s *session) take(now time.Time) error {
	if now.Sub(s.countFrom) > floodTime {
		s.countFrom, s.counted = now, 0
	}
	var out []byte
	rest := s.in
	for {
		m, n, err := parseMessage(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
		if s.counted++; s.counted > floodMost {
			return errFlood
		}
		switch m.kind {
		case kindAsk:
			if m.rtt > 0 {
				s.mu.Lock()
				s.judge.Proved(m.rtt, now)
				s.mu.Unlock()
			}
			out = message{kind: kindAnswer, seq: m.seq}.append(out)
			s.heard(m)
		case kindAnswer:
			s.answered(m.seq, now)
			s.replied(m.seq)
		default:
			s.heard(m)
		}
	}
	s.in = append(s.in[:0], rest...)
	return s.write(out)
}

func (s *session) answered(seq uint32, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judge.Received(uint64(seq), now) {
		s.open = 0 // TCP keeps order: all before it were answered
		s.fresh = max(s.judge.Quality().RTT, time.Microsecond)
	}
}

// quality gives what was measured.
func (s *session) quality() liveness.Quality {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.judge.Quality()
}

// handshake ends or begins TLS on conn within its time.
func handshake(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	return conn.HandshakeContext(ctx) // closes the connection when ctx ends
}
