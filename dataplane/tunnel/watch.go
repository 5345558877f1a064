package tunnel

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Times of watch.
const (
	look  = time.Second            // news from the system is a hint, looking is truth
	quiet = 200 * time.Millisecond // addresses and routes come and go in bursts
	leap  = 2 * time.Second        // a greater difference between the clocks is a jump
)

// watch tells, until ctx ends, when the address of ours that leads to any of the endpoints is another, and
// when clocks disagree: somebody has set the wall clock, or we were suspended. It looks when the system tells of changes,
// and every so often.
func watch(ctx context.Context, every time.Duration, endpoints func() []netip.AddrPort, network func(), clock func(by time.Duration)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	hint := make(chan struct{}, 1)
	done := make(chan struct{})
	defer close(done)
	follow(&wg, done, hint)

	have := sources(endpoints())
	last := readClocks()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-hint:
			select {
			case <-ctx.Done():
				return
			case <-time.After(quiet):
			}
		}
		now := readClocks()
		if by, ok := now.jump(last); ok {
			clock(by)
		}
		last = now
		want := sources(endpoints())
		if moved(have, want) {
			network()
		}
		have = want
	}
}

// clocks are the system's at one moment.
type clocks struct {
	wall      time.Time
	monotonic time.Duration // stands still while the machine is suspended
	boot      time.Duration // goes on
}

func readClocks() clocks {
	return clocks{wall: time.Now().Round(0), monotonic: readClock(unix.CLOCK_MONOTONIC), boot: readClock(unix.CLOCK_BOOTTIME)}
}

func readClock(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil { // no kernel of today is without them
		return 0
	}
	return time.Duration(t.Nano())
}

// jump says by how much more than the monotonic clock another one went on. That of the time since the machine was
// started tells of a suspension also if the wall clock was set back meanwhile.
func (c clocks) jump(last clocks) (by time.Duration, ok bool) {
	monotonic := c.monotonic - last.monotonic
	if by = c.boot - last.boot - monotonic; by.Abs() > leap {
		return by, true
	}
	by = c.wall.Sub(last.wall) - monotonic
	return by, by.Abs() > leap
}

// sources is the address of ours from which the system would send to each of the endpoints; none when
// there is no way. Nothing is sent.
func sources(endpoints []netip.AddrPort) map[netip.AddrPort]netip.Addr {
	out := make(map[netip.AddrPort]netip.Addr, len(endpoints))
	for _, e := range endpoints {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(e))
		if err != nil {
			out[e] = netip.Addr{}
			continue
		}
		out[e] = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
		_ = c.Close()
	}
	return out
}

// moved reports whether an endpoint is reached from another address than before, or can be reached again.
// That there is no way any more is nothing to act on yet.
func moved(have, want map[netip.AddrPort]netip.Addr) bool {
	for e, addr := range want {
		if old, ok := have[e]; ok && addr.IsValid() && addr != old {
			return true
		}
	}
	return false
}

// follow hints at each change of addresses and routes, as far as the system tells them.
func follow(wg *sync.WaitGroup, done <-chan struct{}, hint chan<- struct{}) {
	tell := func() {
		select {
		case hint <- struct{}{}:
		default:
		}
	}
	addrs, routes := make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 16)
	if netlink.AddrSubscribe(addrs, done) == nil {
		wg.Go(func() { // until done: then the channel is closed
			for range addrs {
				tell()
			}
		})
	}
	if netlink.RouteSubscribe(routes, done) == nil {
		wg.Go(func() {
			for range routes {
				tell()
			}
		})
	}
}
