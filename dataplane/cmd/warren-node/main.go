// Command warren-node is an edge machine: it ends tunnels, answers DNS, forwards by SNI and port and routes HTTP, as
// the control plane says or as it last said.
package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/accesslog"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/apply"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/program"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/report"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
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
		Addresses: cfg.PublicAddresses, WireGuardEndpoint: cfg.WireGuardEndpoint, StreamEndpoint: cfg.StreamEndpoint, GossipEndpoint: cfg.GossipEndpoint,
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
	me := identity.Credentials{Cluster: id.Cluster, Certificate: id.Certificate, Authorities: id.Authorities}
	var proxy *httpproxy.Proxy // connections that it keeps may lead by what is gone
	tun, err := tunnel.New(tunnel.Options{
		Mode: cfg.Tunnel, Interface: cfg.Interface, Key: id.WG, ListenPort: cfg.Listen.WireGuard, Filter: tunnel.NodeRole,
		TLS: &me, Recall: filepath.Join(cfg.StateDir, "stock-peers.json"), Lost: func(peer string) { proxy.Reconnect(peer) }, Log: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	// In the order in which a request passes: DNS, SNI or ports, HTTP, fabric, carriers.
	dialled := func(from identity.Kind) *streams.Node {
		o := streams.NodeOptions{
			Credentials: me, From: from, Silent: func(peer string) { proxy.Reconnect(peer) },
			Log: log, Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"from": string(from)}, reg),
		}
		if from == identity.Connector {
			o.Stuck = func(connector string) {
				if _, err := tun.Renew(connector); err != nil {
					log.Warn("begin anew with a connector", "connector", connector, "err", err)
				}
			}
		}
		return streams.NewNode(o)
	}
	ends, others := dialled(identity.Connector), dialled(identity.Node)
	local := connector.NewLocal(nil, tun, log, reg)
	checks := health.New(local.DialTarget, log, reg)
	paths := fabric.New(fabric.Carriers{
		WireGuard: tun, Stream: ends, Nodes: others, Local: local,
		BothTUN: func(connector string) bool {
			return tun.Mode() == tunnel.ModeTUN && ends.TUN(connector) && tun.Transport(connector) == tunnel.TransportUDP
		},
	}, log, reg)
	relays := streams.NewConnector(streams.Options{
		Credentials: me, As: identity.Node, Handler: paths.RelayStream, TUN: func() bool { return false }, Drain: fabric.RelayDrain, Log: log, Registerer: reg,
	})
	targets := balance.NewHealth(log, reg)
	way := reach.Dialer{Dial: paths.DialTarget, Health: targets, Log: log}
	limit := inbound.NewLimiter(inbound.PerIP, inbound.MaxConns())
	asked, err := challenge.New(challenge.Options{HTTPS: cfg.HTTPSPort(), Limit: limit, Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	http, raw, wireguard, own, between, proofs := sni.NewHandoff(), sni.NewHandoff(), sni.NewHandoff(), sni.NewHandoff(), sni.NewHandoff(), sni.NewHandoff()
	forward := sni.New(sni.Options{
		Reach: way, Limit: limit, HTTP: http, TCP: raw, Log: log, Registerer: reg,
		Own: []sni.Own{
			{Protocol: tunnel.Protocol, To: wireguard}, {Protocol: streams.ProtocolControl, To: own}, {Protocol: streams.ProtocolStream, To: own},
			{Protocol: streams.ProtocolRelayControl, To: between}, {Protocol: streams.ProtocolRelay, To: between},
			{Protocol: challenge.Protocol, To: proofs, For: asked.Asked},
		},
	})
	ports := l4.New(l4.Options{Host: cfg.Listen.ForwardHost, Reach: way, Limit: limit, Log: log, Registerer: reg})
	requests, err := accesslog.Open(cfg.AccessLog, log)
	if err != nil {
		return err
	}
	proxy = httpproxy.New(paths.Dial, targets, log, reg, requests.Logger())
	names := dns.New(log, reg)

	open, err := listen(cfg.Listen, log)
	if err != nil {
		return err
	}
	sub := apply.Subsystems{
		Tunnel: tun, Streams: ends, Nodes: others, Relay: relays, Local: local, Checks: checks, Fabric: paths, Proxy: proxy, L4: ports, SNI: forward, DNS: names, Asked: asked, Health: targets, Trust: id.Trust,
		Up:   func(peer string) bool { return ends.Up(peer) || tun.Up(peer) },
		Load: newMeter(func() int { _, n := limit.Open(); return n }, inbound.MaxConns).load,
	}
	told, tell := talk(open, &sub, log, reg)
	end := newEnd(told, forward.Handed())
	restored := make(chan struct{}) // before that there is nothing to serve with: who has come already waits in a socket
	node := apply.NewNode(id.ID, sub, disk, log, reg)
	conns := ads.NewConns(cfg.Control, id.Credentials())
	tasks := []daemon.Task{
		tell,
		daemon.Func("follow", node.Follow),
		daemon.Func("state on disk", node.Keep),
		end.carrier(tun.String(), tun.Run),
		end.listener("relay", relays.Run),
		end.listener("relay in tunnels", func(ctx context.Context) error {
			l, err := tun.Listen(ctx, fabric.RelayPort)
			if err != nil {
				return program.Ended(ctx, err)
			}
			return paths.ServeRelay(ctx, l)
		}),
		end.carrier("wireguard in tls", func(ctx context.Context) error { return tun.ServeTLS(ctx, wireguard) }),
		end.carrier("streams", func(ctx context.Context) error { return ends.Serve(ctx, own) }),
		end.carrier("streams to nodes", func(ctx context.Context) error { return others.Serve(ctx, between) }),
		end.carrier(local.String(), local.Run),
		checks,
		end.taker("http", func(ctx context.Context) error { return proxy.Serve(ctx, http) }),
		end.taker("tls", func(ctx context.Context) error { return ports.ServeTLS(ctx, raw) }),
		end.taker("tls challenges", func(ctx context.Context) error { return asked.TLS(ctx, proofs) }),
		end.listener(ports.String(), ports.Run),
		end.listener("sni", after(restored, func(ctx context.Context) error { return forward.Serve(ctx, open.https) })),
		end.listener("dns", after(restored, func(ctx context.Context) error {
			return names.Serve(ctx, []net.PacketConn{open.dnsUDP}, open.dnsTCP)
		})),
		daemon.Func("snapshot", func(ctx context.Context) error {
			defer conns.Close()
			state, err := node.Restore(ctx) // serve what was last known, then ask what is new
			if err != nil {
				return program.Ended(ctx, err)
			}
			close(restored)
			client := ads.New(ads.Options{Conns: conns, NodeID: id.ID, Types: resource.NodeTypes(), State: state, Handler: node, Log: log, Reg: reg})
			reports := report.New(conns, report.Source{Applied: client.Applied, Tunnels: tun.Peers, Carrier: paths.CarrierOf, Targets: checks.States}, log, reg)
			return daemon.Group(ctx, client, reports, join.NewRenewer(id, conns), join.NewAnnouncer(where, conns, log))
		}),
	}
	if open.http != nil {
		tasks = append(tasks, end.listener("http without tls", after(restored, func(ctx context.Context) error { return asked.Plain(ctx, open.http) })))
	}
	if requests != nil {
		tasks = append(tasks, requests)
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, program.Ready(node.Ready), reg))
	}
	log.Info("starting", "version", version.Version, "https", cfg.Listen.HTTPS, "dns", cfg.Listen.DNS, "wireguard", cfg.Listen.WireGuard)
	return daemon.RunDraining(ctx, log, daemon.Drain{Begin: node.Drained(), Do: drain(node.Leave, cfg.DrainTime)}, tasks...)
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
