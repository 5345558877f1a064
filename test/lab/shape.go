package lab

import (
	"fmt"
	"math"
	"time"
)

// Shape is what one direction of a link does to frames. The zero Shape is a wire.
type Shape struct {
	Delay  time.Duration // of every frame
	Jitter time.Duration // up to this much more or less than Delay, evenly spread: frames overtake each other
	Loss   float64       // the part of all frames that is lost, 0 to 1
	Rate   int64         // bits per second; 0 is no limit
	Queue  int           // bytes that may wait for Rate, the rest is dropped; 0 is 100 ms of Rate, 32 KiB at least
}

// Validate names the field that makes no sense.
func (s Shape) Validate() error {
	switch {
	case s.Delay < 0:
		return fmt.Errorf("delay %v: less than nothing", s.Delay)
	case s.Jitter < 0:
		return fmt.Errorf("jitter %v: less than nothing", s.Jitter)
	case math.IsNaN(s.Loss) || s.Loss < 0 || s.Loss > 1:
		return fmt.Errorf("loss %v: want a part of 1", s.Loss)
	case s.Rate < 0:
		return fmt.Errorf("rate %d: less than nothing", s.Rate)
	case s.Queue < 0:
		return fmt.Errorf("queue %d: less than nothing", s.Queue)
	}
	return nil
}

// queue is the bound of what waits for the rate.
func (s Shape) queue() int {
	if s.Queue > 0 {
		return s.Queue
	}
	return max(int(s.Rate/8/10), 32<<10)
}

// perFrame reports whether it matters how data is cut into frames: such a direction wants them
// as a wire carries them, not joined by segmentation offload.
func (s Shape) perFrame() bool { return s != Shape{} }

// A fate is what becomes of a frame.
type fate int

const (
	passes fate = iota
	lost        // by Loss
	full        // Queue had no room
)

// A shaper decides when each frame of a direction leaves. Times count from any fixed moment.
type shaper struct {
	shape Shape
	seed  uint64
	n     uint64        // frames seen: the number of the next
	free  time.Duration // when the rate has sent all that it was given
	last  time.Duration // the latest leaving time so far
}

// admit decides the next frame's fate and, if it passes, when it leaves.
func (s *shaper) admit(size int, now time.Duration) (leaves time.Duration, f fate) {
	n := s.n
	s.n++
	if Lost(s.seed, n, s.shape.Loss) {
		return 0, lost
	}
	leaves = now
	if s.shape.Rate > 0 {
		s.free = max(s.free, now)
		waiting := float64(s.free-now) / float64(time.Second) * float64(s.shape.Rate) / 8
		if waiting > 0 && int(waiting)+size > s.shape.queue() {
			return 0, full
		}
		s.free += time.Duration(float64(size) * 8 / float64(s.shape.Rate) * float64(time.Second))
		leaves = s.free
	}
	leaves += s.shape.Delay
	if s.shape.Jitter > 0 {
		off := time.Duration((2*draw(s.seed, n, jitterDraw) - 1) * float64(s.shape.Jitter))
		leaves = max(now, leaves+off)
	} else {
		leaves = max(leaves, s.last) // a shorter delay than before lets nobody overtake
	}
	s.last = max(s.last, leaves)
	return leaves, passes
}

// What a frame's numbers are drawn for.
const (
	lossDraw uint64 = iota
	jitterDraw
)

// Lost reports whether a direction with this seed loses the frame with this number. It depends on nothing else.
func Lost(seed, n uint64, loss float64) bool { return loss > 0 && draw(seed, n, lossDraw) < loss }

// draw is the frame's number in [0, 1) for a purpose.
func draw(seed, n, purpose uint64) float64 {
	return float64(mix(mix(seed+purpose)+n)>>11) / (1 << 53)
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
