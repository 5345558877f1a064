package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestInflight(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var f inflight
		waits := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			if f.wait(); time.Since(start) != want {
				t.Errorf("waited %v, want %v", time.Since(start), want)
			}
		}
		f.begin(inflightMost)
		waits(0)
		f.begin(1)
		go func() { // what is on its way comes out, slowly
			for range 9 {
				time.Sleep(inflightLook / 2)
				f.end(0)
			}
			time.Sleep(inflightLook / 4) // not in the moment of a look
			f.end(1)
		}()
		waits(5 * inflightLook)
		f.begin(inflightMost) // of which nothing comes out
		waits(inflightLooks * inflightLook)
		f.end(3) // after it was given up
		f.begin(inflightMost)
		waits(0)
		if n := f.now.Load(); n != inflightMost {
			t.Errorf("%d on their way, want %d", n, inflightMost)
		}
	})
}

// sends is a bind that takes everything.
type sends struct {
	conn.Bind
	sizes []int
}

func (s *sends) Send(bufs [][]byte, _ conn.Endpoint) error {
	for _, b := range bufs {
		s.sizes = append(s.sizes, len(b))
	}
	return nil
}

// writes is a device that takes everything.
type writes struct {
	tun.Device
	packets int
}

func (w *writes) Write(bufs [][]byte, _ int) (int, error) {
	w.packets += len(bufs)
	return len(bufs), nil
}

// WireGuard's slices hold no buffers while a peer is idle.
func TestBuffersAreLetGo(t *testing.T) {
	buffers := func(sizes ...int) (bufs [][]byte) {
		for _, n := range sizes {
			bufs = append(bufs, make([]byte, n, 1<<16))
		}
		return bufs
	}
	under := &sends{}
	b := newBind(under, newGated(t).key, nil, nil, nil)
	out := buffers(148, 1500)
	if err := b.Send(out, endpointOf("192.0.2.1:1")); err != nil {
		t.Fatal(err)
	}
	for i, p := range out {
		if &p[0] != &nothing[0] || len(p) != under.sizes[i] {
			t.Errorf("packet %d of %d bytes is held as %d", i, under.sizes[i], len(p))
		}
	}
	dev, came := &writes{}, 0
	f := &filtered{Device: dev, self: netip.MustParseAddr("fd57:6172:7265::1"), role: NodeRole, came: func(n int) { came += n }}
	for v := range f.dropped {
		f.dropped[v] = prometheus.NewCounter(prometheus.CounterOpts{Name: "d"})
	}
	from := netip.MustParseAddr("fd57:6172:7265::2")
	f.setPeers(map[netip.Addr]Kind{from: Connector})
	good := heartbeat(from, f.self, 7102, 7102, 24)
	in := append(buffers(100), append(make([]byte, 16, 1<<16), good...), nil)
	if n, err := f.Write(in, 16); n != 3 || err != nil || dev.packets != 1 || came != 3 {
		t.Errorf("%d, %v: %d packets went on, %d were told", n, err, dev.packets, came)
	}
	for i, p := range in {
		if p != nil {
			t.Errorf("packet %d is held", i)
		}
	}
}
