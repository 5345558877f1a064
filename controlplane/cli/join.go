package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/shared/atomicfile"
)

func (a *app) nodeJoin() *cobra.Command {
	var pool, region, file string
	cmd := &cobra.Command{
		Use: "join NODE", Short: "Make a token with which a machine becomes this node, once, within ten minutes", Args: cobra.ExactArgs(1),
		Long: "Make a token with which a machine becomes this node, once, within ten minutes. The node is made if there is none of this name.\n" +
			"On the machine: put the token into a file that only root can read, name it as token_file, start warren-node.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			_, _, err = s.api.CreateNode(cmd.Context(), typed.CreateNodeParams{}, typed.NodeBody{Name: args[0], Pool: pool, Region: region})
			if apiclient.StatusOf(err) == http.StatusConflict {
				if !cmd.Flags().Changed("pool") {
					pool = ""
				}
				err = standsThere(cmd.Context(), s, args[0], pool, region)
			}
			if err != nil {
				return err
			}
			return a.token(cmd.Context(), s, typed.JoinTokenSpec{Node: args[0]}, file)
		},
	}
	cmd.Flags().StringVar(&pool, "pool", "default", "pool that a new node serves")
	cmd.Flags().StringVar(&region, "region", "", "region that a new node stands in")
	cmd.Flags().StringVar(&file, "token-file", "", "write the token to this `file` (mode 0600) instead of standard output")
	return cmd
}

// standsThere refuses a node that is there already and elsewhere than asked for: joining does not move it. An
// empty pool or region was not asked for.
func standsThere(ctx context.Context, s *session, name, pool, region string) error {
	have, _, err := s.api.GetNode(ctx, name)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		field, have, want string
		named             func(ctx context.Context, id string) (string, error)
	}{
		{"pool", have.Pool, pool, func(ctx context.Context, id string) (string, error) {
			p, _, err := s.api.GetPool(ctx, id)
			return p.Name, err
		}},
		{"region", have.Region, region, func(ctx context.Context, id string) (string, error) {
			r, _, err := s.api.GetRegion(ctx, id)
			return r.Name, err
		}},
	} {
		if strings.Contains(f.want, "_") { // an id; answers have names
			if f.want, err = f.named(ctx, f.want); err != nil {
				return err
			}
		}
		if f.want != "" && f.want != f.have {
			return fmt.Errorf("node %s is in %s %q, not %q: change the node first, or leave --%s out", name, f.field, f.have, f.want, f.field)
		}
	}
	return nil
}

func (a *app) siteCommand() *cobra.Command {
	site := &cobra.Command{Use: "site", Short: "Let connectors join a site, revoke them; configure the device of a wireguard site"}
	var file string
	join := &cobra.Command{
		Use: "join SITE CONNECTOR", Aliases: []string{"token"}, Short: "Make a token with which a program becomes this connector, once, within ten minutes", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			_, _, err = s.api.CreateConnector(cmd.Context(), s.org, typed.CreateConnectorParams{}, typed.ConnectorBody{Name: args[1], Site: args[0]})
			if apiclient.StatusOf(err) == http.StatusConflict { // a token for it must not lead to another site
				err = standsIn(cmd.Context(), s, args[1], args[0])
			}
			if err != nil {
				return err
			}
			return a.token(cmd.Context(), s, typed.JoinTokenSpec{Organization: s.org, Connector: args[1]}, file)
		},
	}
	join.Flags().StringVar(&file, "token-file", "", "write the token to this `file` (mode 0600) instead of standard output")
	site.AddCommand(join, a.action("revoke CONNECTOR", "Trust a connector no more: its streams and tunnels end, it can't come back", "connector", "revoke", true, func(ctx context.Context, s *session, name string) (apiclient.Written, error) {
		_, done, err := s.api.RevokeConnector(ctx, s.org, name)
		return done, err
	}), a.wireGuardCommand())
	return site
}

// standsIn returns an error unless a connector is one of a site, which may be named by its id.
func standsIn(ctx context.Context, s *session, connector, site string) error {
	have, _, err := s.api.GetConnector(ctx, s.org, connector)
	if err != nil || have.Site == site {
		return err
	}
	want, _, err := s.api.GetSite(ctx, s.org, site)
	if err != nil {
		return err
	}
	if have.Site != want.Name {
		return fmt.Errorf("connector %s stands in site %s, not %s", connector, have.Site, want.Name)
	}
	return nil
}

// token makes a join token and hands it over where only its reader sees it.
func (a *app) token(ctx context.Context, s *session, subject typed.JoinTokenSpec, file string) error {
	if fi, err := os.Lstat(file); err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("join token: %s is no regular file", file) // a device must not be replaced
	}
	t, _, err := s.api.CreateJoinToken(ctx, subject)
	if err != nil {
		return err
	}
	if file == "" {
		a.say("good once, until %s:", t.ExpiresAt.Local().Format(time.TimeOnly))
		_, err := fmt.Fprintln(a.out, t.Token)
		return err
	}
	// A new file in place of an old one, whose mode might let others read.
	if err := atomicfile.Write(file, []byte(t.Token+"\n")); err != nil {
		return fmt.Errorf("join token: %w", err)
	}
	a.say("join token written to %s, good once, until %s", file, t.ExpiresAt.Local().Format(time.TimeOnly))
	return nil
}
