package main

import (
	"runtime"
	"syscall"
	"time"

	"github.com/warrenedge/warren/dataplane/report"
)

// meter measures what this node carries: of its processors, and of the connections that it may have. Use by one goroutine.
type meter struct {
	conns, mostConns func() int
	now              func() time.Time
	processor        func() time.Duration // used by this process so far

	at   time.Time // of the last look
	used time.Duration
}

func newMeter(conns, mostConns func() int) *meter {
	return &meter{conns: conns, mostConns: mostConns, now: time.Now, processor: processorTime}
}

// load is what it is now, in thousandths of what it can be, whichever is scarcer.
func (m *meter) load() int { return max(m.busy(), thousandths(int64(m.conns()), int64(m.mostConns()))) }

// report is the same as the control plane is told of it.
func (m *meter) report() report.Load {
	return report.Load{Processors: float64(m.busy()) / 1000, Connections: m.conns()}
}

// knownPlaces are the databases of addresses as the control plane is told of them.
func (f *front) knownPlaces() (out []report.PlacesFile) {
	for _, s := range f.places.States() {
		out = append(out, report.PlacesFile(s))
	}
	return out
}

// busy is how much of the processors was used since the last call, in thousandths.
func (m *meter) busy() (share int) {
	now, used := m.now(), m.processor()
	if !m.at.IsZero() && now.After(m.at) {
		share = thousandths(int64(used-m.used), int64(now.Sub(m.at))*int64(runtime.GOMAXPROCS(0)))
	}
	m.at, m.used = now, used
	return share
}

// thousandths is a part of a whole, within its bounds.
func thousandths(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(min(max(0, part), whole) * 1000 / whole)
}

func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
