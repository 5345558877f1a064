package program

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about. The runtime keeps as much memory as it collects at: twice what is in use by default,
// which a node with thousands of idle sites holds for nothing.
const (
	thriftLook   = 30 * time.Second
	idlePercent  = 15
	usualPercent = 100
	idleRate     = 3 << 19 // bytes a second: at idlePercent a collector that costs half a millisecond a MiB takes half a percent of a processor
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
	last, now := allocated(), usualPercent
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
	}
}

// percent is what GOGC should be for who has allocated so many bytes in a time.
func percent(bytes uint64, in time.Duration) int {
	if float64(bytes) < idleRate*in.Seconds() {
		return idlePercent
	}
	return usualPercent
}

// allocated is how many bytes were, since the process began.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
