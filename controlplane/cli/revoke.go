package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) certRevoke() *cobra.Command {
	var body typed.RevocationSpec
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Have a certificate revoked by its authority, by its id or a name in the newest one", Args: cobra.ExactArgs(1),
		Long: "Have a certificate revoked by the authority that it was ordered from. Another one is ordered first, and this one revoked when all nodes\n" +
			"have that. With --reason keyCompromise it is revoked at once, and its key is not taken again; it is served until the next one is there.",
		Example: "  warren cert revoke example.org --reason keyCompromise",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "Have the certificate %s revoked, for good?", args[0]); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			id := args[0]
			if !strings.HasPrefix(id, "cert_") {
				m, _, err := s.api.GetManagedCertificate(cmd.Context(), s.org, id)
				if err != nil {
					return err
				}
				if id = m.Certificate; id == "" {
					a.say("there is no certificate of %s", args[0])
					return errNotReady
				}
			}
			c, _, err := s.api.RevokeCertificate(cmd.Context(), s.org, id, body)
			if err != nil {
				return err
			}
			a.say("%s is to be revoked: warren get certificates %s -o yaml says how that goes", id, id)
			if a.structured() {
				return a.print(c)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&body.Reason, "reason", "unspecified", "unspecified, keyCompromise, superseded or cessationOfOperation")
	return cmd
}
