package l4

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// Bounds of what waits for streams. What does not fit is dropped, the newest first: a stream that is slow
// is a slow network, and senders notice that by losses.
const (
	maxQueue  = 256 << 10 // of one flow: a few of the largest datagrams
	maxMemory = 64 << 20  // of all flows
	writeTime = 10 * time.Second

	keepQueue = 8 << 10 // a larger buffer is not kept by a flow that has nothing to say
)

// memory is shared by queues. It counts what is in them, and what is being written.
type memory struct {
	most int64
	used atomic.Int64
}

func (m *memory) take(n int) bool {
	if m.used.Add(int64(n)) > m.most {
		m.give(n)
		return false
	}
	return true
}

func (m *memory) give(n int) { m.used.Add(-int64(n)) }

// queue holds the framed datagrams of a flow until its stream takes them. At most one goroutine writes.
type queue struct {
	mu      sync.Mutex
	waiting []byte   // guarded by mu
	stream  net.Conn // guarded by mu; nil before the flow is connected
	writing bool     // guarded by mu
	ended   bool     // guarded by mu
}

// put adds a datagram, or says why not. If start is true the caller sees to it that write is called.
func (q *queue) put(b []byte, m *memory) (start bool, why reason) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return false, reasonStream
	}
	size := fabric.FrameSize(len(b))
	if len(q.waiting)+size > maxQueue {
		return false, reasonQueue
	}
	if !m.take(size) {
		return false, reasonMemory
	}
	q.waiting = fabric.AppendDatagram(q.waiting, b)
	return q.startLocked(), ""
}

// connect says where datagrams go. If start is true the caller sees to it that write is called.
func (q *queue) connect(stream net.Conn) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stream = stream
	return q.startLocked()
}

func (q *queue) startLocked() bool {
	if q.stream == nil || q.writing || q.ended || len(q.waiting) == 0 {
		return false
	}
	q.writing = true
	return true
}

// write sends what waits until nothing does. Many small datagrams leave as one.
func (q *queue) write(m *memory) error {
	var spare []byte
	for {
		q.mu.Lock()
		b, stream := q.waiting, q.stream
		if len(b) == 0 {
			q.writing, q.waiting = false, nil
			if cap(spare) <= keepQueue {
				q.waiting = spare
			}
			q.mu.Unlock()
			return nil
		}
		q.waiting = spare
		q.mu.Unlock()
		err := stream.SetWriteDeadline(time.Now().Add(writeTime))
		if err == nil {
			_, err = stream.Write(b)
		}
		m.give(len(b))
		if err != nil {
			return err
		}
		spare = b[:0]
	}
}

// end drops what waits, and everything from now on.
func (q *queue) end(m *memory) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	m.give(len(q.waiting))
	q.waiting = nil
}
