package measure

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, c := range []struct {
		sample []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0}, {[]time.Duration{7}, 0.01, 7}, {[]time.Duration{7}, 1, 7},
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
		{[]time.Duration{3, 1, 2}, 0.99, 3},
	} {
		if got := Quantile(c.sample, c.q); got != c.want {
			t.Errorf("quantile %v of %d: %d, want %d", c.q, len(c.sample), got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the sample was changed")
	}
}

func TestTookCountsSuccesses(t *testing.T) {
	got := Took([]lab.Outcome{{Sent: 1, Ended: 4}, {Sent: 2, Ended: 90, Failure: "timeout"}, {Sent: 5, Ended: 6}})
	if len(got) != 2 || got[0] != 3 || got[1] != 1 {
		t.Errorf("%v", got)
	}
}

func TestFigureIsOneLine(t *testing.T) {
	var b strings.Builder
	if err := (Figure{"bench": "x", "ms": Milliseconds(1234567 * time.Nanosecond), "wanted": "ms <= 2"}).Print(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != "{\"bench\":\"x\",\"ms\":1.23,\"wanted\":\"ms <= 2\"}\n" {
		t.Error(b.String())
	}
}
