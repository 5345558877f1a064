package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/yamltext"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// credentials are what users have signed in with at control planes, by the URL of each. The file is its owner's alone.
type credentials map[string]credential

type credential struct {
	Token   string    `yaml:"token"`
	Expires time.Time `yaml:"expires"`
}

// credentialsFile is beside the settings.
func (c connection) credentialsFile() string {
	return filepath.Join(filepath.Dir(c.Config), "credentials.yaml")
}

func (c connection) credentials() (credentials, error) {
	path := c.credentialsFile()
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return credentials{}, nil
	case err != nil:
		return nil, fmt.Errorf("credentials: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("credentials: others can read %s: chmod 600 it, and sign in anew", path)
	}
	out := credentials{}
	if err := yaml.UnmarshalWithOptions(b, &out, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("credentials: %s is malformed: remove it, and sign in anew", path) // without the lines around it: they hold tokens
	}
	return out, nil
}

func (c connection) saveCredentials(all credentials) error {
	b, err := yamltext.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.Config), 0o700); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return atomicfile.Write(c.credentialsFile(), b)
}

func (a *app) loginCommand() *cobra.Command {
	var web bool
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in as a user, in a browser on this or any other machine", Args: cobra.NoArgs,
		Long: "Sign in as a user. It shows an address and a code; whoever is signed in there approves it, and commands act for him from then on,\n" +
			"until warren logout, or until he ends the session on his account page. An API key that is given wins over it.\n\n" +
			"With --api-key-file nobody signs in: the key in the file is tried, and the settings name file and control plane from then on.",
		Example: "  warren login --server https://control.example.org --web\n  warren login --server https://control.example.org --api-key-file ci.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.flags.APIKeyFile == "":
				return a.login(cmd.Context(), web)
			case web:
				return usagef("--web is for people, --api-key-file for programs: give one of them")
			}
			return a.loginWithKey(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&web, "web", false, "open the address in the browser of this machine")
	return cmd
}

func (a *app) login(ctx context.Context, web bool) error {
	c, client, err := a.anonymous()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	d, _, err := client.CreateDeviceLogin(ctx, typed.DeviceBody{Client: host})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "Open %s\nand approve the code %s\n", d.VerificationURI, d.UserCode)
	if web {
		if err := browse(ctx, d.VerificationURIComplete); err != nil {
			a.say("no browser opened: %v", err)
		}
	}
	wait := max(time.Duration(d.Interval)*time.Second, time.Second)
	for deadline := time.Now().Add(time.Duration(d.ExpiresIn) * time.Second); time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		s, _, err := client.GetDeviceToken(ctx, typed.DeviceTokenBody{DeviceCode: d.DeviceCode})
		p, refused := errors.AsType[*apiclient.Problem](err)
		switch {
		case err == nil:
			return a.loggedIn(ctx, c, credential{s.Token, s.ExpiresAt})
		case refused && p.Detail == "authorization_pending", refused && p.Status >= 500:
		case refused && p.Detail == "slow_down":
			wait += 5 * time.Second
		case refused && p.Detail == "access_denied":
			return errors.New("not approved")
		case refused && p.Detail == "expired_token":
			return errors.New("the code is over: begin again")
		default:
			return err
		}
	}
	return errors.New("nobody has approved the code in time")
}

// loginWithKey has commands act by a key from now on, once the control plane has taken it.
func (a *app) loginWithKey(ctx context.Context) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	who, _, err := s.api.Me(ctx)
	if err != nil {
		return err
	}
	c, err := a.flags.resolve()
	if err != nil {
		return err
	}
	for _, p := range []*string{&c.APIKeyFile, &c.CAFile} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	err = a.flags.change(func(f *settingsFile) error {
		name := firstOf(a.flags.Context, os.Getenv("WARREN_CONTEXT"), f.Current)
		if have, ok := f.Contexts[name]; ok {
			have.Server, have.APIKeyFile, have.CAFile = c.Server, c.APIKeyFile, c.CAFile
			f.Contexts[name] = have
			return nil
		}
		f.Server, f.APIKeyFile, f.CAFile = c.Server, c.APIKeyFile, c.CAFile
		return nil
	})
	return a.saying("Commands act as "+whoIs(who)+" at "+c.Server+" from now on, by the key in "+c.APIKeyFile+".", err)
}

func (a *app) loggedIn(ctx context.Context, c connection, got credential) error {
	all, err := c.credentials()
	if err != nil {
		return err
	}
	all[c.Server] = got
	if err := c.saveCredentials(all); err != nil {
		return err
	}
	client, err := c.as(got.Token)
	if err != nil {
		return err
	}
	who, _, err := client.Me(ctx)
	if err != nil {
		return err
	}
	a.say("Signed in at %s as %s, until %s at the latest.", c.Server, whoIs(who), got.Expires.Local().Format("2006-01-02 15:04"))
	return nil
}

// whoIs is who the API says that calls.
func whoIs(m typed.Me) string {
	if m.User != nil {
		return m.User.Name
	}
	return m.Key
}

// as is a client with a key or token, "" for none.
func (c connection) as(token string) (typed.Client, error) {
	client, err := apiclient.New(apiclient.Options{Server: c.Server, Key: token, CAFile: c.CAFile})
	return typed.New(client), err
}

// anonymous is a client without a key.
func (a *app) anonymous() (connection, typed.Client, error) {
	c, err := a.flags.resolve()
	if err != nil {
		return c, typed.Client{}, err
	}
	if c.Server == "" {
		return c, typed.Client{}, usagef("no control plane: give --server, set WARREN_SERVER, or write server: into %s", c.Config)
	}
	client, err := c.as("")
	if err != nil {
		return c, client, usageError{err}
	}
	return c, client, nil
}

// browse opens an address in the browser of this machine. It is our server's own, of http or https alone.
func browse(ctx context.Context, url string) error {
	for _, program := range []string{"xdg-open", "open"} {
		if path, err := exec.LookPath(program); err == nil {
			return exec.CommandContext(ctx, path, url).Start()
		}
	}
	return errors.New("there is neither xdg-open nor open")
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the session that warren login began", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.flags.resolve()
			if err != nil {
				return err
			}
			all, err := c.credentials()
			if err != nil {
				return err
			}
			have, ok := all[c.Server]
			if !ok {
				return usagef("not signed in at %s", c.Server)
			}
			client, err := c.as(have.Token)
			if err != nil {
				return usageError{err}
			}
			_, err = client.DeleteThisSession(cmd.Context())
			if err != nil && apiclient.StatusOf(err) != http.StatusUnauthorized { // it is over already
				return err
			}
			delete(all, c.Server)
			if err := c.saveCredentials(all); err != nil {
				return err
			}
			a.say("Signed out of %s.", c.Server)
			return nil
		},
	}
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show as whom commands act", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			who, _, err := s.api.Me(cmd.Context())
			if err != nil {
				return err
			}
			if a.output == "table" {
				_, err := fmt.Fprintln(a.out, whoIs(who))
				return err
			}
			return a.print(who)
		},
	}
}

// userCommand has the users of the cluster, and what administrators do about how they sign in.
func (a *app) userCommand() *cobra.Command {
	cmd := a.nounCommand("User", "Users of the cluster, and links for people who are to sign in", "ann@example.org --display-name Ann")
	cmd.AddCommand(a.inviting("invite ADDRESS"), &cobra.Command{
		Use: "reset-password ADDRESS", Short: "Make a link with which a user chooses another password", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.link(cmd.Context(), func(ctx context.Context, s *session) (any, string, bool, error) {
				l, _, err := s.api.ResetPassword(ctx, args[0])
				return l, l.Link, false, err
			})
		},
	}, a.signOutUser())
	return cmd
}

func (a *app) signOutUser() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "sign-out ADDRESS", Short: "End all sessions of a user, at services as well", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "End all sessions of %s?", args[0]); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			_, _, err = s.api.SignOutUser(cmd.Context(), args[0])
			return a.saying("all sessions of "+args[0]+" are ended", err)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// link has a link made for somebody, and shows it.
func (a *app) link(ctx context.Context, makes func(ctx context.Context, s *session) (answer any, link string, mailed bool, err error)) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	out, link, mailed, err := makes(ctx, s)
	if err != nil {
		return err
	}
	if a.output != "table" {
		return a.print(out)
	}
	if mailed {
		a.say("The link is mailed, too.")
	}
	a.say("Good once, for 30 minutes; shown this once:")
	_, err = fmt.Fprintln(a.out, link)
	return err
}

// inviting is the command that invites somebody.
func (a *app) inviting(use string) *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use: use, Short: "Invite somebody to the organization, by mail or with the link that is shown", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.link(cmd.Context(), func(ctx context.Context, s *session) (any, string, bool, error) {
				i, _, err := s.api.CreateInvitation(ctx, s.org, typed.InvitationBody{Name: args[0], Roles: roles})
				return i, i.Link, i.Mailed != nil && *i.Mailed, err
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", []string{"member"}, "roles in the organization")
	return cmd
}
