// Command warren-node is an edge machine: it ends tunnels, answers DNS, forwards by SNI and port and routes HTTP, as
// the control plane says or as it last said.
package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/apply"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/logsink"
	"github.com/warrenedge/warren/dataplane/program"
	"github.com/warrenedge/warren/dataplane/redeem"
	"github.com/warrenedge/warren/dataplane/report"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/tell"
	"github.com/warrenedge/warren/dataplane/uses"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/daemon"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/version"
)

func main() {
	program.Main("warren-node", "An edge machine of a Warren",
		"An edge machine of a Warren: tunnels, DNS, SNI forwarding, TLS, HTTP routing, TCP and UDP ports.\n\n"+
			"Settings come from a YAML file, then from WARREN_NODE_… variables. At the first start it joins with the token in\n"+
			"token_file (made with: warren node join NAME --token-file FILE). It serves from its state directory when the control\n"+
			"plane is away.\n\n"+
			"SIGTERM or SIGINT: the other nodes stop naming it, it serves on for drain_time, then ends what is under way, in 30 s at\n"+
			"most. A second signal skips drain_time; one more kills it.",
		func(path string) (string, error) {
			cfg, err := config.LoadNode(path)
			if err != nil {
				return "", err
			}
			return cfg.Listen.Admin, nil
		},
		func(ctx context.Context, path string) error {
			cfg, err := config.LoadNode(path)
			if err != nil {
				return program.Usage(err)
			}
			return run(ctx, cfg, cfg.Logger(os.Stderr))
		})
}

func run(ctx context.Context, cfg *config.Node, log *slog.Logger) error {
	reg := program.Registry()
	where := join.Where{
		Addresses: cfg.PublicAddresses, Name: cfg.PublicName, Every: cfg.PublicNameEvery, WireGuardEndpoint: cfg.WireGuardEndpoint, StreamEndpoint: cfg.StreamEndpoint, GossipEndpoint: cfg.GossipEndpoint,
	}
	id, err := join.Load(ctx, join.Options{
		Dir: cfg.StateDir, Kind: identity.Node, Name: cfg.Name, Control: cfg.Control, TokenFile: cfg.TokenFile, Token: cfg.Token,
		Where: where, Log: log,
	})
	if err != nil {
		return err
	}
	log = log.With("node", id.ID)
	disk, err := apply.OpenDisk(cfg.StateDir, id.ID, log)
	if err != nil {
		return err
	}
	var f *front
	w, err := newWays(cfg, id, func(peer string, by ...string) { f.proxy.Silent(peer, by...) }, log, reg)
	if err != nil {
		return err
	}
	conns := ads.NewConns(cfg.Control, id.Credentials())
	if f, err = newFront(cfg, id.Cluster, w, redeem.New(conns), uses.New(conns), log, reg); err != nil {
		return err
	}
	open, err := listen(cfg.Listen, log)
	if err != nil {
		return err
	}
	clients := func() int { _, n := f.limit.Open(); return n }
	sub := apply.Subsystems{
		Tunnel: w.tun, Streams: w.ends, Nodes: w.others, Relay: w.relays, Local: w.local, Checks: w.checks, Fabric: w.fabric,
		Proxy: f.proxy, L4: f.ports, SNI: f.forward, Tenants: f.tenants, Access: f.access, Sessions: f.sessions, Gate: f.gate, DNS: f.names, Asked: f.asked, Health: f.targets, Trust: id.Trust, Up: w.up, Changes: w.changes.Load,
		Load: newMeter(clients, inbound.MaxConns).load,
	}
	told, tell := talk(open, &sub, log, reg)
	node := apply.NewNode(id.ID, sub, disk, log, reg)
	restored := make(chan struct{}) // before that there is nothing to serve with: who has come already waits in a socket
	tasks := append([]daemon.Task{tell, program.Thrift{}, daemon.Func("follow", node.Follow), daemon.Func("state on disk", node.Keep), f.sessions, f.openNow},
		serving(w, f, open, newEnd(told, f.forward.Handed()), restored, recording(f.requests, cfg.RequestLog.KeepHere, ads.NewConns(cfg.Control, id.Credentials()), logsink.New(cfg.RequestLog.Sinks, cfg.Name, log, reg), log, reg))...)
	tasks = append(tasks, daemon.Func("snapshot", func(ctx context.Context) error {
		defer conns.Close()
		state, err := node.Restore(ctx) // serve what was last known, then ask what is new
		if err != nil {
			return program.Ended(ctx, err)
		}
		close(restored)
		client := ads.New(ads.Options{Conns: conns, NodeID: id.ID, Types: resource.NodeTypes(), State: state, Handler: node, Log: log, Reg: reg})
		reports := report.New(conns, report.Source{Applied: client.Applied, Tunnels: w.tun.Peers, Changes: w.changes.Load, Carrier: w.fabric.CarrierOf, Targets: w.checks.States, Failing: f.targets.Failing, Load: newMeter(clients, inbound.MaxConns).report, Places: f.knownPlaces}, log, reg)
		return daemon.Group(ctx, client, reports, join.NewRenewer(id, conns, reg), join.NewAnnouncer(where, nil, conns, log))
	}))
	tasks = append(tasks, f.places)
	if f.lines != nil {
		tasks = append(tasks, f.lines)
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, program.Ready(node.Ready), reg))
	}
	log.Info("starting", "version", version.Version, "https", cfg.Listen.HTTPS, "dns", cfg.Listen.DNS, "wireguard", cfg.Listen.WireGuard)
	return daemon.RunDraining(ctx, log, daemon.Drain{Begin: node.Drained(), Do: drain(node.Leave, cfg.DrainTime)}, tasks...)
}

// serving is the tasks that carry connections, each with its place in the order of the end. Listeners begin when
// what was last known is restored.
func serving(w *ways, f *front, open *listeners, end *end, restored <-chan struct{}, record func(context.Context) error) []daemon.Task {
	tasks := []daemon.Task{
		end.carrier(w.tun.String(), w.tun.Run),
		end.listener("relay", w.relays.Run),
		end.listener("relay in tunnels", func(ctx context.Context) error {
			l, err := w.tun.Listen(ctx, fabric.RelayPort)
			if err != nil {
				return program.Ended(ctx, err)
			}
			return w.fabric.ServeRelay(ctx, l)
		}),
		end.carrier("wireguard in tls", func(ctx context.Context) error { return w.tun.ServeTLS(ctx, f.wireguard) }),
		end.carrier("streams", func(ctx context.Context) error { return w.ends.Serve(ctx, f.own) }),
		end.carrier("streams to nodes", func(ctx context.Context) error { return w.others.Serve(ctx, f.between) }),
		end.carrier(w.local.String(), w.local.Run),
		end.carrier("request log", record),
		w.checks,
		end.taker("http", func(ctx context.Context) error { return f.proxy.Serve(ctx, f.http) }),
		end.taker("tls", func(ctx context.Context) error { return f.ports.ServeTLS(ctx, f.raw) }),
		end.taker("tls challenges", func(ctx context.Context) error { return f.asked.TLS(ctx, f.proofs) }),
		end.listener(f.ports.String(), f.ports.Run),
		end.listener("sni", after(restored, func(ctx context.Context) error { return f.forward.Serve(ctx, open.https) })),
		end.listener("dns", after(restored, func(ctx context.Context) error {
			return f.names.Serve(ctx, []net.PacketConn{open.dnsUDP}, open.dnsTCP)
		})),
	}
	if open.http != nil {
		tasks = append(tasks, end.listener("http without tls", after(restored, func(ctx context.Context) error { return f.asked.Plain(ctx, open.http) })))
	}
	return tasks
}

// tellTime is how long a node that ends goes on telling what became of the last requests.
const tellTime = 2 * time.Second

// recording collects what became of requests and tells it. It has a connection of its own: that must neither hold up what
// is to be served, nor end before the last request is over. What the operator keeps here goes to his sinks alone.
func recording(requests *requestlog.Log, keepHere bool, conns *ads.Conns, sinks *logsink.Sinks, log *slog.Logger, reg prometheus.Registerer) func(context.Context) error {
	teller := tell.New(conns, requests, log, reg)
	if keepHere {
		requests.Consume(tell.Sums{Teller: teller})
	} else {
		requests.Consume(teller)
	}
	requests.Consume(sinks)
	return func(ctx context.Context) error {
		defer conns.Close()
		later, stop := context.WithCancel(context.WithoutCancel(ctx))
		var telling sync.WaitGroup
		telling.Go(func() { _ = teller.Run(later) }) // it has no error of its own
		telling.Go(func() { _ = sinks.Run(later) })
		err := requests.Run(ctx)
		teller.Flush(tellTime)
		sinks.Flush(tellTime)
		stop()
		telling.Wait()
		return err
	}
}

// talk makes the gossip a subsystem, if there are sockets for it. told is closed when the other nodes know
// that this one ends.
func talk(open *listeners, sub *apply.Subsystems, log *slog.Logger, reg prometheus.Registerer) (told <-chan struct{}, t daemon.Task) {
	if open.gossipTCP == nil {
		nobody := make(chan struct{})
		close(nobody)
		return nobody, daemon.Func("gossip", func(ctx context.Context) error { <-ctx.Done(); return nil })
	}
	g := gossip.New(gossip.Options{Log: log, Registerer: reg})
	sub.Gossip = g
	return g.Left(), daemon.Func("gossip", func(ctx context.Context) error { return g.Serve(ctx, open.gossipUDP, open.gossipTCP) })
}
