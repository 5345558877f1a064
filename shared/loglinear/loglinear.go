// Package loglinear counts durations in buckets that are the same everywhere, so that counts of many can be added up.
//
// Below eight microseconds each has a bucket of its own; above, every doubling has eight of the same width. A quantile is
// off by no more than a sixteenth.
package loglinear

import (
	"math/bits"
	"time"
)

const (
	parts = 3  // 2^parts buckets for a doubling
	top   = 36 // bits of the longest duration that is told from longer ones: 19 hours

	// Buckets is how many there are.
	Buckets = (top-parts)<<parts + 1<<parts
)

// Index is the bucket of a duration.
func Index(d time.Duration) int {
	v := uint64(max(d, 0) / time.Microsecond)
	if v < 1<<parts {
		return int(v)
	}
	e := bits.Len64(v)
	if e > top {
		return Buckets - 1
	}
	return (e-parts)<<parts + int(v>>(e-parts-1))&(1<<parts-1)
}

// Middle is the duration that stands for those of a bucket.
func Middle(i int) time.Duration {
	i = min(max(i, 0), Buckets-1)
	if i < 1<<parts {
		return time.Duration(i) * time.Microsecond
	}
	e := i>>parts + parts // bits of the values in it
	width := uint64(1) << (e - parts - 1)
	low := (1<<parts + uint64(i&(1<<parts-1))) * width
	return time.Duration(2*low+width-1) * time.Microsecond / 2
}

// Counts are of some buckets, in their order.
type Counts struct {
	Buckets []int32
	Counts  []int64
}

// Quantile is the duration that a share q of all does not exceed; 0 if there are none.
func (c Counts) Quantile(q float64) time.Duration {
	var all int64
	for _, n := range c.Counts {
		all += n
	}
	want, seen := q*float64(all), int64(0)
	for i, n := range c.Counts {
		if seen += n; n > 0 && float64(seen) >= want {
			return Middle(int(c.Buckets[i]))
		}
	}
	return 0
}
