// Package cli is the command line: each command is one or more REST calls.
//
// Data goes to standard output, words to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 3
// differences found, 4 not ready, 5 denied.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/shared/version"
)

// Exit codes.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitDiffers  = 3
	exitNotReady = 4
	exitDenied   = 5
)

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errNotReady ends a command whose question has the answer no.
var errNotReady = errors.New("not ready")

// errRefused ends a command that has found that a request would not be allowed.
var errRefused = errors.New("refused")

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err io.Writer

	flags  connection
	output string
	quiet  bool

	noColour, colours bool
}

// Main runs the command line and returns its exit code.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := Root(in, out, errw)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if strings.HasPrefix(err.Error(), "required flag(s)") || strings.HasPrefix(err.Error(), "if any flags in the group") { // cobra has no type for it
		err = usageError{err}
	}
	if !errors.Is(err, errNotReady) && !errors.Is(err, errRefused) && !errors.Is(err, errDiffers) {
		fmt.Fprintf(errw, "warren: %v\n", err)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(errw, "Try: %s --help\n", cmd.CommandPath())
	}
	return code(err)
}

// Root is the tree of all commands, for one call.
func Root(in io.Reader, out, errw io.Writer) *cobra.Command {
	a := &app{in: in, out: out, err: errw}
	root := a.root()
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	root.InitDefaultCompletionCmd() // part of the tree as all others; it keeps where it is to write to
	for _, c := range root.Commands() {
		withUsage(c)
	}
	return root
}

func code(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if errors.Is(err, errDiffers) {
		return exitDiffers
	}
	if errors.Is(err, errNotReady) {
		return exitNotReady
	}
	if errors.Is(err, errRefused) {
		return exitDenied
	}
	switch apiclient.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusGatewayTimeout:
		return exitNotReady
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "warren",
		Short: "Publish services of private networks through an open, clustered edge",
		Long: "Publish services of private networks through an open, clustered edge.\n\n" +
			"Data goes to standard output, words to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 differences found (diff),\n" +
			"4 not ready (status, wait), 5 denied.",
		SilenceUsage:  true,
		SilenceErrors: true,

		SuggestionsMinimumDistance: typoDistance,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q%s", args[0], meant(cmd.SuggestionsFor(args[0])))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.colours = colourful(isTerminal(a.out), a.noColour, os.Getenv)
			if !slices.Contains(formats, a.output) {
				return a.print(nil)
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.StringVar(&a.flags.Config, "config", "", "settings `file` (default $XDG_CONFIG_HOME/warren/config.yaml; env WARREN_CONFIG)")
	f.StringVar(&a.flags.Context, "context", "", "`name` of the control plane among those of the settings file (env WARREN_CONTEXT; see warren context)")
	f.StringVar(&a.flags.Server, "server", "", "control plane `url`, such as https://control.example.org (env WARREN_SERVER)")
	f.StringVar(&a.flags.APIKeyFile, "api-key-file", "", "`file` that holds the API key (env WARREN_API_KEY_FILE, or WARREN_API_KEY for the key itself)")
	f.StringVar(&a.flags.CAFile, "ca-file", "", "PEM `file` to trust for the control plane instead of the system's (env WARREN_CA_FILE)")
	f.StringVar(&a.flags.Organization, "org", "", "organization `name` (env WARREN_ORG; default \"default\")")
	f.StringVarP(&a.output, "output", "o", "table", "output `format`: table, wide, json, yaml or name")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no words on standard error but errors")
	f.BoolVar(&a.noColour, "no-color", false, "no colours on terminals (env NO_COLOR)")
	root.AddCommand(
		a.upCommand(), a.exposeCommand(), a.statusCommand(), a.getCommand(), a.describeCommand(), a.createCommand(), a.editCommand(), a.labelCommand(), a.watchCommand(), a.deleteCommand(),
		a.applyCommand(), a.diffCommand(), a.validateCommand(), a.exportCommand(), a.waitCommand(),
		a.contextCommand(), a.orgCommand(), a.docsCommand(),
		a.snapshotCommand(), a.nodeCommand(), a.siteCommand(), a.domainCommand(), a.certCommand(), a.issuerCommand(), a.webhookCommand(),
		a.pingCommand(), a.netcheckCommand(), a.doctorCommand(), a.bugreportCommand(), a.mailCommand(), a.backupsCommand(), a.alertCommand(), a.jobCommand(), a.policyCommand(), a.importCommand(), a.accessCommand(), a.authorityCommand(), a.explainCommand(), a.userCommand(), a.auditCommand(), a.logsCommand(), a.topCommand(), a.eventsCommand(), a.loginCommand(), a.logoutCommand(), a.whoamiCommand(),
		a.versionCommand(), sampleCommand(),
	)
	root.AddCommand(a.peopleCommands()...)
	withExamples(root)
	a.withCompletions(root)
	return root
}

// withUsage makes wrong arguments a usage error, for a command and those below it.
func withUsage(c *cobra.Command) {
	c.SuggestionsMinimumDistance = typoDistance
	if args := c.Args; args != nil {
		c.Args = func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	if c.HasSubCommands() && c.RunE == nil {
		c.RunE = func(cmd *cobra.Command, a []string) error {
			if len(a) > 0 {
				return usagef("unknown command %q of %s%s", a[0], cmd.CommandPath(), meant(cmd.SuggestionsFor(a[0])))
			}
			return usagef("%s needs a command", cmd.CommandPath())
		}
	}
	for _, sub := range c.Commands() {
		withUsage(sub)
	}
}

// typoDistance is how many letters a word may be away from one that was meant.
const typoDistance = 2

// meant asks whether one of some words was meant, if there are any.
func meant(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(words, " or ") + "?"
}

// say writes words for a person.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.output == "table" {
				_, err := fmt.Fprintln(a.out, version.Version)
				return err
			}
			return a.print(map[string]string{"version": version.Version})
		},
	}
}
