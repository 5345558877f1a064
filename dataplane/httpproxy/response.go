package httpproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A request body on HTTP/1 may take bodyGrace, and a second more for every bodyRate bytes.
const (
	bodyGrace = 10 * time.Second
	bodyRate  = 1 << 10
)

// response notes what is sent.
type response struct {
	http.ResponseWriter
	watch    *watchdog
	upgrades *upgrades
	session  *session
	code     atomic.Int64 // 0 until the final header
	sent     atomic.Int64
}

// Unwrap lets http.ResponseController flush.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.code.CompareAndSwap(0, int64(status))
		w.watch.begun()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.code.CompareAndSwap(0, http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	w.watch.touch()
	return n, err
}

// Hijack takes the connection over for an upgrade: from here on neither gate nor watchdog look at it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.watch.stop()
	if w.session.gate != nil {
		w.session.gate.opaque.Store(true)
	}
	w.code.CompareAndSwap(0, http.StatusSwitchingProtocols)
	u := &upgraded{Conn: c, sent: &w.sent}
	if !w.upgrades.add(u) {
		_ = c.Close()
		return nil, nil, net.ErrClosed
	}
	return u, rw, u.touch()
}

func (w *response) status() int { return int(w.code.Load()) }

// upgraded is a connection that is no longer HTTP, until it is idle for too long.
type upgraded struct {
	net.Conn
	sent    *atomic.Int64
	touched atomic.Int64 // Unix seconds
	leave   func()
}

// touch moves the deadline of the one pending read, at most once a second.
func (u *upgraded) touch() error {
	now := time.Now()
	if last := u.touched.Load(); last == now.Unix() || !u.touched.CompareAndSwap(last, now.Unix()) {
		return nil
	}
	return u.SetReadDeadline(now.Add(idleTime))
}

func (u *upgraded) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if n > 0 {
		_ = u.touch() // a connection without deadlines is closed, and the next read says so
	}
	return n, err
}

func (u *upgraded) Write(p []byte) (int, error) {
	n, err := u.Conn.Write(p)
	u.sent.Add(int64(n))
	if n > 0 {
		_ = u.touch()
	}
	return n, err
}

func (u *upgraded) Close() error {
	u.leave()
	return u.Conn.Close()
}

// upgrades are the open upgraded connections of one Serve.
type upgrades struct {
	mu    sync.Mutex
	open  map[*upgraded]struct{} // guarded by mu
	ended bool                   // guarded by mu; no more
	gauge interface{ Set(float64) }
}

func (u *upgrades) draining() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

func (u *upgrades) add(c *upgraded) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return false
	}
	u.open[c] = struct{}{}
	u.gauge.Set(float64(len(u.open)))
	c.leave = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.open, c)
		u.gauge.Set(float64(len(u.open)))
	}
	return true
}

// closeAll ends them all, and refuses new ones.
func (u *upgrades) closeAll() {
	u.mu.Lock()
	u.ended = true
	var all []*upgraded
	for c := range u.open {
		all = append(all, c)
	}
	u.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// watchdog ends an exchange on which nothing moves.
type watchdog struct {
	idle  time.Duration
	timer *time.Timer

	mu      sync.Mutex
	rc      *http.ResponseController // guarded by mu; nil once the exchange is over
	started bool                     // guarded by mu; the final header is written
}

func newWatchdog(idle time.Duration, rc *http.ResponseController, cancel func()) *watchdog {
	w := &watchdog{idle: idle, rc: rc}
	w.mu.Lock() // the function waits until timer is set
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(idle, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.rc == nil {
			return
		}
		cancel()
		if w.started { // a write that the client does not take sees no context
			past := time.Unix(1, 0)
			_ = w.rc.SetReadDeadline(past)
			_ = w.rc.SetWriteDeadline(past)
		}
	})
	return w
}

func (w *watchdog) touch() { w.timer.Reset(w.idle) }

func (w *watchdog) begun() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = true
}

// stop ends the watch; from its return on the connection is left alone.
func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rc = nil
	w.timer.Stop()
}

// requestBody counts and, on HTTP/1, wants a least rate of the client. Only the time spent waiting
// for the client counts: a target may take its time.
type requestBody struct {
	io.ReadCloser
	rc     *http.ResponseController
	watch  *watchdog
	limit  bool
	waited time.Duration
	ended  bool // a Read has returned io.EOF
	n      atomic.Int64
	slow   atomic.Bool // the client took too long
}

func (b *requestBody) Read(p []byte) (int, error) {
	// The transport asks once more after the end. By then the target may have answered, and net/http's server
	// closes the body when it writes the head of an answer: its error would break off the answer.
	if b.ended {
		return 0, io.EOF
	}
	start := time.Now()
	if b.limit {
		allowed := bodyGrace + time.Duration(b.n.Load())*time.Second/bodyRate - b.waited
		if err := b.rc.SetReadDeadline(start.Add(allowed)); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if n > 0 {
		b.watch.touch()
	}
	b.ended = errors.Is(err, io.EOF)
	if b.limit {
		b.waited += time.Since(start)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			b.slow.Store(true)
			return n, errSlowBody
		case err != nil:
			_ = b.rc.SetReadDeadline(time.Time{}) // a closed connection has said so already
		}
	}
	return n, err
}
