// Package splice carries bytes between two connections for as long as one of them has something to say.
package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
)

const (
	// IdleTime is how long connections of clients may stand without anything moving either way.
	IdleTime = 300 * time.Second

	idleGrace = time.Second
	// spliceAfter is how much of one direction goes through a buffer before the kernel is asked to
	// splice: a pipe pair for every idle connection runs a node out of files.
	spliceAfter = 256 << 10
	bufferSize  = 32 << 10
	spliceChunk = 4 << 20
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// Both carries bytes both ways until both ends have said that they are done, one of them fails, or nothing
// moves for idle. The end of one direction is passed on (CloseWrite) while the other goes on. First goes to
// the target before what the client says. Moved is told what moves, of each direction in order. Both
// returns when both directions have ended; it closes neither end. Between two TCP connections of the system
// the bytes don't leave the kernel.
func Both(client, target net.Conn, first []byte, idle time.Duration, moved func(up bool, n int64)) {
	p := &pump{idle: idle, start: time.Now()}
	stop := sync.OnceFunc(func() { // a failed direction ends the other one too
		past := time.Unix(1, 0)
		_ = client.SetDeadline(past)
		_ = target.SetDeadline(past)
	})
	way := func(up bool, dst, src net.Conn, first []byte) {
		err := p.copy(dst, src, first, func(n int64) { moved(up, n) })
		if err == nil {
			err = fabric.CloseWrite(dst)
		}
		if err != nil {
			p.failed.Store(true)
			stop()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { way(true, target, client, first) })
	way(false, client, target, nil)
	wg.Wait()
}

// pump is what the two directions of a connection share.
type pump struct {
	idle   time.Duration
	start  time.Time
	last   atomic.Int64 // when something last moved, since start
	failed atomic.Bool  // one direction has
}

// copy moves first and then all of src into dst. It returns nil at the end of src.
func (p *pump) copy(dst, src net.Conn, first []byte, moved func(int64)) error {
	if len(first) > 0 {
		n, err := dst.Write(first)
		moved(int64(n))
		if err != nil {
			return err
		}
	}
	_, dstTCP := dst.(*net.TCPConn)
	_, srcTCP := src.(*net.TCPConn)
	wait, ready := p.idle, fabric.NewReadyReader(src, &buffers, 0)
	var set time.Time // when the deadline was, to that of a connection that is not idle
	for total := int64(0); ; {
		if now := time.Now(); wait != p.idle || now.Sub(set) >= idleGrace {
			if err := src.SetReadDeadline(now.Add(wait)); err != nil {
				return err
			}
			set = now.Add(wait - p.idle)
		}
		if p.failed.Load() { // after the deadline, so that it can't undo the one of stop
			return os.ErrDeadlineExceeded
		}
		var n int64
		var err error
		if total < spliceAfter || !dstTCP || !srcTCP {
			n, err = once(dst, ready)
		} else {
			// net.TCPConn splices a LimitedReader of another TCPConn.
			if n, err = io.Copy(dst, &io.LimitedReader{R: src, N: spliceChunk}); err == nil && n < spliceChunk {
				err = io.EOF
			}
		}
		wait = p.idle
		total += n
		if n > 0 {
			p.last.Store(int64(time.Since(p.start)))
			moved(n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || p.failed.Load():
			return err
		case n == 0:
			if wait = p.left(); wait <= 0 {
				return err
			}
		}
	}
}

// once moves what one read gives. The buffer is taken only when there is something to read.
func once(dst net.Conn, src *fabric.ReadyReader) (int64, error) {
	n, b, err := src.Read()
	if b == nil {
		return 0, err
	}
	defer buffers.Put(b)
	if n > 0 {
		w, werr := dst.Write((*b)[:n])
		if werr != nil {
			return int64(w), werr
		}
	}
	return int64(n), err
}

// left is how long the connection may still stand idle. A direction in the middle of a large chunk
// notes what moved when its own deadline passes, which may be the same moment: hence the grace.
func (p *pump) left() time.Duration {
	return p.idle + idleGrace - (time.Since(p.start) - time.Duration(p.last.Load()))
}
