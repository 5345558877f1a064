package gossip

import (
	"math"
	"testing"
	"time"
)

func TestTuning(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		rtt               time.Duration
		nodes             int
		interval, timeout time.Duration
		mult              int
	}{
		{0, 3, 100 * ms, 50 * ms, 4},
		{20 * ms, 10, 100 * ms, 50 * ms, 4},
		{20 * ms, 20, 100 * ms, 50 * ms, 3},
		{21 * ms, 3, 200 * ms, 75 * ms, 3},
		{80 * ms, 3, 400 * ms, 150 * ms, 2},
		{150 * ms, 3, 800 * ms, 300 * ms, 2},
		{300 * ms, 3, 1600 * ms, 600 * ms, 2},
		{time.Hour, 3, 1600 * ms, 600 * ms, 2},
	} {
		got := tuningOf(classOf(tt.rtt), tt.nodes)
		if got.interval != tt.interval || got.timeout != tt.timeout || got.mult != tt.mult {
			t.Errorf("round trip %s, %d nodes: %+v", tt.rtt, tt.nodes, got)
		}
	}
	// In every class: a probe of a living peer has time to be answered, by way of others, too, and an
	// accused peer to object.
	for class, rtt := range classes {
		for nodes := 2; nodes <= 100; nodes++ {
			tune := tuningOf(class, nodes)
			if tune.timeout < rtt || tune.interval < tune.timeout+2*rtt {
				t.Errorf("class %d: probes end before their answers arrive: %+v", class, tune)
			}
			scale := max(1, math.Log10(float64(nodes)))
			if s := time.Duration(float64(tune.mult) * scale * float64(tune.interval)); s < suspicionMin*3/4+2*rtt {
				t.Errorf("class %d, %d nodes: suspicion of %s", class, nodes, s)
			}
		}
	}
}

func TestRoundTrips(t *testing.T) {
	r := roundTrips{}
	if r.class() != 0 {
		t.Error("of nothing")
	}
	r.add("far", 300*time.Millisecond)
	if r.class() != 0 {
		t.Error("one measurement counts")
	}
	r.add("far", 250*time.Millisecond)
	r.add("far", 260*time.Millisecond)
	r.add("near", time.Millisecond)
	r.add("near", 2*time.Second) // a stall
	r.add("near", 2*time.Second)
	if got := r.class(); got != classOf(250*time.Millisecond) {
		t.Errorf("class %d", got)
	}
	for range 100 {
		r.add("far", 30*time.Millisecond)
	}
	if got := r.class(); got != classOf(30*time.Millisecond) || len(r["far"]) != maxSamples {
		t.Errorf("class %d of %d samples", got, len(r["far"]))
	}
}
