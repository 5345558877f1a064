package cli

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) mailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mail", Short: "How the control plane sends mail, and whether it arrives",
		Long: "How the control plane sends mail: invitations, links to reset passwords, codes for visitors, alerts. The mail server is a setting of\n" +
			"warren-control, mail.server.",
	}
	cmd.AddCommand(a.mailStatus(), a.mailTest())
	return cmd
}

func (a *app) mailStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how mail is sent", Args: cobra.NoArgs, Long: "Show how mail is sent. Exits with 4 when there is no mail server.", Example: "  warren mail status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			m, _, err := s.api.GetMail(cmd.Context())
			if err != nil {
				return err
			}
			switch {
			case a.structured():
				err = a.print(m)
			case !m.SetUp:
				a.say("no mail is sent: mail.server of warren-control says by which server it would be")
			default:
				err = a.facts([][2]string{{"server", m.Server}, {"security", m.Security}, {"from", m.From}, {"username", m.Username}})
			}
			if err == nil && !m.SetUp {
				err = errNotReady
			}
			return err
		},
	}
}

func (a *app) mailTest() *cobra.Command {
	return &cobra.Command{
		Use: "test ADDRESS", Short: "Send a message now, and show what the mail server said", Args: cobra.ExactArgs(1),
		Long: "Send a message now, and show what the mail server said. Exits with 4 when it did not take it.", Example: "  warren mail test ops@example.org",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			v, _, err := s.api.TestMail(cmd.Context(), typed.MailTestSpec{To: args[0]})
			if err != nil {
				return err
			}
			switch {
			case a.structured():
				err = a.print(v)
			case v.Sent:
				a.say("the mail server has taken a message to %s, in %s", v.To, v.Took)
			default:
				a.say("not sent to %s: %s", v.To, v.Problem)
			}
			if err == nil && !v.Sent {
				err = errNotReady
			}
			return err
		},
	}
}

func (a *app) backupsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backups", Short: "Show what the database knows of how it is kept safe", Args: cobra.NoArgs,
		Long: "Show what the database knows of how it is kept safe: whether PostgreSQL archives its log, when it last did, and which servers follow.\n" +
			"Of copies by pg_dump it knows nothing. All of a cluster is in this database, and nothing opens it without the key-encryption key\n" +
			"(kek.json): keep that elsewhere. Nodes and connectors need no backup; a machine that has lost its state joins anew.",
		Example: "  warren backups\n  warren backups -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			v, _, err := s.api.GetBackups(cmd.Context())
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(v)
			}
			return a.facts([][2]string{
				{"database", fmt.Sprintf("%s, %s, PostgreSQL %s", v.Database, size(v.SizeBytes), v.Server)}, {"log", archive(v)},
				{"standbys", strconv.FormatInt(v.Standbys, 10)}, {"key since", v.KeySince.UTC().Format(time.RFC3339)},
			})
		},
	}
}

func archive(v typed.Backups) string {
	switch {
	case !v.Archiving:
		return "not archived"
	case !v.ArchiveFailedAt.IsZero():
		return "archiving failed, " + stamp(&v.ArchiveFailedAt)
	case v.ArchivedAt.IsZero():
		return "archived, nothing yet"
	}
	return "archived, last " + stamp(&v.ArchivedAt)
}

// facts are what is known of one thing, without what is empty.
func (a *app) facts(list [][2]string) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, f := range list {
		if f[1] != "" {
			fmt.Fprintf(w, "%s:\t%s\n", f[0], f[1])
		}
	}
	return w.Flush()
}
