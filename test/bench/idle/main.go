// Command idle measures what sites cost a node that do nothing. The node is the real program in a cluster of the lab;
// its peers, two thousand of which this machine can't hold as whole connectors, are what it would hear of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// options are the command's.
type options struct {
	bin      string
	tunnel   string
	sites    int
	settle   time.Duration
	measured time.Duration
	profile  string
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of Warren's programs")
	flag.StringVar(&o.tunnel, "tunnel", "tun", "the node's tunnel: tun or netstack")
	flag.IntVar(&o.sites, "sites", 2000, "how many sites there are")
	flag.DurationVar(&o.settle, "settle", 150*time.Second, "until heartbeats are at their pace of idleness, and garbage of the beginning is gone")
	flag.DurationVar(&o.measured, "measured", 2*time.Minute, "how long the processor is counted: a session of WireGuard takes two minutes")
	flag.StringVar(&o.profile, "profile", "", "folder for profiles of the node")
	peers := flag.String("peers", "", "be the peers that a file tells of")
	flag.Parse()
	if flag.NArg() > 0 || o.sites < 1 {
		fmt.Fprintln(os.Stderr, "idle: -help lists the flags; there is at least one site")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var err error
	if *peers != "" {
		err = runPeers(ctx, *peers)
	} else {
		err = lab.Program(os.Stderr, func(l *lab.Lab) error { return run(ctx, l, o) })
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, l *lab.Lab, o options) error {
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: o.bin, Nodes: 1, Sites: 1, Replicas: 1, Tunnels: []string{o.tunnel}, Patience: 5 * time.Minute})
	if err != nil {
		return err
	}
	n := c.Nodes[0].Proc
	if err := measure.Pause(ctx, 10*time.Second); err != nil {
		return err
	}
	empty, err := measure.ResidentOf(n.PID())
	if err != nil {
		return err
	}
	if err := addSites(ctx, c, o.sites); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d sites are up\n", o.sites)
	if err := measure.Pause(ctx, o.settle); err != nil {
		return err
	}
	before, err := measure.CPU(n)
	if err != nil {
		return err
	}
	profiled := o.begin(c)
	since := time.Now()
	if err := measure.Pause(ctx, o.measured); err != nil {
		return err
	}
	after, err := measure.CPU(n)
	took := time.Since(since)
	resident, rerr := measure.ResidentOf(n.PID())
	if err := errors.Join(err, rerr, <-profiled); err != nil {
		return err
	}
	if up := said(c); up != o.sites {
		return fmt.Errorf("%d of %d sites are up at the end", up, o.sites)
	}
	return measure.Figure{
		"bench": "idle sites on one node", "sites": o.sites, "tunnel": o.tunnel, "resident_mib": measure.Round(float64(resident) / 1024), "resident_mib_without_sites": measure.Round(float64(empty) / 1024),
		"resident_kib_per_site": measure.Round((float64(resident) - float64(empty)) / float64(o.sites)), "cpu_percent": measure.Round(100 * float64(after-before) / float64(took)),
		"wanted": "<= 100 KiB each, <= 3 % CPU for 2000",
	}.Print(os.Stdout)
}

// addSites makes sites with a connector each and returns when all are up, by both carriers.
func addSites(ctx context.Context, c *cluster.Cluster, sites int) error {
	all, err := enlist(ctx, c, sites)
	if err != nil {
		return err
	}
	file, err := c.Write("peers.json", all)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	host := c.Lab.Host("peers", "198.18.7.1")
	host.Run("ip", "route", "add", "local", peersNet, "dev", "lo") // each peer calls from an address of its own
	c.Nodes[0].Host.Run("ip", "route", "add", peersNet, "via", "198.18.7.1")
	p := host.Start("peers", nil, program, "-peers", file)
	return lab.Wait(ctx, 15*time.Minute, "all sites are up", func() error {
		if !p.Running() {
			return fmt.Errorf("the peers have ended: %s", p.Tail(3))
		}
		if up := said(c); up != sites {
			return fmt.Errorf("%d of %d are", up, sites)
		}
		return nil
	})
}

// said is the number of peers that were up when they said so last.
func said(c *cluster.Cluster) (up int) {
	b, err := os.ReadFile(filepath.Join(c.Lab.Dir(), "peers.log"))
	if err != nil {
		return 0
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	_, _ = fmt.Sscanf(lines[len(lines)-1], upFormat, &up)
	return up
}

// begin takes profiles of the node while it is measured, if they are wanted; that of memory is after a collection.
func (o options) begin(c *cluster.Cluster) <-chan error {
	done := make(chan error, 1)
	if o.profile == "" {
		done <- nil
		return done
	}
	dir, err := filepath.Abs(o.profile)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		done <- err
		return done
	}
	fetch := func(path, file string) error {
		out, err := c.Nodes[0].Host.Command("curl", "-sf", "-o", filepath.Join(dir, file), "http://127.0.0.1:9090"+path).CombinedOutput()
		if err != nil {
			return fmt.Errorf("profile %s: %w: %s", file, err, out)
		}
		return nil
	}
	go func() {
		err := fetch(fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(o.measured.Seconds())), "node.cpu")
		done <- errors.Join(err, fetch("/debug/pprof/heap", "node.mem"), fetch("/debug/pprof/goroutine", "node.goroutines"), fetch("/metrics", "node.metrics"))
	}()
	return done
}
