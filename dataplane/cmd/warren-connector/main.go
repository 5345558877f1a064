// Command warren-connector stands in a private network: it digs tunnels to the nodes, and carries streams to
// the targets that its snapshot allows.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/apply"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/report"
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
		Use: "warren-connector", Short: "The agent of a Warren in a private network", Version: version.Version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Long: "The agent of a Warren in a private network. It needs no privilege and no open port.\n\n" +
			"Settings come from a YAML file, then from WARREN_CONNECTOR_… variables. At the first start it joins with the token in\n" +
			"token_file (made with: warren site join SITE NAME --token-file FILE).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadConnector(path)
			if err != nil {
				return usage{err}
			}
			return run(cmd.Context(), cfg, cfg.Logger(os.Stderr))
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "settings `file`")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "warren-connector:", err)
		if _, ok := errors.AsType[usage](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usage is a mistake in how the program was called.
type usage struct{ error }

func run(ctx context.Context, cfg *config.Connector, log *slog.Logger) error {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
	tun, err := tunnel.New(tunnel.Options{Mode: tunnel.ModeNetstack, Key: id.WG, Filter: tunnel.ConnectorRole, Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	streams := connector.New(nil, log, reg)
	site := apply.NewConnector(id.ID, id.Overlay, apply.Site{Tunnel: tun, Connector: streams, Trust: id.Trust}, disk, log, reg)
	conns := ads.NewConns(cfg.Control, id.Credentials())
	tasks := []daemon.Task{
		tun,
		daemon.Func("streams", func(ctx context.Context) error {
			l, err := tun.Listen(ctx, fabric.ConnectorPort)
			if err != nil {
				return ended(ctx, err)
			}
			return streams.Serve(ctx, l)
		}),
		daemon.Func("snapshot", func(ctx context.Context) error {
			defer conns.Close()
			state, err := site.Restore(ctx)
			if err != nil {
				return ended(ctx, err)
			}
			client := ads.New(ads.Options{Conns: conns, NodeID: id.ID, Types: resource.ConnectorTypes(), State: state, Handler: site, Log: log, Reg: reg})
			reports := report.New(conns, report.Source{Applied: client.Applied, Tunnels: tun.Peers}, log, reg)
			return daemon.Group(ctx, client, reports, join.NewRenewer(id, conns))
		}),
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, func() error {
			if !site.Ready() {
				return errors.New("no checkpoint is applied yet")
			}
			return nil
		}, reg))
	}
	log.Info("starting", "version", version.Version)
	return daemon.Run(ctx, log, tasks...)
}

// ended is no error when the end was wanted.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
