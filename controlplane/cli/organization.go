package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// security is what the organization wants of sessions.
func (a *app) security() *cobra.Command {
	var second bool
	var age time.Duration
	cmd := &cobra.Command{
		Use: "security", Short: "Show or say what the organization wants of sessions", Args: cobra.NoArgs,
		Long: "Show what the organization wants of the sessions of its people. With flags, change what they name and leave the rest.\n" +
			"Whose session is not enough is asked for more at his next call or visit.",
		Example: "  warren org security\n  warren org security --second-factor --max-session-age 12h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			is, _, err := s.api.GetSecurity(cmd.Context(), s.org)
			if err != nil {
				return err
			}
			f := cmd.Flags()
			if f.Changed("second-factor") {
				is.RequireSecondFactor = &second
			}
			if f.Changed("max-session-age") {
				if is.MaxSessionAge = age.String(); age == 0 {
					is.MaxSessionAge = ""
				}
			}
			if f.Changed("second-factor") || f.Changed("max-session-age") {
				if is, _, err = s.api.PutSecurity(cmd.Context(), s.org, is); err != nil {
					return err
				}
			}
			if a.structured() {
				return a.print(is)
			}
			wanted := is.RequireSecondFactor != nil && *is.RequireSecondFactor
			return a.table([]string{"second factor wanted", "max session age"}, [][]string{{fmt.Sprint(wanted), firstOf(is.MaxSessionAge, "any")}})
		},
	}
	cmd.Flags().BoolVar(&second, "second-factor", false, "sessions count only after a code, a backup code or a passkey")
	cmd.Flags().DurationVar(&age, "max-session-age", 0, "how `old` a session may be, 5m to 168h; 0: any age")
	return cmd
}

// requestLog is for how long the organization's requests are kept.
func (a *app) requestLog() *cobra.Command {
	var days int64
	cmd := &cobra.Command{
		Use: "request-log", Short: "Show or say for how long requests of the organization's services are kept", Args: cobra.NoArgs,
		Long: "Show, or with --keep-days say, for how many days requests of the organization's services are kept: a week if nothing is said, 0\n" +
			"keeps none. What is older goes within the hour. Sums of traffic are kept for a month in any case.",
		Example: "  warren org request-log\n  warren org request-log --keep-days 30",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			var is typed.RequestLogSpec
			if cmd.Flags().Changed("keep-days") {
				is, _, err = s.api.PutRequestLog(cmd.Context(), s.org, typed.RequestLogSpec{KeepDays: days})
			} else {
				is, _, err = s.api.GetRequestLog(cmd.Context(), s.org)
			}
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(is)
			}
			return a.table([]string{"keep days"}, [][]string{{fmt.Sprint(is.KeepDays)}})
		},
	}
	cmd.Flags().Int64Var(&days, "keep-days", 0, "how many `days`, 0 to 90")
	return cmd
}

// authorityCommand prints what clients of the cluster's own authority trust.
func (a *app) authorityCommand() *cobra.Command {
	return &cobra.Command{
		Use: "authority [web|identity]", Short: "Print certificates of the cluster's own authorities, for programs that are to trust them", Args: cobra.MaximumNArgs(1),
		Long: "Print certificates of the cluster's own authorities in PEM: \"web\" has signed the certificates of services that come from no\n" +
			"issuer, \"identity\" those that nodes and connectors are known by. Without a name: both, with their names before them.",
		Example:   "  warren authority web > ca.pem\n  curl --cacert ca.pem https://wiki.example.org/",
		ValidArgs: []string{"web", "identity"},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			page, _, err := s.api.ListAuthorities(cmd.Context(), typed.ListAuthoritiesParams{})
			if err != nil {
				return err
			}
			found := []typed.AuthorityView{}
			for _, v := range page.Items {
				if len(args) == 0 || v.Kind == args[0] {
					found = append(found, v)
				}
			}
			switch {
			case len(found) == 0 && len(args) > 0:
				return usagef("authority %q: there is web and identity", args[0])
			case a.structured():
				return a.print(found)
			}
			for _, v := range found {
				if len(args) == 0 {
					a.line("# %s", v.Kind)
				}
				if _, err := fmt.Fprint(a.out, v.CertificatePEM); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
