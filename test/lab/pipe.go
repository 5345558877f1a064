package lab

import (
	"container/heap"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxFrame is the largest frame that segmentation offload makes, with its headers.
const maxFrame = 66 << 10

// waitingBound is how many bytes a direction holds back; what comes when it is full is dropped and counted.
// It is 400 ms of 1 Gbit/s.
const waitingBound = 50 << 20

// Stats count the frames of one direction of a link.
type Stats struct {
	Frames   uint64 // that came; the number of the next one, for Lost
	Bytes    uint64 // that left
	Left     uint64
	Lost     uint64 // by Loss
	Overflow uint64 // no room in the queue of Rate, or in that of Delay
	Cut      uint64 // came while cut, or were under way then
	Refused  uint64 // the kernel didn't take it: the other side is down
}

// A pipe carries frames from one TAP device to another.
type pipe struct {
	src, dst *os.File
	start    time.Time
	timer    *os.File // rings when the first of waiting is due; Go's own timers are a millisecond late

	mu      sync.Mutex // guards the following
	shaper  shaper
	cut     bool
	stats   Stats
	waiting frames
	bytes   int           // in waiting
	rings   time.Duration // when timer rings; 0: not set
	writing bool          // deliver is writing frames that it took from waiting
}

func newPipe(src, dst *os.File, seed uint64, start time.Time) (*pipe, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &pipe{src: src, dst: dst, start: start, timer: os.NewFile(uintptr(fd), "timerfd"), shaper: shaper{seed: seed}}, nil
}

// set changes the shape; what is under way keeps its time.
func (p *pipe) set(s Shape) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shaper.shape = s
	p.shaper.free = 0
}

// setCut cuts or heals; a cut loses what is under way.
func (p *pipe) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		p.stats.Cut += uint64(len(p.waiting))
		p.waiting, p.bytes = nil, 0
	}
}

func (p *pipe) counts() (Stats, Shape, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Frames = p.shaper.n
	return s, p.shaper.shape, p.cut
}

// read takes frames from the source until it closes. Those that are due at once it writes itself.
func (p *pipe) read() {
	buf := make([]byte, maxFrame)
	for {
		n, err := p.src.Read(buf)
		if err != nil {
			return // closed: the device is ours alone
		}
		if n <= vnetHeader {
			continue
		}
		if p.admit(buf[:n]) {
			p.write(buf[:n])
		}
	}
}

// admit decides a frame's fate; it reports whether the caller is to write it now.
func (p *pipe) admit(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	leaves, fate := p.shaper.admit(len(b)-vnetHeader, now)
	switch {
	case p.cut:
		p.stats.Cut++
		return false
	case fate == lost:
		p.stats.Lost++
		return false
	case fate == full || p.bytes+len(b) > waitingBound:
		p.stats.Overflow++
		return false
	case leaves <= now && len(p.waiting) == 0 && !p.writing:
		return true
	}
	f := frame{leaves: leaves, n: p.shaper.n, b: append(buffer(len(b)), b...)}
	heap.Push(&p.waiting, f)
	p.bytes += len(b)
	if !p.writing && (p.rings == 0 || leaves < p.rings) {
		p.ringLocked(leaves, now)
	}
	return false
}

func (p *pipe) ringLocked(at, now time.Duration) {
	p.rings = at
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(at-now)))}
	raw, err := p.timer.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
}

// deliver writes waiting frames when they are due, until the timer closes.
func (p *pipe) deliver() {
	var due []frame
	for ticks := make([]byte, 8); ; {
		if _, err := p.timer.Read(ticks); err != nil {
			return
		}
		for {
			due = p.due(due[:0])
			if len(due) == 0 {
				break
			}
			for _, f := range due {
				p.write(f.b)
				release(f.b)
			}
		}
	}
}

// due takes the frames whose time has come; when there are none it sets the timer for the next.
func (p *pipe) due(out []frame) []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	for len(p.waiting) > 0 && p.waiting[0].leaves <= now {
		f := heap.Pop(&p.waiting).(frame)
		p.bytes -= len(f.b)
		out = append(out, f)
	}
	p.writing = len(out) > 0
	p.rings = 0
	if len(out) == 0 && len(p.waiting) > 0 {
		p.ringLocked(p.waiting[0].leaves, now)
	}
	return out
}

func (p *pipe) write(b []byte) {
	_, err := p.dst.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.stats.Refused++
		return
	}
	p.stats.Left++
	p.stats.Bytes += uint64(len(b) - vnetHeader)
}

// A frame waits for its time.
type frame struct {
	leaves time.Duration
	n      uint64 // keeps the order of those that leave at once
	b      []byte
}

type frames []frame

func (f frames) Len() int { return len(f) }
func (f frames) Less(i, j int) bool {
	return f[i].leaves < f[j].leaves || f[i].leaves == f[j].leaves && f[i].n < f[j].n
}
func (f frames) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)   { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = frame{}
	*f = (*f)[:last]
	return x
}

const smallFrame = 2 << 10

var small = sync.Pool{New: func() any { return new([smallFrame]byte) }}

// buffer is an empty slice with room for n bytes.
func buffer(n int) []byte {
	if n > smallFrame {
		return make([]byte, 0, n)
	}
	return small.Get().(*[smallFrame]byte)[:0]
}

func release(b []byte) {
	if cap(b) == smallFrame {
		small.Put((*[smallFrame]byte)(b[:smallFrame]))
	}
}
