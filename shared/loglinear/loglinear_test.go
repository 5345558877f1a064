package loglinear

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreInOrderAndNarrow(t *testing.T) {
	last := -1
	for v := time.Duration(0); v < 30*time.Hour; v += max(time.Microsecond, v/50) {
		i := Index(v)
		if i < last || i >= Buckets {
			t.Fatalf("%v is in bucket %d, after %d", v, i, last)
		}
		last = i
		if off := (Middle(i) - v.Truncate(time.Microsecond)).Abs(); v < 19*time.Hour && off > v/16+time.Microsecond/2 {
			t.Fatalf("%v is shown as %v", v, Middle(i))
		}
	}
	if last != Buckets-1 {
		t.Errorf("the last bucket is %d of %d", last, Buckets)
	}
	for v, want := range map[time.Duration]int{-time.Second: 0, 0: 0, 7 * time.Microsecond: 7, 8 * time.Microsecond: 8, 1 << 62: Buckets - 1} {
		if got := Index(v); got != want {
			t.Errorf("%v: bucket %d, want %d", v, got, want)
		}
	}
	if Middle(-1) != 0 || Middle(1<<20) != Middle(Buckets-1) {
		t.Error("a bucket that is none")
	}
}

func TestQuantiles(t *testing.T) {
	if (Counts{}).Quantile(.5) != 0 {
		t.Error("of nothing")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var by [Buckets]int64
	for range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		by[Index(d)]++
	}
	slices.Sort(all)
	var c Counts
	for i, n := range by {
		if n > 0 {
			c.Buckets, c.Counts = append(c.Buckets, int32(i)), append(c.Counts, n)
		}
	}
	for _, q := range []float64{.01, .5, .95, .99, 1} {
		want := all[int(q*float64(len(all)-1))]
		if got := c.Quantile(q); (got - want).Abs() > want/12 {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
}
