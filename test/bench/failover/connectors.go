package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// connectorGone takes away one of two connectors of the first site.
func (b *bench) connectorGone(ctx context.Context, name string, away end) error {
	if b.Lab.Find("s1-con2") == nil {
		if _, err := b.Second(ctx, b.Sites[0]); err != nil {
			return err
		}
	}
	l, err := b.load(ctx, client{rate: 250, resolve: at(b.inside[0])}, client{rate: 250, resolve: at(b.outside)})
	if err != nil {
		return err
	}
	l.Mark(name)
	back, err := away(b.Sites[0].Connector, b.Sites[0].Proc)
	if err != nil {
		return err
	}
	reports, err := l.EndAfter(ctx, 5*time.Second)
	if err := errors.Join(err, back()); err != nil {
		return err
	}
	s := together(reports)
	return measure.Figure{
		"bench": name + ", its replica serves", "per_s": 500, "sent": s.sent, "failed": s.failed, "failures": s.failures, "under_way": s.underWay,
		"healed": s.healed, "all_succeed_after_ms": measure.Milliseconds(s.after), "longest_gap_ms": measure.Milliseconds(s.longestGap), "wanted": "all succeed after <= 500 ms",
	}.Print(os.Stdout)
}

// udpDropped lets the second site's firewall drop all UDP.
func (b *bench) udpDropped(ctx context.Context, carrier string) error {
	if err := b.pin(1, carrier); err != nil {
		return err
	}
	if err := measure.Pause(ctx, 3*time.Second); err != nil {
		return err
	}
	l, err := b.load(ctx, client{site: 1, rate: 100, resolve: at(b.Nodes[0])}, client{site: 1, rate: 100, resolve: at(b.Nodes[2])})
	if err != nil {
		return err
	}
	l.Mark("UDP dropped")
	if err := b.Sites[1].Net.Router.BlockUDP(); err != nil {
		return err
	}
	since := time.Now()
	err = b.Until(ctx, "tunnels lead by TLS", func() error { return b.byTLS(b.Sites[1]) })
	again := time.Since(since)
	reports, ended := l.EndAfter(ctx, 3*time.Second)
	if err := errors.Join(err, ended, b.Sites[1].Net.Router.AllowUDP(), b.pin(1, "auto")); err != nil {
		return err
	}
	s := together(reports)
	return measure.Figure{
		"bench": "all UDP dropped at a site", "carrier": carrier, "per_s": 200, "sent": s.sent, "failed": s.failed, "failures": s.failures,
		"healed": s.healed, "all_succeed_after_ms": measure.Milliseconds(s.after), "longest_gap_ms": measure.Milliseconds(s.longestGap),
		"wireguard_reported_in_tls_after_ms": measure.Milliseconds(again), "wanted": "connected again <= 5000 ms",
	}.Print(os.Stdout)
}

// streamPort is where nodes take streams.
const streamPort = 443

// tcpDropped lets the second site's firewall drop TCP to where nodes take streams.
func (b *bench) tcpDropped(ctx context.Context) error {
	l, err := b.load(ctx, client{site: 1, rate: 100, resolve: at(b.Nodes[0])}, client{site: 1, rate: 100, resolve: at(b.Nodes[2])})
	if err != nil {
		return err
	}
	l.Mark("TCP dropped")
	router := b.Sites[1].Net.Router
	if err := router.BlockTCP(streamPort); err != nil {
		return err
	}
	reports, ended := l.EndAfter(ctx, 10*time.Second)
	by := b.Until(ctx, "nodes reach the site by WireGuard", func() error { return b.carriers(b.Sites[1], "wireguard") })
	allowed := router.AllowTCP()
	if err := errors.Join(ended, by, allowed, b.Until(ctx, "nodes reach the site by streams again", func() error { return b.carriers(b.Sites[1], "stream") })); err != nil {
		return err
	}
	s := together(reports)
	return measure.Figure{
		"bench": "TCP to the nodes dropped at a site, WireGuard stands in", "per_s": 200, "sent": s.sent, "failed": s.failed, "failures": s.failures,
		"healed": s.healed, "all_succeed_after_ms": measure.Milliseconds(s.after), "longest_gap_ms": measure.Milliseconds(s.longestGap), "wanted": "connected again <= 5000 ms",
	}.Print(os.Stdout)
}

// carriers returns nil when every node reaches a site's connector by this carrier.
func (b *bench) carriers(s *cluster.Site, want string) error {
	var st struct {
		Nodes []struct {
			Name    string `json:"name"`
			Tunnels []struct {
				Peer    string `json:"peer"`
				Carrier string `json:"carrier"`
			} `json:"tunnel_states"`
		} `json:"nodes"`
		Connectors []struct{ ID, Site string } `json:"connectors"`
	}
	if err := b.JSON(&st, "status"); err != nil {
		return err
	}
	tunnels := 0
	for _, c := range st.Connectors {
		for _, n := range st.Nodes {
			for _, t := range n.Tunnels {
				if c.Site != s.Name || t.Peer != c.ID {
					continue
				}
				if tunnels++; t.Carrier != want {
					return fmt.Errorf("%s reaches %s by %q", n.Name, s.Name, t.Carrier)
				}
			}
		}
	}
	if tunnels == 0 {
		return fmt.Errorf("no tunnels of %s are reported", s.Name)
	}
	return nil
}

// byTLS returns nil when all tunnels of a site's connector are up in TLS. The connector reports it now and then:
// it is so up to a report's interval before it is seen.
func (b *bench) byTLS(s *cluster.Site) error {
	var st struct {
		Connectors []struct {
			Site    string `json:"site"`
			Tunnels []struct {
				Up        bool   `json:"up"`
				Transport string `json:"transport"`
			} `json:"tunnel_states"`
		} `json:"connectors"`
	}
	if err := b.JSON(&st, "status"); err != nil {
		return err
	}
	tunnels := 0
	for _, c := range st.Connectors {
		for _, t := range c.Tunnels {
			if c.Site == s.Name {
				tunnels++
				if !t.Up || t.Transport != "tls" {
					return fmt.Errorf("a tunnel of %s is up: %v, by %q", s.Name, t.Up, t.Transport)
				}
			}
		}
	}
	if tunnels == 0 {
		return fmt.Errorf("no tunnels of %s are reported", s.Name)
	}
	return nil
}

// pin says over what TCP shall go to a site.
func (b *bench) pin(site int, carrier string) error {
	return b.Apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Site\nmetadata: {name: %s}\nspec: {pool: default, carrier: %s}\n", b.Sites[site].Name, carrier), "--wait")
}

// faultsEach is how many faults each of the sites meets, and how long each may last: in all some four minutes.
const (
	faultsEach  = 10
	faultsLeast = time.Second
	faultsMost  = 20 * time.Second
)

// underWay is how long a request may have been under way when the next fault begins: the failure of one that was would
// be taken for the last fault's, and on a busy machine a request takes its time.
const underWay = 2 * time.Second

// connectorFaults lets networks of connectors fail at random, several sites at once.
func (b *bench) connectorFaults(ctx context.Context) error {
	var mu sync.Mutex
	var after []time.Duration
	var lasting []string
	var errs []error
	var wg sync.WaitGroup
	over := 0
	progress := func() {
		mu.Lock()
		defer mu.Unlock()
		if over++; over%10 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d faults are over\n", over, faultsEach*(sites-faultySite))
		}
	}
	for i := faultySite; i < sites; i++ {
		wg.Go(func() {
			heals, err := b.faultsOf(ctx, i, progress)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			for _, h := range heals {
				if h.Healed {
					after = append(after, h.After)
				} else {
					lasting = append(lasting, h.Event)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slices.Sort(lasting)
	return measure.Figure{
		"bench": "random faults at connectors", "seed": b.Lab.Seed, "lasting_s": [2]float64{faultsLeast.Seconds(), faultsMost.Seconds()}, "faults": len(after) + len(lasting), "recovered": len(after), "not_recovered": lasting,
		"p50_ms": measure.Milliseconds(measure.Quantile(after, 0.5)), "p99_ms": measure.Milliseconds(measure.Quantile(after, 0.99)),
		"max_ms": measure.Milliseconds(measure.Quantile(after, 1)), "wanted": "all recovered, p99 <= 5000 ms",
	}.Print(os.Stdout)
}

// faultsOf returns how clients got over each fault at a site, from the moment at which it ended.
func (b *bench) faultsOf(ctx context.Context, site int, progress func()) ([]lab.Heal, error) {
	l, err := b.load(ctx, client{site: site, rate: 10, resolve: at(b.Nodes[site%len(b.Nodes)])})
	if err != nil {
		return nil, err
	}
	faults, err := faultsAt(b.Sites[site], site)
	if err != nil {
		return nil, err
	}
	for i, f := range faults {
		faults[i].Start = func(r *rand.Rand) (string, func() error, error) {
			l.Mark("") // what fails from here on is the next fault's
			if err := measure.Pause(ctx, underWay); err != nil {
				return "", nil, err
			}
			return f.Start(r)
		}
	}
	in := b.Lab.Faults(b.Lab.Seed+uint64(site), faults...)
	err = in.Run(ctx, lab.Schedule{
		Count: faultsEach, Quiet: [2]time.Duration{6 * time.Second, 8 * time.Second}, Duration: [2]time.Duration{faultsLeast, faultsMost},
	}, func(step lab.Step, started bool) {
		if !started {
			l.Mark(step.String())
			progress()
		}
	})
	reports, ended := l.EndAfter(ctx, 8*time.Second)
	if err := errors.Join(err, ended); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(reports[0].Heals, func(h lab.Heal) bool { return strings.TrimSpace(h.Event) == "" }), nil
}

// faultsAt are what may happen to a connector: its network is away, both ways or one, and comes back as it was,
// with other translations or with another address; UDP alone is away; the machine is suspended.
func faultsAt(s *cluster.Site, site int) ([]lab.Fault, error) {
	k, err := s.Net.Router.Link()
	if err != nil {
		return nil, err
	}
	cut := func(name string, d lab.Direction, then func(r *rand.Rand) error) lab.Fault {
		return lab.Fault{Name: name, Start: func(r *rand.Rand) (string, func() error, error) {
			return s.Name, func() error { return errors.Join(then(r), k.Heal()) }, k.Cut(d)
		}}
	}
	same := func(*rand.Rand) error { return nil }
	turn := 0
	return []lab.Fault{
		cut("cut", lab.Both, same),
		cut("cut of what is sent", lab.Up, same),
		cut("cut of what comes", lab.Down, same),
		cut("cut, then other translations", lab.Both, func(*rand.Rand) error { return s.Net.Rebind() }),
		cut("cut, then another address", lab.Both, func(*rand.Rand) error {
			turn++
			return s.Net.ChangeWAN(fmt.Sprintf("198.18.%d.%d", 10+site, turn))
		}),
		{Name: "UDP blocked", Start: func(*rand.Rand) (string, func() error, error) {
			return s.Name, s.Net.Router.AllowUDP, s.Net.Router.BlockUDP()
		}},
		{Name: "suspended", Start: func(*rand.Rand) (string, func() error, error) {
			return s.Name, s.Proc.Resume, s.Proc.Pause()
		}},
	}, nil
}
