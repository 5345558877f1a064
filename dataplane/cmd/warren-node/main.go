// Command warren-node is an edge machine: it ends tunnels, answers DNS, forwards by SNI and routes HTTP, as
// the control plane says or as it last said.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/apply"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/report"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/daemon"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/version"
)

func main() {
	var path string
	cmd := &cobra.Command{
		Use: "warren-node", Short: "An edge machine of a Warren", Version: version.Version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Long: "An edge machine of a Warren: tunnels, DNS, SNI forwarding, TLS, HTTP routing.\n\n" +
			"Settings come from a YAML file, then from WARREN_NODE_… variables. At the first start it joins with the token in\n" +
			"token_file (made with: warren node join NAME --token-file FILE). It serves from its state directory when the control\n" +
			"plane is away.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadNode(path)
			if err != nil {
				return usage{err}
			}
			return run(cmd.Context(), cfg, cfg.Logger(os.Stderr))
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "settings `file`")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "warren-node:", err)
		if _, ok := errors.AsType[usage](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usage is a mistake in how the program was called.
type usage struct{ error }

func run(ctx context.Context, cfg *config.Node, log *slog.Logger) error {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	id, err := join.Load(ctx, join.Options{
		Dir: cfg.StateDir, Kind: identity.Node, Name: cfg.Name, Control: cfg.Control, TokenFile: cfg.TokenFile, Token: cfg.Token,
		Addresses: cfg.PublicAddresses, WireGuardEndpoint: cfg.WireGuardEndpoint, Log: log,
	})
	if err != nil {
		return err
	}
	log = log.With("node", id.ID)
	disk, err := apply.OpenDisk(cfg.StateDir, id.ID, log)
	if err != nil {
		return err
	}
	tun, err := tunnel.New(tunnel.Options{
		Mode: cfg.Tunnel, Interface: cfg.Interface, Key: id.WG, ListenPort: cfg.Listen.WireGuard, Filter: tunnel.NodeRole, Log: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	// In the order in which a request passes: DNS, SNI, HTTP, fabric, tunnel.
	paths := fabric.New(tun, log, reg)
	tls := sni.NewHandoff()
	forward := sni.New(paths.DialTarget, tls, log, reg)
	proxy := httpproxy.New(paths.DialTarget, log, reg, nil)
	names := dns.New(log, reg)

	https, err := net.Listen("tcp", cfg.Listen.HTTPS)
	if err != nil {
		return fmt.Errorf("listen.https: %w", err)
	}
	udp, err := net.ListenPacket("udp", cfg.Listen.DNS)
	if err != nil {
		return fmt.Errorf("listen.dns: %w", err)
	}
	tcp, err := net.Listen("tcp", cfg.Listen.DNS)
	if err != nil {
		return fmt.Errorf("listen.dns: %w", err)
	}

	node := apply.NewNode(id.ID, apply.Subsystems{Tunnel: tun, Fabric: paths, Proxy: proxy, SNI: forward, DNS: names, Trust: id.Trust}, disk, log, reg)
	conns := ads.NewConns(cfg.Control, id.Credentials())
	tasks := []daemon.Task{
		tun,
		daemon.Func("relay", func(ctx context.Context) error {
			l, err := tun.Listen(ctx, fabric.RelayPort)
			if err != nil {
				return ended(ctx, err)
			}
			return paths.ServeRelay(ctx, l)
		}),
		daemon.Func("http", func(ctx context.Context) error { return proxy.Serve(ctx, tls) }),
		daemon.Func("sni", func(ctx context.Context) error { return forward.Serve(ctx, https) }),
		daemon.Func("dns", func(ctx context.Context) error { return names.Serve(ctx, []net.PacketConn{udp}, tcp) }),
		daemon.Func("snapshot", func(ctx context.Context) error {
			defer conns.Close()
			state, err := node.Restore(ctx) // serve what was last known, then ask what is new
			if err != nil {
				return ended(ctx, err)
			}
			client := ads.New(ads.Options{Conns: conns, NodeID: id.ID, Types: resource.NodeTypes(), State: state, Handler: node, Log: log, Reg: reg})
			reports := report.New(conns, report.Source{Applied: client.Applied, Tunnels: tun.Peers}, log, reg)
			return daemon.Group(ctx, client, reports, join.NewRenewer(id, conns))
		}),
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, func() error {
			if !node.Ready() {
				return errors.New("no checkpoint is applied yet")
			}
			return nil
		}, reg))
	}
	log.Info("starting", "version", version.Version, "https", cfg.Listen.HTTPS, "dns", cfg.Listen.DNS, "wireguard", cfg.Listen.WireGuard)
	return daemon.Run(ctx, log, tasks...)
}

// ended is no error when the end was wanted.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
