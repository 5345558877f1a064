// Command tunnel measures the ways through a connector beside those of other tunnels, one JSON line a figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

func main() {
	bin := flag.String("bin", "bin", "folder of Warren's programs")
	peers := flag.String("peers", ".bin/peers", "folder of frps, frpc and chisel")
	only := flag.String("run", "", "regular expression: the parts to run, of idle, http, relay, flood, loss (default all)")
	congestion := flag.String("congestion", "", "congestion control of every host, such as bbr or cubic (default the system's)")
	flood := flag.String("flood", "", "be the flooder that JSON tells of")
	flag.Parse()
	which, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "tunnel: -help lists the flags;", errors.Join(err))
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	if *flood != "" {
		err = runFlooder(ctx, *flood)
	} else {
		err = lab.Program(os.Stderr, func(l *lab.Lab) error { return run(ctx, l, *bin, *peers, *congestion, which) })
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tunnel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, l *lab.Lab, bin, peers, congestion string, which *regexp.Regexp) error {
	b, err := start(ctx, l, bin, peers, which.MatchString("http") || which.MatchString("loss"))
	if err == nil && congestion != "" {
		err = b.control(ctx, congestion)
	}
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"idle", b.idle}, {"http", b.http}, {"relay", b.relay}, {"flood", b.flood}, {"loss", b.loss}} {
		if !which.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// bench is two nodes, of which the first serves all but relays, and a site for each carrier: the first site is left
// to its choice, the second is pinned to WireGuard. The third has a tunnel to one node only. The peers' programs, and
// WireGuard's own devices, stand on hosts beside ours.
type bench struct {
	*cluster.Cluster
	node  *cluster.Node
	away  *lab.Host // on the internet, for connections that no tunnel carries
	paths map[string]path
}

// Names of paths.
const (
	direct    = "direct kernel TCP"
	stream    = "warren, stream carrier"
	wireguard = "warren, WireGuard on netstack"
	stock     = "WireGuard, stock tun/netstack"
	frp       = "frp 0.61, TLS, mux"
	chisel    = "chisel 1.10.1"
)

// Ports of targets.
const (
	rawPort = 9000
	webPort = 9001
	appPort = 9002
)

// start starts a cluster, and its peers if they will be compared with.
func start(ctx context.Context, l *lab.Lab, bin, peers string, compared bool) (*bench, error) {
	peers, err := filepath.Abs(peers)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{"frps", "frpc", "chisel"} {
		if _, err := os.Stat(filepath.Join(peers, p)); err != nil && compared {
			return nil, fmt.Errorf("make bench-tunnel builds the peers: %w", err)
		}
	}
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: bin, Nodes: 2, Sites: 3, Replicas: 1})
	if err != nil {
		return nil, err
	}
	b := &bench{Cluster: c, node: c.Nodes[0], away: l.Host("away", "198.18.6.3"), paths: map[string]path{}}
	yaml := "apiVersion: warren/v1\nkind: Site\nmetadata: {name: s2}\nspec: {pool: default, carrier: wireguard}\n" +
		"---\napiVersion: warren/v1\nkind: Site\nmetadata: {name: s3}\nspec: {pool: default, tunnels: 1}\n"
	for i, s := range c.Sites {
		target, addr := s.Net.Host(s.Name+"-target", fmt.Sprintf("10.77.%d.10", i+1)), fmt.Sprintf("10.77.%d.10", i+1)
		b.serve(target.Listen)
		for kind, port := range map[string]int{"raw": rawPort, "web": webPort} {
			name := kind + s.Name
			yaml += "---\n" + cluster.Service(name, "tls", name+"."+cluster.Domain, s.Name, addr, port)
		}
		yaml += "---\n" + cluster.Service("app"+s.Name, "http", "app"+s.Name+"."+cluster.Domain, s.Name, addr, appPort)
	}
	if err := c.Apply(yaml, "--wait"); err != nil {
		return nil, err
	}
	if compared {
		if err := b.startPeers(peers); err != nil {
			return nil, err
		}
		if err := b.startStock(); err != nil {
			return nil, err
		}
	}
	for i, name := range []string{stream, wireguard} {
		s := c.Sites[i]
		b.paths[name] = path{programs: []*lab.Process{b.node.Proc, s.Proc}, from: c.Client, at: map[int]endpoint{
			rawPort: {b.node.Host.Addr, 443, "raw" + s.Name + "." + cluster.Domain}, webPort: {b.node.Host.Addr, 443, "web" + s.Name + "." + cluster.Domain},
		}}
	}
	return b, b.answer(ctx)
}

// answer waits until every path does.
func (b *bench) answer(ctx context.Context) error {
	return b.Until(ctx, "every path answers", func() error {
		for name, p := range b.paths {
			if err := p.answers(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

// startPeers starts servers of the peers on internet hosts and clients on one host of the first site.
func (b *bench) startPeers(folder string) error {
	program := func(name string) string { return filepath.Join(folder, name) }
	target, client := "10.77.1.10", b.Sites[0].Net.Host("s1-peers", "10.77.1.20")

	server := b.Lab.Host("frps", "198.18.6.1")
	conf, err := b.Write("frps.toml", "bindPort = 7000\ntransport.tls.force = true\n")
	if err != nil {
		return err
	}
	frpc := "serverAddr = \"198.18.6.1\"\nserverPort = 7000\nloginFailExit = false\ntransport.tls.enable = true\ntransport.tcpMux = true\n"
	for _, port := range []int{rawPort, webPort} {
		frpc += fmt.Sprintf("[[proxies]]\nname = \"p%[1]d\"\ntype = \"tcp\"\nlocalIP = %[2]q\nlocalPort = %[1]d\nremotePort = %[1]d\n", port, target)
	}
	frpcConf, err := b.Write("frpc.toml", frpc)
	if err != nil {
		return err
	}
	b.paths[frp] = path{from: b.Client, at: at(server, "raws1."+cluster.Domain), programs: []*lab.Process{
		server.Start("frps", nil, program("frps"), "-c", conf), client.Start("frpc", nil, program("frpc"), "-c", frpcConf),
	}}

	server = b.Lab.Host("chisel", "198.18.6.2")
	remotes := []string{"client", "http://198.18.6.2:8080"}
	for _, port := range []int{rawPort, webPort} {
		remotes = append(remotes, fmt.Sprintf("R:%[1]d:%[2]s:%[1]d", port, target))
	}
	b.paths[chisel] = path{from: b.Client, at: at(server, "raws1."+cluster.Domain), programs: []*lab.Process{
		server.Start("chisel-server", nil, program("chisel"), "server", "--port", "8080", "--reverse"),
		client.Start("chisel-client", nil, program("chisel"), remotes...),
	}}
	return nil
}

// control lets every connection that is made from now on use a congestion control: programs start again, so that
// they have no others.
func (b *bench) control(ctx context.Context, congestion string) error {
	for _, h := range b.Lab.Hosts() {
		if err := set(h, "tcp_congestion_control", congestion); err != nil {
			return err
		}
	}
	restarted := map[*lab.Process]bool{}
	for _, p := range b.paths {
		for _, program := range p.programs {
			if restarted[program] {
				continue
			}
			restarted[program] = true
			if err := program.Restart(); err != nil {
				return err
			}
		}
	}
	return b.answer(ctx)
}

// set sets one of a host's settings of IPv4.
func set(h *lab.Host, key, value string) error {
	return h.In(func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+key, []byte(value), 0o644); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		return nil
	})
}

// idle prints what a connector holds that has nothing to do.
func (b *bench) idle(ctx context.Context) error {
	if err := measure.Pause(ctx, 5*time.Second); err != nil {
		return err
	}
	const interval = 5 * time.Second
	for i, carrier := range []string{"auto", "wireguard"} {
		p := b.Sites[i].Proc
		before, err := measure.CPU(p)
		if err != nil {
			return err
		}
		if err := measure.Pause(ctx, interval); err != nil {
			return err
		}
		after, err := measure.CPU(p)
		if err != nil {
			return err
		}
		mib, err := measure.Resident(p)
		if err != nil {
			return err
		}
		err = measure.Figure{
			"bench": "idle connector", "carrier": carrier, "resident_mib": mib, "cpu_percent": measure.Round(100 * float64(after-before) / float64(interval)), "wanted": "<= 30 MiB",
		}.Print(os.Stdout)
		if err != nil {
			return err
		}
	}
	return nil
}
