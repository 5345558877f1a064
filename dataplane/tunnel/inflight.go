package tunnel

import (
	"sync/atomic"
	"time"
)

// Bounds of what is on its way through WireGuard.
const (
	inflightMost  = 512                    // packets
	inflightLook  = 500 * time.Microsecond // so often it is looked whether there is room
	inflightLooks = 5                      // at which nothing has come out: on a busy machine who looks may be the only one who runs
)

// inflight bounds the packets that WireGuard has taken from the network and not yet given to the device. Each is in a
// buffer of 64 KiB, whatever its size, and what a burst of small ones needed once stays in memory: the kernel's socket
// holds them for less. Some never come out (keepalives, what is no packet of a peer's): those who wait while nothing
// comes out wait no longer. The zero value is ready. Safe for concurrent use.
type inflight struct {
	now  atomic.Int64
	ends atomic.Uint64 // grows as packets come out
}

// begin counts packets that go in.
func (f *inflight) begin(n int) { f.now.Add(int64(n)) }

// end counts packets that come out, also those that were given up.
func (f *inflight) end(n int) {
	f.ends.Add(1)
	for {
		now := f.now.Load()
		if f.now.CompareAndSwap(now, max(now-int64(n), 0)) {
			return
		}
	}
}

// wait returns when there is room, or nothing comes out any more: what is left is lost then.
func (f *inflight) wait() {
	ends, looks := f.ends.Load(), 0
	for f.now.Load() > inflightMost {
		time.Sleep(inflightLook)
		if now := f.ends.Load(); now != ends {
			ends, looks = now, 0
		} else if looks++; looks == inflightLooks {
			f.now.Store(0)
		}
	}
}
