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
	faults := b.Faults(b.outside, b.inside)
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
			return b.withLogs(err)
		}
		served = append(served, time.Since(over))
		if err := b.settled(ctx); err != nil {
			return b.withLogs(fmt.Errorf("after %s: %w", what, err))
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

// servesFirst returns nil when every node serves the first site.
func (b *bench) servesFirst() error {
	for _, n := range b.Nodes {
		if _, err := b.Curl("https://"+hostname(0)+"/", append(cluster.At(n, hostname(0)), "--max-time", "5")...); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// withLogs adds what nodes said last: a pair that is not got over is rare, and the lab is gone afterwards.
func (b *bench) withLogs(err error) error {
	for _, n := range b.Nodes {
		err = fmt.Errorf("%w\n%s:\n%s", err, n.Name, n.Proc.Tail(20))
	}
	return err
}
