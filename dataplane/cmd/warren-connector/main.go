// Command warren-connector stands in a private network: it digs tunnels to the nodes, and carries streams to
// the targets that its snapshot allows.
package main

import (
	"context"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/apply"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/docker"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/listening"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/dataplane/program"
	"github.com/warrenedge/warren/dataplane/publish"
	"github.com/warrenedge/warren/dataplane/report"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/daemon"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/version"
)

func main() {
	program.Main("warren-connector", "The agent of a Warren in a private network",
		"The agent of a Warren in a private network. It needs no privilege and no open port. Where it may make a TUN\n"+
			"interface (CAP_NET_ADMIN and /dev/net/tun), its tunnels are faster.\n\n"+
			"Settings come from a YAML file, then from WARREN_CONNECTOR_… variables. At the first start it joins with the token in\n"+
			"token_file (made with: warren site join SITE NAME --token-file FILE).",
		func(path string) (string, error) {
			cfg, err := config.LoadConnector(path)
			if err != nil {
				return "", err
			}
			return cfg.Listen.Admin, nil
		},
		func(ctx context.Context, path string) error {
			cfg, err := config.LoadConnector(path)
			if err != nil {
				return program.Usage(err)
			}
			return run(ctx, cfg, cfg.Logger(os.Stderr))
		})
}

func run(ctx context.Context, cfg *config.Connector, log *slog.Logger) error {
	reg := program.Registry()
	id, err := join.Load(ctx, join.Options{
		Dir: cfg.StateDir, Kind: identity.Connector, Name: cfg.Name, Control: cfg.Control, TokenFile: cfg.TokenFile, Token: cfg.Token, Log: log,
	})
	if err != nil {
		return err
	}
	log = log.With("connector", id.ID)
	disk, err := apply.OpenDisk(cfg.StateDir, id.ID, log)
	if err != nil {
		return err
	}
	var dials *streams.Connector
	tun, err := tunnel.New(tunnel.Options{
		Mode: cfg.Tunnel, Interface: cfg.Interface, Key: id.WG, Filter: tunnel.ConnectorRole,
		TLS:     &identity.Credentials{Cluster: id.Cluster, Certificate: id.Certificate, Authorities: id.Authorities},
		Changed: func(c liveness.Change) { dials.Doubt(c.Peer) }, Log: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	targets := connector.New(nil, log, reg)
	checks := health.New(targets.DialTarget, log, reg)
	dials = streams.NewConnector(streams.Options{
		Credentials: identity.Credentials{Cluster: id.Cluster, Certificate: id.Certificate, Authorities: id.Authorities},
		As:          identity.Connector, Handler: targets.Stream, TUN: func() bool { return tun.Mode() == tunnel.ModeTUN }, Stuck: tun.Stuck, Watched: tun.Watched, Missed: tun.Missed, Log: log, Registerer: reg,
	})
	site := apply.NewConnector(id.ID, id.Overlay, apply.Site{Tunnel: tun, Streams: dials, Connector: targets, Checks: checks, Trust: id.Trust}, disk, log, reg)
	conns := ads.NewConns(cfg.Control, id.Credentials())
	tasks := []daemon.Task{
		tun,
		daemon.Func("streams in the tunnel", func(ctx context.Context) error {
			l, err := tun.Listen(ctx, fabric.ConnectorPort)
			if err != nil {
				return program.Ended(ctx, err)
			}
			return targets.Serve(ctx, l)
		}),
		dials,
		checks,
		program.Thrift{},
		daemon.Func("state on disk", site.Keep),
		daemon.Func("snapshot", func(ctx context.Context) error {
			defer conns.Close()
			state, err := site.Restore(ctx)
			if err != nil {
				return program.Ended(ctx, err)
			}
			client := ads.New(ads.Options{Conns: conns, NodeID: id.ID, Types: resource.ConnectorTypes(), State: state, Handler: site, Log: log, Reg: reg})
			reports := report.New(conns, report.Source{Applied: client.Applied, Tunnels: tun.Peers, Targets: checks.States, Ports: ports(cfg)}, log, reg)
			return daemon.Group(ctx, append(labels(cfg, conns, log, reg), client, reports, join.NewRenewer(id, conns, reg))...)
		}),
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, program.Ready(site.Ready), reg))
	}
	log.Info("starting", "version", version.Version)
	return daemon.Run(ctx, log, tasks...)
}

// ports tells on which ports this machine listens, without our own; nil: the settings say that it is nobody's business.
func ports(cfg *config.Connector) func() []uint16 {
	if !cfg.TellPorts {
		return nil
	}
	var own []uint16
	if at, err := net.ResolveTCPAddr("tcp", cfg.Listen.Admin); err == nil && at.Port > 0 {
		own = append(own, uint16(at.Port))
	}
	return listening.New(own...).Ports
}

// labels are the tasks that publish what labels of containers ask for, where the settings name an engine. Where they don't,
// what was published when they did is withdrawn.
func labels(cfg *config.Connector, conns *ads.Conns, log *slog.Logger, reg prometheus.Registerer) []daemon.Task {
	publisher := publish.New(conns, log, reg)
	engine, on := cfg.Docker.Labels()
	if !on {
		return []daemon.Task{daemon.Func("withdraw", publisher.Withdraw)}
	}
	return []daemon.Task{publisher, docker.New(engine, publisher.Set, log, reg)}
}
