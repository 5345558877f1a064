package lab

import (
	"math"
	"strings"
	"testing"
	"time"
)

// leave gives the shaper frames of one size at fixed distances and returns when those that pass leave.
func leave(s *shaper, frames, size int, every time.Duration) (at []time.Duration, lostN, fullN int) {
	for i := range frames {
		t, f := s.admit(size, time.Duration(i)*every)
		switch f {
		case lost:
			lostN++
		case full:
			fullN++
		default:
			at = append(at, t)
		}
	}
	return at, lostN, fullN
}

func TestWireKeepsNothing(t *testing.T) {
	at, _, _ := leave(&shaper{}, 100, 1500, time.Millisecond)
	for i, a := range at {
		if a != time.Duration(i)*time.Millisecond {
			t.Fatalf("frame %d leaves at %v", i, a)
		}
	}
	if len(at) != 100 {
		t.Errorf("%d of 100 passed", len(at))
	}
}

func TestDelayIsAddedAndNobodyOvertakes(t *testing.T) {
	s := &shaper{shape: Shape{Delay: 40 * time.Millisecond}}
	first, _ := s.admit(100, 0)
	s.shape.Delay = 0
	second, _ := s.admit(100, time.Millisecond)
	third, _ := s.admit(100, time.Second)
	if first != 40*time.Millisecond || second != first || third != time.Second {
		t.Errorf("left at %v, %v, %v", first, second, third)
	}
}

func TestJitterSpreadsAroundTheDelayAndReorders(t *testing.T) {
	s := &shaper{seed: 7, shape: Shape{Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond}}
	at, _, _ := leave(s, 10000, 100, time.Millisecond)
	var sum time.Duration
	overtaken := 0
	for i, a := range at {
		d := a - time.Duration(i)*time.Millisecond
		if d < 30*time.Millisecond || d > 50*time.Millisecond {
			t.Fatalf("frame %d took %v", i, d)
		}
		sum += d
		if i > 0 && a < at[i-1] {
			overtaken++
		}
	}
	if mean := sum / 10000; mean < 39*time.Millisecond || mean > 41*time.Millisecond {
		t.Errorf("mean %v", mean)
	}
	if overtaken == 0 {
		t.Error("nobody overtook")
	}
}

func TestLossDependsOnSeedAndNumberOnly(t *testing.T) {
	for _, loss := range []float64{0.001, 0.05, 0.3, 1} {
		const n = 100000
		_, a, _ := leave(&shaper{seed: 1, shape: Shape{Loss: loss}}, n, 100, 0)
		_, b, _ := leave(&shaper{seed: 1, shape: Shape{Loss: loss, Delay: time.Second, Jitter: time.Second}}, n, 1500, time.Hour)
		if a != b {
			t.Errorf("loss %v: %d lost, then %d of the same frames", loss, a, b)
		}
		// Four standard deviations of a binomial distribution.
		if off := math.Abs(float64(a) - n*loss); off > 4*math.Sqrt(n*loss*(1-loss)) {
			t.Errorf("loss %v: %d of %d lost", loss, a, n)
		}
	}
	same := 0
	for n := range uint64(1000) {
		if Lost(1, n, 0.5) == Lost(2, n, 0.5) {
			same++
		}
	}
	if same < 400 || same > 600 {
		t.Errorf("two seeds agree on %d of 1000 frames", same)
	}
}

func TestRateSpacesFramesAndBoundsTheQueue(t *testing.T) {
	// 1 Mbit/s sends a frame of 1250 bytes in 10 ms.
	s := &shaper{shape: Shape{Rate: 1e6, Queue: 12500}}
	at, _, dropped := leave(s, 100, 1250, 0)
	if len(at) != 10 || dropped != 90 {
		t.Fatalf("%d passed, %d did not; the queue holds ten", len(at), dropped)
	}
	for i, a := range at {
		if want := time.Duration(i+1) * 10 * time.Millisecond; a != want {
			t.Errorf("frame %d leaves at %v, want %v", i, a, want)
		}
	}
	if again, f := s.admit(1250, time.Second); f != passes || again != 1010*time.Millisecond {
		t.Errorf("an idle link sends at %v, fate %d", again, f)
	}
	// A frame larger than the queue still passes a link that is idle.
	s = &shaper{shape: Shape{Rate: 1e6, Queue: 1}}
	if _, f := s.admit(1500, 0); f != passes {
		t.Error("nothing ever passes")
	}
}

func TestShapeNamesTheFieldThatMakesNoSense(t *testing.T) {
	for field, s := range map[string]Shape{
		"delay": {Delay: -1}, "jitter": {Jitter: -1}, "loss": {Loss: 1.1}, "loss NaN": {Loss: math.NaN()}, "rate": {Rate: -1}, "queue": {Queue: -1},
	} {
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), strings.Fields(field)[0]) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (Shape{Delay: 1, Jitter: 1, Loss: 1, Rate: 1, Queue: 1}).Validate(); err != nil {
		t.Error(err)
	}
}
