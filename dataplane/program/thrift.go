package program

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about. The runtime keeps as much memory as it collects at: twice what is in use by default,
// which a node with thousands of idle sites holds for nothing. When they all come at once, what stays lies scattered
// among what does not, in pages that are given back no more: the less garbage there is then, the less of that.
const (
	thriftLook   = 5 * time.Second
	leastPercent = 10
	usualPercent = 100

	// A collector that costs half a millisecond a MiB takes two percent of a processor at least, and at usualPercent as
	// much as it always does: so many percent for each MiB that is allocated in a second.
	percentEach = 2.5
	percentStep = 10 // of what is set: rates are never the same

	// The runtime gives pages back slowly, and keeps a tenth more than it will use. While little is done, what is free is
	// given back at once when it is more than a part of what is in use, and not more often than once in so many looks: it
	// takes a whole collection.
	freePart  = 16
	freeLooks = 24
)

// Thrift holds less memory while the process has little to do, as the usual pace of the collector is for those who
// have much. It leaves a process alone whose GOGC is set.
type Thrift struct{}

// String names the task.
func (Thrift) String() string { return "thrift" }

// Run looks every so often until ctx ends.
func (Thrift) Run(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(thriftLook)
	defer tick.Stop()
	defer debug.SetGCPercent(usualPercent)
	last, now, looks := allocated(), usualPercent, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		sum := allocated()
		if want := percent(sum-last, thriftLook); want != now {
			debug.SetGCPercent(want)
			now = want
		}
		last = sum
		if looks++; looks >= freeLooks && now == leastPercent && idle() {
			debug.FreeOSMemory()
			looks = 0
		}
	}
}

// percent is what GOGC should be for who has allocated so many bytes in a time.
func percent(bytes uint64, in time.Duration) int {
	want := percentEach * float64(bytes) / (1 << 20) / in.Seconds()
	return int(min(max(math.Round(want/percentStep)*percentStep, leastPercent), usualPercent))
}

// idle reports whether much memory is neither in use nor given back.
func idle() bool {
	s := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() > s[1].Value.Uint64()/freePart
}

// allocated is how many bytes were, since the process began.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
