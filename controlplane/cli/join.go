package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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
			body := map[string]any{"name": args[0], "pool": pool}
			if region != "" {
				body["region"] = region
			}
			_, err = s.Do(cmd.Context(), http.MethodPost, "/api/v1/nodes", body, nil)
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
	for _, f := range []struct{ field, plural, have, want string }{{"pool", "pools", have.Pool, pool}, {"region", "regions", have.Region, region}} {
		if strings.Contains(f.want, "_") { // an id; answers have names
			var named struct{ Name string }
			if _, err := s.Do(ctx, http.MethodGet, "/api/v1/"+f.plural+"/"+url.PathEscape(f.want), nil, &named); err != nil {
				return err
			}
			f.want = named.Name
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
		Use: "join SITE CONNECTOR", Short: "Make a token with which a program becomes this connector, once, within ten minutes", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			k, err := exactKind("Connector")
			if err != nil {
				return err
			}
			_, err = s.Do(cmd.Context(), http.MethodPost, k.path(s.org, ""), map[string]any{"name": args[1], "site": args[0]}, nil)
			if apiclient.StatusOf(err) == http.StatusConflict { // a token for it must not lead to another site
				err = a.standsIn(cmd.Context(), s, k, args[1], args[0])
			}
			if err != nil {
				return err
			}
			return a.token(cmd.Context(), s, typed.JoinTokenSpec{Organization: s.org, Connector: args[1]}, file)
		},
	}
	join.Flags().StringVar(&file, "token-file", "", "write the token to this `file` (mode 0600) instead of standard output")
	site.AddCommand(join, a.action("revoke CONNECTOR", "Trust a connector no more: its streams and tunnels end, it can't come back", "connectors", "revoke", true), a.wireGuardCommand())
	return site
}

// standsIn returns an error unless a connector is one of a site, which may be named by its id.
func (a *app) standsIn(ctx context.Context, s *session, k *kind, connector, site string) error {
	var have struct{ Site string }
	if _, err := s.Do(ctx, http.MethodGet, k.path(s.org, connector), nil, &have); err != nil || have.Site == site {
		return err
	}
	sites, err := exactKind("Site")
	if err != nil {
		return err
	}
	var want struct{ Name string }
	if _, err := s.Do(ctx, http.MethodGet, sites.path(s.org, site), nil, &want); err != nil {
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
