package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
)

func (a *app) issuerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "issuer", Short: "Accounts at the authorities that certificates are ordered from",
		Long: "Accounts at the authorities that certificates are ordered from. Issuers themselves are objects: warren create issuer, warren get issuers.",
	}
	cmd.AddCommand(a.issuerRollover(), a.issuerBudget(),
		a.issuerSuspension("suspend", "suspended", "Order and renew nothing new from an issuer", true,
			"Order and renew nothing new from an issuer. What is planned with it is ordered from the others, orders under way go on, and what it has\n"+
				"issued is served and can be revoked. It can be deleted as soon as nothing of it is valid any more."),
		a.issuerSuspension("resume", "resumed", "Order from an issuer again that was suspended", false, "Order from an issuer again that was suspended. What has waited for it is ordered at once."))
	return cmd
}

func (a *app) issuerSuspension(verb, became, short string, suspended bool, long string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind("issuers")
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			m, tag, err := s.one(cmd.Context(), k, args[0])
			if err != nil {
				return err
			}
			if m.Spec["suspended"] = suspended; !suspended {
				delete(m.Spec, "suspended")
			}
			done, err := s.replace(cmd.Context(), k, m, tag)
			if err != nil {
				return err
			}
			if !done.Changed {
				became = "unchanged"
			}
			a.say("issuer %s %s", args[0], became)
			return nil
		},
	}
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
					if apiclient.Passes(err) && time.Now().Before(end) {
						continue // a replica ends: another one tells
					}
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
