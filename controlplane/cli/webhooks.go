package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhook", Aliases: []string{"webhooks"}, Short: "Receivers of events: what came of calling them",
		Long: "Receivers of events. warren create webhook NAME --url URL makes one of the organization, and shows the key that its events\n" +
			"are signed with (standardwebhooks.com), once; warren create cluster-webhook one that hears of all organizations.",
	}
	var cluster bool
	cmd.PersistentFlags().BoolVar(&cluster, "cluster", false, "a webhook of the cluster, not of the organization")
	at := func(s *session) webhookAPI {
		if cluster {
			return webhookAPI{s.api.GetClusterWebhook, s.api.ListClusterWebhookDeliveries, s.api.TestClusterWebhook, s.api.RotateClusterWebhookSecret}
		}
		return webhookAPI{in(s.org, s.api.GetWebhook), in(s.org, s.api.ListWebhookDeliveries), in(s.org, s.api.TestWebhook), in(s.org, s.api.RotateWebhookSecret)}
	}
	cmd.AddCommand(a.webhookDescribe(at), a.webhookTest(at), a.webhookRotate(at))
	return cmd
}

// webhookAPI is what can be asked about a webhook, wherever it belongs.
type webhookAPI struct {
	get        func(ctx context.Context, name string) (typed.Webhook, apiclient.Written, error)
	deliveries func(ctx context.Context, name string) (typed.PageWebhookAttempt, apiclient.Written, error)
	test       func(ctx context.Context, name string) (typed.WebhookTest, apiclient.Written, error)
	rotate     func(ctx context.Context, name string) (typed.Webhook, apiclient.Written, error)
}

// in is a call of one organization.
func in[V any](org string, call func(ctx context.Context, org, name string) (V, apiclient.Written, error)) func(ctx context.Context, name string) (V, apiclient.Written, error) {
	return func(ctx context.Context, name string) (V, apiclient.Written, error) { return call(ctx, org, name) }
}

func (a *app) webhookDescribe(at func(*session) webhookAPI) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show a webhook and its latest calls, the newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			api := at(s)
			hook, _, err := api.get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			calls, _, err := api.deliveries(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(struct {
					typed.Webhook
					Deliveries []typed.WebhookAttempt `json:"deliveries"`
				}{hook, calls.Items})
			}
			return describeWebhook(a.out, hook, calls.Items)
		},
	}
}

func describeWebhook(out io.Writer, hook typed.Webhook, calls []typed.WebhookAttempt) error {
	var b strings.Builder
	events := firstOf(strings.Join(hook.Events, ","), "all")
	for _, l := range [][2]string{{"Name", hook.Name}, {"URL", hook.URL}, {"Events", events}, {"Enabled", strconv.FormatBool(hook.Enabled)}} {
		fmt.Fprintf(&b, "%-8s %s\n", l[0], l[1])
	}
	for i, c := range calls {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString(attemptLine(c))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// attemptLine is a call of a webhook in words.
func attemptLine(c typed.WebhookAttempt) string {
	result := "no answer"
	if c.Status > 0 {
		result = fmt.Sprint(c.Status)
	}
	out := fmt.Sprintf("%s  %-20s attempt %d  %s in %s  %s\n", stamp(&c.At), c.Type, c.Attempt, result, c.Took, c.Event)
	if c.Problem != "" {
		out += "  " + c.Problem + "\n"
	}
	if c.Answer != "" && !c.OK {
		first, _, _ := strings.Cut(strings.TrimSpace(c.Answer), "\n")
		out += "  it says: " + first + "\n"
	}
	return out
}

// testPatience is above what a call may take, and what a queue may.
const testPatience = 20 * time.Second

func (a *app) webhookTest(at func(*session) webhookAPI) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Call a webhook with an event of its own, and show what came of it", Args: cobra.ExactArgs(1),
		Long: "Call a webhook, once, with an event of type webhook.test, although it may be disabled. Exits with 4 when the receiver did\n" +
			"not take it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			api := at(s)
			made, _, err := api.test(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c, err := a.delivered(cmd.Context(), api, args[0], made.Event)
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(c)
			} else {
				_, err = io.WriteString(a.out, attemptLine(c))
			}
			if err == nil && !c.OK {
				err = errNotReady
			}
			return err
		},
	}
}

// delivered waits for the call that an event leads to.
func (a *app) delivered(ctx context.Context, api webhookAPI, name, event string) (typed.WebhookAttempt, error) {
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		calls, _, err := api.deliveries(ctx, name)
		if err != nil && ctx.Err() == nil && !apiclient.Passes(err) { // else a replica ends: another one tells
			return typed.WebhookAttempt{}, err
		}
		for _, c := range calls.Items {
			if c.Event == event {
				return c, nil
			}
		}
		select {
		case <-ctx.Done():
			a.say("the webhook has not been called yet: is there a replica with the role worker?")
			return typed.WebhookAttempt{}, errNotReady
		case <-tick.C:
		}
	}
}

func (a *app) webhookRotate(at func(*session) webhookAPI) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "rotate-secret NAME", Short: "Replace the key that events are signed with, and show it once; the old one signs nothing more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "Replace the key of webhook %s? Its receiver refuses events until it has the new one.", args[0]); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			hook, _, err := at(s).rotate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(hook)
			}
			a.secret(hook.Secret)
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
