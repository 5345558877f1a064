// Command failover breaks a cluster of the real programs and prints what clients saw of it, one JSON line a figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the four programs")
	only := flag.String("run", "", "regular expression: the scenarios to run (default all)")
	flag.Parse()
	which, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "failover: -help lists the flags;", errors.Join(err))
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = lab.Program(os.Stderr, func(l *lab.Lab) error {
		b, err := start(ctx, l, *bin)
		if err != nil {
			return err
		}
		return b.run(ctx, which)
	})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// A scenario is one thing that goes wrong. It leaves the cluster as it found it.
type scenario struct {
	name string
	run  func(ctx context.Context) error
}

func (b *bench) scenarios() []scenario {
	return []scenario{
		{"relay", b.relayHop},
		{"node-killed", func(ctx context.Context) error { return b.nodeGone(ctx, "node killed", kill) }},
		{"node-lost", func(ctx context.Context) error { return b.nodeGone(ctx, "node's cable cut", unplug) }},
		{"node-killed-without-control", b.nodeKilledWithoutControl},
		{"udp-dropped", func(ctx context.Context) error { return b.udpDropped(ctx, "auto") }},
		{"udp-dropped-wireguard", func(ctx context.Context) error { return b.udpDropped(ctx, "wireguard") }},
		{"tcp-dropped", b.tcpDropped},
		{"replica-stopped", b.replicaStopped},
		{"node-drained", b.nodeDrained},
		{"connector-killed", func(ctx context.Context) error { return b.connectorGone(ctx, "connector killed", kill) }},
		{"connector-lost", func(ctx context.Context) error { return b.connectorGone(ctx, "connector's cable cut", unplug) }},
		{"ports", b.portsMoved},
		{"connector-faults", b.connectorFaults},
		{"pairs", b.pairsOfFaults},
	}
}

func (b *bench) run(ctx context.Context, which *regexp.Regexp) error {
	for _, s := range b.scenarios() {
		if !which.MatchString(s.name) {
			continue
		}
		since := time.Now()
		if err := b.settled(ctx); err != nil {
			return fmt.Errorf("before %s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: settled after %v\n", s.name, time.Since(since).Round(time.Millisecond))
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// sites are the first one, which nodes are killed under; the second, whose network loses UDP; and those that
// random faults meet.
const (
	sites      = 22
	faultySite = 2 // the first of them
)

// bench is a cluster with one HTTP service at each site.
type bench struct {
	*cluster.Cluster
	outside *cluster.Node   // keeps no tunnel to the first site: it relays
	inside  []*cluster.Node // keep one
}

func hostname(site int) string { return fmt.Sprintf("app%d.%s", site+1, cluster.Domain) }

func start(ctx context.Context, l *lab.Lab, bin string) (*bench, error) {
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: bin, Sites: sites})
	if err != nil {
		return nil, err
	}
	b := &bench{Cluster: c}
	yaml := "apiVersion: warren/v1\nkind: Site\nmetadata: {name: s1}\nspec: {pool: default, tunnels: 2}\n"
	for i, s := range c.Sites {
		addr := fmt.Sprintf("10.77.%d.10", i+1)
		if err := c.Web(s, "web", addr, 8080); err != nil {
			return nil, err
		}
		yaml += "---\n" + cluster.Service(fmt.Sprintf("app%d", i+1), "http", hostname(i), s.Name, addr, 8080)
	}
	if err := c.Apply(yaml, "--wait"); err != nil {
		return nil, err
	}
	err = c.Until(ctx, "two of three nodes keep a tunnel to the first site", func() error {
		out, in, err := c.Without(c.Sites[0])
		if err != nil || len(out) != 1 || len(in) != 2 {
			return fmt.Errorf("%d of %d do: %w", len(in), len(out)+len(in), err)
		}
		b.outside, b.inside = out[0], in
		return nil
	})
	return b, err
}

// settled waits until everything is up, named and served.
func (b *bench) settled(ctx context.Context) error {
	return b.Until(ctx, "the cluster is whole", func() error {
		if _, err := b.Warren("status"); err != nil {
			return err
		}
		for _, n := range b.Nodes {
			named, err := b.named(ctx, n, hostname(0))
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			if len(named) != len(b.Nodes) {
				return fmt.Errorf("%s names %v", n.Name, named)
			}
			for i := range b.Sites {
				if _, err := b.Curl("https://"+hostname(i)+"/", cluster.At(n, hostname(i))...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
