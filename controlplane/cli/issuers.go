package cli

import (
	"time"

	"github.com/spf13/cobra"
)

func (a *app) issuerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "issuer", Short: "Accounts at the authorities that certificates are ordered from",
		Long: "Accounts at the authorities that certificates are ordered from. Issuers themselves are objects: warren create issuer, warren get issuers.",
	}
	cmd.AddCommand(a.issuerRollover(), a.issuerBudget())
	return cmd
}

func (a *app) issuerRollover() *cobra.Command {
	var wait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "rollover NAME", Short: "Change the key of the account at an authority, while orders go on", Args: cobra.ExactArgs(1),
		Long: "Change the key of the account at an authority (RFC 8555 7.3.5). The account stays, with its orders and limits. With --wait it returns when\n" +
			"the authority knows the new key, and exits with 4 when that takes longer than --timeout; the change goes on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			now, _, err := s.api.RollOverIssuer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.say("another key for the account at %s is asked for", args[0])
			for end := time.Now().Add(limit); wait; time.Sleep(500 * time.Millisecond) {
				if now, _, err = s.api.GetIssuer(cmd.Context(), args[0]); err != nil {
					return err
				}
				if now.Rollover == nil {
					a.say("the account at %s has another key", args[0])
					break
				}
				if time.Now().After(end) {
					a.say("the account has its old key still, the change goes on; %s", now.Rollover.Problem)
					return errNotReady
				}
			}
			if a.structured() {
				return a.print(now)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return only when the account has another key")
	cmd.Flags().DurationVar(&limit, "timeout", 2*time.Minute, "how long to wait")
	return cmd
}
