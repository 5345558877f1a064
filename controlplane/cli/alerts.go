package cli

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) alertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alert", Aliases: []string{"alerts"}, Short: "What alert rules find, and whom they tell",
		Long: "What alert rules find, and whom they tell. warren create alert-rule NAME --kind site_down --mail ops@example.org makes a rule of the\n" +
			"organization, warren create cluster-alert-rule one about nodes. Webhooks that ask for alert.firing and alert.resolved hear of all.",
	}
	var cluster bool
	cmd.PersistentFlags().BoolVar(&cluster, "cluster", false, "of the cluster, not of the organization")
	cmd.AddCommand(a.alertList(&cluster), a.alertSilence(&cluster), a.alertDeliveries(&cluster))
	return cmd
}

func (a *app) alertList(cluster *bool) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show what is wrong now by the alert rules, the oldest first", Args: cobra.NoArgs,
		Long: "Show what is wrong now by the alert rules, the oldest first. Exits with 4 when one fires.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			list := func() (typed.PageAlert, apiclient.Written, error) { return s.api.ListAlerts(cmd.Context(), s.org) }
			if *cluster {
				list = func() (typed.PageAlert, apiclient.Written, error) { return s.api.ListClusterAlerts(cmd.Context()) }
			}
			page, _, err := list()
			if err != nil {
				return err
			}
			var rows [][]string
			firing := false
			for _, v := range page.Items {
				firing = firing || v.State == "firing"
				rows = append(rows, []string{v.Rule, v.Name, v.State, stamp(&v.Since), strconv.FormatBool(v.Told), v.Reason})
			}
			switch {
			case a.structured():
				err = a.print(page.Items)
			case len(rows) == 0:
				a.say("no alerts")
			default:
				err = a.table([]string{"rule", "name", "state", "since", "told", "reason"}, rows)
			}
			if err == nil && firing {
				err = errNotReady
			}
			return err
		},
	}
}

func (a *app) alertSilence(cluster *bool) *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use: "silence RULE", Short: "Have nobody told by an alert rule for a while", Args: cobra.ExactArgs(1),
		Example: "  warren alert silence home-down --for 2h",
		Long:    "Have nobody told by an alert rule for a while. What fires meanwhile, and still does then, is told when it is over; --for 0s ends it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			spec, kind := typed.SilenceBody{For: span.String()}, "AlertRule"
			silence := func() (typed.AlertRule, apiclient.Written, error) {
				return s.api.SilenceAlertRule(cmd.Context(), s.org, args[0], spec)
			}
			if *cluster {
				kind = "ClusterAlertRule"
				silence = func() (typed.AlertRule, apiclient.Written, error) {
					return s.api.SilenceClusterAlertRule(cmd.Context(), args[0], spec)
				}
			}
			rule, _, err := silence()
			if err != nil {
				return err
			}
			return a.one(kind, rule)
		},
	}
	cmd.Flags().DurationVar(&span, "for", time.Hour, "for how long")
	return cmd
}

func (a *app) alertDeliveries(cluster *bool) *cobra.Command {
	return &cobra.Command{
		Use: "deliveries RULE", Short: "Show the newest mail about alerts of a rule; what webhooks were told: warren webhook describe", Args: cobra.ExactArgs(1),
		Example: "  warren alert deliveries home-down",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			list := func() (typed.PageAlertMail, apiclient.Written, error) {
				return s.api.ListAlertDeliveries(cmd.Context(), s.org, args[0])
			}
			if *cluster {
				list = func() (typed.PageAlertMail, apiclient.Written, error) {
					return s.api.ListClusterAlertDeliveries(cmd.Context(), args[0])
				}
			}
			page, _, err := list()
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(page.Items)
			}
			var rows [][]string
			for _, v := range page.Items {
				result := "sent"
				if !v.OK {
					result = firstOf(v.Problem, "waits")
				}
				rows = append(rows, []string{stamp(&v.At), v.Type, v.Address, strconv.FormatInt(v.Attempt, 10), result})
			}
			if len(rows) == 0 {
				a.say("nobody was told yet")
				return nil
			}
			return a.table([]string{"at", "type", "address", "attempt", "result"}, rows)
		},
	}
}
