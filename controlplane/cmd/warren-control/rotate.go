package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/keyring"
	"github.com/warrenedge/warren/controlplane/store"
)

func readKEK(ctx context.Context, cfg *config.Config) (*authority.KEK, error) {
	b, err := cfg.ReadKEK(ctx)
	if err != nil {
		return nil, err
	}
	return authority.ParseKEK(b)
}

// rotateKey is the command that replaces the keys of private keys at rest.
func rotateKey(load func() (*config.Config, error)) *cobra.Command {
	var newKEK string
	var finish bool
	c := &cobra.Command{
		Use: "rotate-key", Short: "Replace the keys that seal private keys in the database, while replicas serve", Args: cobra.NoArgs,
		Long: "Replace the keys that seal private keys in the database, while replicas serve.\n\n" +
			"Private keys are sealed with a data key, which is in the database, encrypted with the key-encryption key (KEK), which\n" +
			"is not. Without flags a new data key is made, every row is sealed with it, and the old one is removed; if that is cut\n" +
			"off, the same command goes on.\n\n" +
			"The KEK is replaced in three steps:\n\n" +
			"  warren-control new-kek > new.json\n" +
			"  warren-control rotate-key --new-kek new.json     # replicas may have the old or the new one from now on\n" +
			"  ... give every replica the new one (kek_file, kek_command or WARREN_KEK) and restart them one after the other ...\n" +
			"  warren-control rotate-key --finish               # with the new one in the settings: the old one opens nothing now\n\n" +
			"If the old KEK may be known to somebody, rotate the data key after that, too.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			kek, err := readKEK(ctx, cfg)
			if err != nil {
				return err
			}
			db, err := store.Open(ctx, cfg.DatabaseURL.Reveal(), store.Options{Log: cfg.Logger(os.Stderr)})
			if err != nil {
				return err
			}
			defer db.Close()
			r := &keyring.Rotation{Store: db, KEK: kek, Say: func(progress string) { _, _ = fmt.Fprintln(cmd.OutOrStdout(), progress) }}
			switch {
			case newKEK != "" && finish:
				return usage{errors.New("--new-kek and --finish: want one of them")}
			case finish:
				return r.FinishKEK(ctx)
			case newKEK == "":
				return r.Data(ctx)
			}
			next, err := readNewKEK(newKEK, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return r.AddKEK(ctx, next)
		},
	}
	c.Flags().StringVar(&newKEK, "new-kek", "", "wrap the data keys with the key-encryption key in this `file` too, - for standard input")
	c.Flags().BoolVar(&finish, "finish", false, "remove what is wrapped with any other key-encryption key than that of the settings")
	return c
}

func readNewKEK(path string, in io.Reader) (*authority.KEK, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(in, 64<<10))
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("--new-kek: %w", err)
	}
	k, err := authority.ParseKEK(b)
	if err != nil {
		return nil, fmt.Errorf("--new-kek: %w", err)
	}
	return k, nil
}
