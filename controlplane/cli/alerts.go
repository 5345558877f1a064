package cli

import (
	"slices"
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
	cmd.AddCommand(a.alertList(&cluster), a.alertAcknowledge(&cluster), a.alertSilence(&cluster), a.alertDeliveries(&cluster))
	return cmd
}

func (a *app) alertList(cluster *bool) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show what is wrong now by the alert rules, the oldest first", Args: cobra.NoArgs,
		Long: "Show what is wrong now by the alert rules, the oldest first. Exits with 4 when one fires that nobody has acknowledged.",
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
				firing = firing || v.State == "firing" && v.AcknowledgedAt.IsZero()
				rows = append(rows, alertRow(v))
			}
			switch {
			case a.structured():
				err = a.print(page.Items)
			case len(rows) == 0:
				a.say("no alerts")
			default:
				err = a.table(slices.Clone(alertHeadings), rows)
			}
			if err == nil && firing {
				err = errNotReady
			}
			return err
		},
	}
}

var alertHeadings = []string{"rule", "name", "state", "since", "told", "known by", "reason"}

func alertRow(v typed.Alert) []string {
	known := v.AcknowledgedBy
	if known != "" {
		known += " since " + stamp(&v.AcknowledgedAt)
	}
	return []string{v.Rule, v.Name, v.State, stamp(&v.Since), strconv.FormatBool(v.Told), known, v.Reason}
}

func (a *app) alertAcknowledge(cluster *bool) *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use: "ack RULE [OBJECT]", Aliases: []string{"acknowledge"}, Short: "Say that you know of the alerts of a rule, or of the one about an object", Args: cobra.RangeArgs(1, 2),
		Example: "  warren alert ack sites home\n  warren alert ack sites home --undo",
		Long: "Say that you know of the alerts of a rule, or of the one about an object. Others see who it is; until it is over nobody is told who\n" +
			"was not yet, and warren alert list counts it as taken care of. Who was first stays. --undo takes it back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			spec := typed.AcknowledgeBody{Object: append(args, "")[1]}
			if undo {
				spec.Acknowledged = new(bool)
			}
			ack := func() (typed.PageAlert, apiclient.Written, error) {
				return s.api.AcknowledgeAlerts(cmd.Context(), s.org, args[0], spec)
			}
			if *cluster {
				ack = func() (typed.PageAlert, apiclient.Written, error) {
					return s.api.AcknowledgeClusterAlerts(cmd.Context(), args[0], spec)
				}
			}
			page, _, err := ack()
			switch {
			case err != nil:
				return err
			case a.structured():
				return a.print(page.Items)
			case len(page.Items) == 0:
				a.say("rule %s has no alerts", args[0])
				return nil
			}
			var rows [][]string
			for _, v := range page.Items {
				rows = append(rows, alertRow(v))
			}
			return a.table(slices.Clone(alertHeadings), rows)
		},
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "say that you don't any more")
	return cmd
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
