package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// pairLeast and pairMost are how long two faults last together.
const (
	pairLeast = time.Second
	pairMost  = 4 * time.Second
)

// pairsOfFaults lets every two of the lab's faults happen at once, and finds out when all nodes serve the first site
// again and when all else is well, without help.
func (b *bench) pairsOfFaults(ctx context.Context) error {
	faults := b.faultsOfAll()
	var served, whole []time.Duration
	var pairs [][2]int
	for i := range faults {
		for j := range i {
			pairs = append(pairs, [2]int{j, i})
		}
	}
	r := rand.New(rand.NewPCG(b.Lab.Seed, 0))
	r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for n, p := range pairs {
		in := b.Lab.Faults(r.Uint64(), faults[p[0]], faults[p[1]])
		var over time.Time
		err := in.Run(ctx, lab.Schedule{Count: 1, Pairs: 1, Duration: [2]time.Duration{pairLeast, pairMost}}, func(_ lab.Step, started bool) {
			if !started {
				over = time.Now()
			}
		})
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		what := faults[p[0]].Name + " and " + faults[p[1]].Name
		if err := b.Until(ctx, "the first site is served after "+what, b.servesFirst); err != nil {
			return err
		}
		served = append(served, time.Since(over))
		if err := b.settled(ctx); err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
		whole = append(whole, time.Since(over))
		if n%10 == 9 {
			fmt.Fprintf(os.Stderr, "%d of %d pairs are over\n", n+1, len(pairs))
		}
	}
	return measure.Figure{
		"bench": "every pair of faults", "seed": b.Lab.Seed, "lasting_s": [2]float64{pairLeast.Seconds(), pairMost.Seconds()}, "faults": len(faults), "pairs": len(pairs), "recovered": len(whole),
		"served_p50_ms": measure.Milliseconds(measure.Quantile(served, 0.5)), "served_max_ms": measure.Milliseconds(measure.Quantile(served, 1)),
		"whole_p50_ms": measure.Milliseconds(measure.Quantile(whole, 0.5)), "whole_max_ms": measure.Milliseconds(measure.Quantile(whole, 1)), "wanted": "all recovered without help",
	}.Print(os.Stdout)
}

// faultsOfAll are the faults that are known, each at a part of the cluster where it hurts.
func (b *bench) faultsOfAll() []lab.Fault {
	s, n := b.Sites[0], b.inside[0]
	var inside []*lab.Host
	for _, n := range b.inside {
		inside = append(inside, n.Host)
	}
	return []lab.Fault{
		lab.Killed(b.DB), lab.Killed(b.Cache), lab.Killed(b.Control[0]), lab.Paused(b.Control[1]), dead("control plane", b.Control...),
		lab.Killed(n.Proc), lab.Paused(b.inside[1].Proc), lab.Parted("nodes", []*lab.Host{b.outside.Host}, inside), lab.Lossy(b.outside.Host), lab.Full(n.Name, b.Disks[n.Name]), lab.Mistimed(n.Proc),
		lab.Killed(s.Proc), lab.Mistimed(s.Proc), lab.Severed(s.Net.Router), lab.Deaf(s.Net.Router), lab.Slow(s.Connector), b.elsewhere(s),
	}
}

// dead is several programs that are killed at once.
func dead(name string, all ...*lab.Process) lab.Fault {
	return lab.Fault{Name: "kill " + name, Start: func(*rand.Rand) (string, func() error, error) {
		for _, p := range all {
			p.Kill()
		}
		return "", func() (err error) {
			for _, p := range all {
				err = errors.Join(err, p.Restart())
			}
			return err
		}, nil
	}}
}

// elsewhere is a site that has another address from one moment to the next, each time.
func (b *bench) elsewhere(s *cluster.Site) lab.Fault {
	turn := 0
	return lab.Fault{Name: "another address of " + s.Name, Start: func(*rand.Rand) (string, func() error, error) {
		turn++
		return "", func() error { return nil }, s.Net.ChangeWAN(fmt.Sprintf("198.18.9.%d", turn))
	}}
}

// servesFirst returns nil when every node serves the first site.
func (b *bench) servesFirst() error {
	for _, n := range b.Nodes {
		if _, err := b.Curl("https://"+hostname(0)+"/", append(cluster.At(n, hostname(0)), "--max-time", "5")...); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}
