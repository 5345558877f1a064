// Package program is what the node's and the connector's program have in common: how they are called and
// how they end.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/version"
)

// usageError is a mistake in how the program was called or set up.
type usageError struct{ error }

// Usage marks an error as a mistake in how the program was called or set up: it exits with 2.
func Usage(err error) error { return usageError{err} }

// Main runs a program that takes nothing but a settings file, and exits: 0 done, 1 failed, 2 wrong usage. admin says where
// one with that file is asked how it is.
func Main(name, short, long string, admin func(config string) (addr string, err error), run func(ctx context.Context, config string) error) {
	var config string
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Version: version.Version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), config) },
	}
	cmd.PersistentFlags().StringVarP(&config, "config", "c", "", "settings `file`")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
	cmd.AddCommand(&cobra.Command{
		Use: "healthy", Short: "Exit with 0 if the one that runs with these settings is ready, for health checks of containers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := admin(config)
			if err != nil {
				return Usage(err)
			}
			return adminhttp.Ask(cmd.Context(), addr)
		},
	})
	cmd.CompletionOptions.DisableDefaultCmd = true
	err := cmd.ExecuteContext(context.Background())
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	if _, ok := errors.AsType[usageError](err); ok {
		os.Exit(2)
	}
	os.Exit(1)
}

// Registry makes a registry with what every process exports.
func Registry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Ended makes an error none when the end was wanted.
func Ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Ready makes a readiness check of whether a checkpoint is applied.
func Ready(applied func() bool) func() error {
	return func() error {
		if !applied() {
			return errors.New("no checkpoint is applied yet")
		}
		return nil
	}
}
