package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/keyring"
	"github.com/warrenedge/warren/controlplane/store"
)

func readKEK(ctx context.Context, cfg *config.Config, log *slog.Logger) (*authority.KEK, error) {
	b, err := cfg.ReadKEK(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.KEKExposed() {
		log.Warn("everybody on this machine can read the key that opens all private keys in the database: chmod 600 it", "kek_file", cfg.KEKFile)
	}
	return authority.ParseKEK(b)
}

// newKEK is the command that makes a key-encryption key.
func newKEK() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "new-kek", Short: "Make a new key-encryption key: keep it safe and out of the database's backups, all replicas need the same one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kek, err := authority.NewKEK()
			if err != nil {
				return err
			}
			kek = append(kek, '\n')
			if file == "" {
				_, err = cmd.OutOrStdout().Write(kek)
				return err
			}
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never over another: it may be the only one that opens a database
			if err != nil {
				return fmt.Errorf("--file: %w", err)
			}
			if _, err = f.Write(kek); err == nil {
				err = f.Sync()
			}
			return errors.Join(err, f.Close())
		},
	}
	c.Flags().StringVar(&file, "file", "", "write the key into this `file`, which must not be there yet, readable by its owner only; else it is printed")
	return c
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
			"  warren-control new-kek --file new.json\n" +
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
			log := cfg.Logger(os.Stderr)
			kek, err := readKEK(ctx, cfg, log)
			if err != nil {
				return err
			}
			db, err := store.Open(ctx, cfg.DatabaseURL.Reveal(), store.Options{Log: log})
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
