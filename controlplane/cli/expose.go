package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/expose"
)

func (a *app) exposeCommand() *cobra.Command {
	var o expose.Options
	var tcp, password, pin bool
	var passwordFile, pinFile string
	cmd := &cobra.Command{
		Use: "expose PORT|HOST:PORT|URL", Short: "Publish what runs here, until Ctrl-C", Args: cobra.ExactArgs(1),
		Long: "Publish what runs here, until Ctrl-C: prints the URL as soon as it answers. Whatever happens to this program, what it has\n" +
			"published is gone --lifetime later.\n\n" +
			"It is reached through a connector that is started here for as long, or through those of --site, or of site: in the settings,\n" +
			"if these stand where it runs. Without a guard everybody may come; of several guards any one opens.",
		Example: "  warren expose 8080\n  warren expose 3000 --name demo --password\n  warren expose https://192.168.1.20 --sso staff\n  warren expose 22 --tcp",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.What, err = expose.ParseBackend(args[0], tcp); err != nil {
				return usageError{err}
			}
			if err := a.exposeFlags(cmd, &o); err != nil {
				return err
			}
			if err := a.guard(&o.Guard, password, pin, passwordFile, pinFile); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal is gone
			defer stop()
			return a.expose(ctx, s, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "`name` of what is made; the hostname is this in the domain (default: made up)")
	f.StringVar(&o.Domain, "domain", "", "`domain` to publish in (default: domain: of the settings, or the only one)")
	f.StringVar(&o.Site, "site", "", "`site` whose connectors reach it (default: site: of the settings, or a connector that is started here)")
	f.BoolVar(&tcp, "tcp", false, "raw connections, at a port of the nodes")
	f.IntVar(&o.Port, "port", 0, "of --tcp: this port of the nodes (default: a free one)")
	f.StringVar(&o.Pool, "pool", "default", "of --tcp: `pool` whose nodes open the port")
	f.BoolVar(&password, "password", false, "ask for a password, which is made up and shown")
	f.StringVar(&passwordFile, "password-file", "", "ask for the password in a `file`; - reads standard input")
	f.BoolVar(&pin, "pin", false, "ask for a PIN, which is made up and shown")
	f.StringVar(&pinFile, "pin-file", "", "ask for the PIN in a `file`; - reads standard input")
	f.StringSliceVar(&o.Guard.Groups, "sso", nil, "members of a `group` of the organization may sign in; \"*\": all of its members")
	f.DurationVar(&o.Lifetime, "lifetime", expose.Lifetime, "how `long` it stays when nothing is heard of this program, 10s to 24h")
	f.StringVar(&o.Connector, "connector", "", "`program` to start (default: warren-connector beside this one, or in PATH)")
	f.StringSliceVar(&o.Control, "control", nil, "`host:port` where it reaches the control plane (default: what the control plane says)")
	return cmd
}

// exposeFlags fills in what the settings say, and refuses what makes no sense.
func (a *app) exposeFlags(cmd *cobra.Command, o *expose.Options) error {
	raw := o.What.Scheme == "tcp"
	for _, name := range []string{"port", "pool"} {
		if cmd.Flags().Changed(name) && !raw {
			return usagef("--%s is for --tcp", name)
		}
	}
	for _, name := range []string{"domain", "password", "password-file", "pin", "pin-file", "sso"} {
		if cmd.Flags().Changed(name) && raw {
			return usagef("--%s is for HTTP: nothing of the kind is known of raw connections", name)
		}
	}
	switch a.output {
	case "table", "wide", "json", "yaml", "name":
	default:
		return a.print(nil)
	}
	if o.Lifetime < 10*time.Second || o.Lifetime > 24*time.Hour {
		return usagef("--lifetime %s: want 10s to 24h", o.Lifetime)
	}
	if o.Port < 0 || o.Port > 65535 {
		return usagef("--port %d: want 1 to 65535", o.Port)
	}
	c, err := a.flags.resolve()
	if err != nil {
		return err
	}
	o.Site, o.Domain = firstOf(o.Site, c.Site), firstOf(o.Domain, c.Domain)
	return nil
}

// guard reads who may come.
func (a *app) guard(g *expose.Guard, password, pin bool, passwordFile, pinFile string) (err error) {
	if passwordFile == "-" && pinFile == "-" {
		return usagef("--password-file and --pin-file both read standard input")
	}
	for _, two := range []struct {
		made bool
		file string
		flag string
		to   *string
	}{{password, passwordFile, "password", &g.Password}, {pin, pinFile, "pin", &g.PIN}} {
		switch {
		case two.made && two.file != "":
			return usagef("--%s makes one up, --%s-file reads one: give one of them", two.flag, two.flag)
		case two.file != "":
			if *two.to, err = a.secretLine(two.file); err != nil {
				return fmt.Errorf("--%s-file: %w", two.flag, err)
			}
		}
	}
	g.MakeUp(password, pin)
	return nil
}

// secretLine reads a secret of one line from a file, or from standard input.
func (a *app) secretLine(file string) (string, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(a.in, 4096))
	} else {
		b, err = os.ReadFile(file)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if err == nil && (text == "" || strings.Contains(text, "\n")) {
		err = fmt.Errorf("%s: want one line", file)
	}
	return text, err
}

// expose publishes until ctx ends.
func (a *app) expose(ctx context.Context, s *session, o expose.Options) (err error) {
	o.API, o.Org, o.Say = s.api, s.org, a.say
	if o.Roots, err = s.roots(ctx); err != nil {
		return err
	}
	if o.StateDir, err = exposeDir(); err != nil {
		return err
	}
	o.Edges = func(ctx context.Context, pool string) (out []netip.AddrPort, err error) {
		nodes, err := s.edges(ctx, pool)
		if apiclient.StatusOf(err) == http.StatusForbidden {
			return nil, nil // it is the names' to say where they are
		}
		for _, n := range nodes {
			out = append(out, n.addrs(0)...)
		}
		return out, err
	}
	o.Ready = func(p expose.Published) error {
		if err := a.exposed(p); err != nil {
			return err
		}
		a.say("Port %d of %s is reached through site %s. Ctrl-C ends it.", o.What.Port, firstOf(o.What.Host, "this machine"), p.Site)
		return nil
	}
	return expose.Run(ctx, o)
}

// exposed shows what came of it.
func (a *app) exposed(p expose.Published) error {
	switch a.output {
	case "json", "yaml":
		return a.print(p)
	case "name":
		_, err := fmt.Fprintln(a.out, p.Name)
		return err
	}
	if _, err := fmt.Fprintln(a.out, p.URL); err != nil {
		return err
	}
	for _, made := range []struct{ what, is string }{{"password", p.Password}, {"PIN", p.PIN}} {
		if made.is != "" {
			a.say("%s: %s", made.what, made.is)
		}
	}
	if p.OwnCA {
		a.say("Its certificate is of the cluster's own authority: others don't trust it, unless they get it from /api/v1/authorities.")
	}
	return nil
}

// exposeDir is where connectors that are started here keep their state.
func exposeDir() (string, error) {
	dir, err := stateDir()
	return filepath.Join(filepath.Dir(dir), "warren-expose"), err
}
