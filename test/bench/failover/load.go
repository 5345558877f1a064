package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// A load is clients that ask for a site's service.
type load struct {
	probers []*lab.Prober
	wg      sync.WaitGroup
	cancel  context.CancelFunc
}

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
func (b *bench) load(ctx context.Context, clients ...client) (*load, error) {
	pem, err := os.ReadFile(b.WebCA())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	l := &load{}
	for _, c := range clients {
		p, err := lab.NewProber(lab.Probe{
			From: b.Client, URL: "https://" + hostname(c.site) + "/", Rate: c.rate, TLS: &tls.Config{RootCAs: roots}, Resolve: c.resolve, Fresh: c.fresh, Conns: conns,
		})
		if err != nil {
			return nil, err
		}
		l.probers = append(l.probers, p)
	}
	ctx, l.cancel = context.WithCancel(ctx)
	for _, p := range l.probers {
		l.wg.Go(func() { _ = p.Run(ctx) })
	}
	return l, pause(ctx, 1500*time.Millisecond)
}

func (l *load) mark(event string) {
	for _, p := range l.probers {
		p.Mark(event)
	}
}

// end waits some time, lets the clients finish and accounts for them.
func (l *load) end(ctx context.Context, after time.Duration) ([]lab.Report, error) {
	err := pause(ctx, after)
	l.cancel()
	l.wg.Wait()
	var out []lab.Report
	for _, p := range l.probers {
		out = append(out, p.Report())
	}
	return out, err
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
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return b.Client.Dial(ctx, network, netip.AddrPortFrom(n.Host.Addr, 53))
	}}
	return r.LookupNetIP(ctx, "ip4", host+".")
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
		return addrs[k/len(nodes)%len(addrs)].Unmap(), nil
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
			for pause(ctx, 20*time.Millisecond) == nil {
				addrs, err := b.named(ctx, n, host)
				if err != nil {
					continue
				}
				mu.Lock()
				answers++
				for _, a := range addrs {
					if a.Unmap() == addr {
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

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
