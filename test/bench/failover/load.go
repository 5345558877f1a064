package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/load"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// conns is how many connections a client has at most. Without a bound the bench would measure how it drowns in its
// own handshakes whenever the machine is out of breath for a moment.
const conns = 64

// client says how one client asks.
type client struct {
	site    int
	rate    float64
	resolve func(ctx context.Context, host string) (netip.Addr, error)
	fresh   bool
}

// at asks one node, whatever DNS says.
func at(n *cluster.Node) func(context.Context, string) (netip.Addr, error) {
	return func(context.Context, string) (netip.Addr, error) { return n.Host.Addr, nil }
}

// load starts clients on the outside host and returns once they have asked for a while.
func (b *bench) load(ctx context.Context, clients ...client) (*load.Load, error) {
	roots, err := b.Roots()
	if err != nil {
		return nil, err
	}
	var probes []lab.Probe
	for _, c := range clients {
		probes = append(probes, lab.Probe{
			From: b.Client, URL: "https://" + hostname(c.site) + "/", Rate: c.rate, TLS: &tls.Config{RootCAs: roots}, Resolve: c.resolve, Fresh: c.fresh, Conns: conns,
		})
	}
	return load.Start(ctx, probes...)
}

// seen is what several clients saw of the one event that they were told of.
type seen struct {
	sent, failed, underWay int
	longestGap, after      time.Duration
	healed                 bool
	failures               map[string]int
}

func together(reports []lab.Report) seen {
	s := seen{healed: true, failures: map[string]int{}}
	for _, r := range reports {
		s.sent += r.Sent
		s.longestGap = max(s.longestGap, r.LongestGap)
		for reason, n := range r.Failures {
			s.failures[reason] += n
			s.failed += n
		}
		for _, h := range r.Heals {
			s.underWay += h.UnderWay
			s.healed = s.healed && h.Healed
			s.after = max(s.after, h.After)
		}
	}
	return s
}

// named asks a node's own DNS for a name's addresses.
func (b *bench) named(ctx context.Context, n *cluster.Node, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return b.Named(ctx, n, host)
}

// following resolves as a client does whose resolver keeps nothing: what any of the nodes says, one in turn
// of what it says.
func (b *bench) following(nodes ...*cluster.Node) func(context.Context, string) (netip.Addr, error) {
	var mu sync.Mutex
	turn := 0
	return func(ctx context.Context, host string) (netip.Addr, error) {
		mu.Lock()
		turn++
		k := turn
		mu.Unlock()
		addrs, err := b.named(ctx, nodes[k%len(nodes)], host)
		if err == nil && len(addrs) == 0 {
			err = errors.New("no address")
		}
		if err != nil {
			return netip.Addr{}, err
		}
		return addrs[k/len(nodes)%len(addrs)], nil
	}
}

// watch asks nodes for a name all the time until stop is called, which returns when an answer last held an address.
func (b *bench) watch(ctx context.Context, host string, addr netip.Addr, nodes ...*cluster.Node) (stop func() (last time.Time, answers int)) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var last time.Time
	answers := 0
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for measure.Pause(ctx, 20*time.Millisecond) == nil {
				addrs, err := b.named(ctx, n, host)
				if err != nil {
					continue
				}
				mu.Lock()
				answers++
				for _, a := range addrs {
					if a == addr {
						last = time.Now()
					}
				}
				mu.Unlock()
			}
		})
	}
	return func() (time.Time, int) {
		cancel()
		wg.Wait()
		return last, answers
	}
}
