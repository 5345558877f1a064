// Command warren-control is one replica of the control plane. Nothing that matters is kept in it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/version"
)

// usage is a mistake in how the program was called.
type usage struct{ error }

func main() {
	if err := command().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "warren-control:", err)
		if _, ok := errors.AsType[usage](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var path string
	var roles []string
	load := func() (*config.Config, error) {
		cfg, err := config.Load(path)
		if err != nil {
			return nil, usage{err}
		}
		if len(roles) > 0 {
			cfg.Roles = roles
		}
		if err := cfg.Validate(); err != nil {
			return nil, usage{err}
		}
		return cfg, nil
	}
	run := func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, cfg.Logger(os.Stderr))
	}
	root := &cobra.Command{
		Use: "warren-control", Short: "A replica of the control plane of a Warren", Version: version.Version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Long: "A replica of the control plane of a Warren: REST, streams to nodes, certificates. Replicas are alike, and keep nothing.\n\n" +
			"Settings come from a YAML file, then from WARREN_CONTROL_… variables, then from flags. It needs PostgreSQL; with more\n" +
			"than one replica also Valkey or Redis. The first start of a fresh cluster prints an API key, once.",
		RunE: run,
	}
	root.PersistentFlags().StringVarP(&path, "config", "c", "", "settings `file`")
	root.PersistentFlags().StringSliceVar(&roles, "roles", nil, "what this replica does: api, push, worker (default: all)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve until told to stop (the default)", Args: cobra.NoArgs, RunE: run},
		&cobra.Command{
			Use: "migrate", Short: "Bring the database's schema to what this program needs, and end", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := load()
				if err != nil {
					return err
				}
				s, err := store.Open(cmd.Context(), string(cfg.DatabaseURL), store.Options{Log: cfg.Logger(os.Stderr)})
				if err != nil {
					return err
				}
				defer s.Close()
				return s.Migrate(cmd.Context())
			},
		},
		newKEK(),
		&cobra.Command{
			Use: "healthy", Short: "Exit with 0 if the replica that runs with these settings is ready, for health checks of containers", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := config.Load(path)
				if err != nil {
					return usage{err}
				}
				return adminhttp.Ask(cmd.Context(), cfg.Listen.Admin)
			},
		},
		rotateKey(load),
		setupToken(load),
		&cobra.Command{
			Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Version)
				return err
			},
		},
	)
	return root
}
