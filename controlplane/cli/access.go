package cli

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// accessCommand is for programs that visit services as who has signed in.
func (a *app) accessCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "access", Short: "Visit services with programs, as who is signed in"}
	cmd.AddCommand(&cobra.Command{
		Use: "token URL", Short: "Print a token with which a program visits a service as you, for 15 minutes at most", Args: cobra.ExactArgs(1),
		Long: "Print a token with which a program visits a service as you, for 15 minutes at most. It goes into the header field Authorization, or\n" +
			"into Warren-Access-Token where the service has an Authorization of its own:\n\n" +
			"    curl -H \"Authorization: Bearer $(warren access token https://wiki.example.org)\" https://wiki.example.org/api",
		RunE: func(cmd *cobra.Command, args []string) error {
			host := args[0]
			if strings.Contains(host, "://") {
				u, err := url.Parse(host)
				if err != nil || u.Scheme != "https" || u.Hostname() == "" {
					return usagef("%q, want one like https://wiki.example.org", host)
				}
				host = u.Hostname()
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			out, _, err := s.api.CreateAccessToken(cmd.Context(), s.org, typed.AccessTokenBody{Host: host})
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(out)
			}
			_, err = fmt.Fprintln(a.out, out.Token)
			return err
		},
	})
	return cmd
}
