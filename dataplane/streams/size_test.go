package streams

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for _, tt := range []struct{ peak, want int }{
		{0, 1}, {1, 4}, {2, 4}, {3, 8}, {6, 8}, {7, 16}, {30, 32}, {31, 64}, {62, 64}, {63, 127}, {64, 128}, {100, 128}, {126, 128},
		{127, 191}, {500, 512}, {900, 964}, {1000, 1024}, {1024, 1024}, {5000, 1024},
	} {
		if got := size(tt.peak); got != tt.want {
			t.Errorf("size(%d) = %d, want %d", tt.peak, got, tt.want)
		}
	}
	for peak := range mostConns {
		if n := size(peak); n < size(max(peak-1, 0)) || peak > 0 && n < min(peak+leastConns, mostConns) || n > peak+spareConns {
			t.Errorf("size(%d) = %d", peak, n)
		}
	}
}

func TestPeaks(t *testing.T) {
	now := time.Unix(1e9, 0)
	var p peaks
	for _, s := range []struct {
		after  time.Duration
		demand int
		want   int
	}{
		{0, 3, 3}, {time.Second, 1, 3}, {window - time.Second - 1, 5, 5}, // the end of the first window
		{1, 0, 5}, {window - 1, 2, 5}, // all of the second: the first still counts
		{1, 0, 2}, {window, 0, 0},
		{0, 9, 9}, {2 * window, 0, 0}, // nobody looked for long
		{0, 4, 4}, {-time.Hour, 1, 1}, // a clock that jumps forgets
	} {
		now = now.Add(s.after)
		if got := p.observe(s.demand, now); got != s.want {
			t.Errorf("after %v: %d, want %d", s.after, got, s.want)
		}
	}
}
