package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
	path := func(s *session, name, action string) (string, error) {
		plural := "webhooks"
		if cluster {
			plural = "cluster-webhooks"
		}
		k, err := findKind(plural)
		if err != nil {
			return "", err
		}
		return k.path(s.org, name) + action, nil
	}
	cmd.AddCommand(a.webhookDescribe(path), a.webhookTest(path), a.webhookRotate(path))
	return cmd
}

// webhookPath is where an action of a webhook is.
type webhookPath func(s *session, name, action string) (string, error)

func (a *app) webhookDescribe(path webhookPath) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show a webhook and its latest calls, the newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			at, err := path(s, args[0], "")
			if err != nil {
				return err
			}
			var hook map[string]any
			if _, err := s.Do(cmd.Context(), http.MethodGet, at, nil, &hook); err != nil {
				return err
			}
			calls, err := attempts(cmd.Context(), s, at)
			if err != nil {
				return err
			}
			if a.structured() {
				hook["deliveries"] = calls
				return a.print(hook)
			}
			return describeWebhook(a.out, hook, calls)
		},
	}
}

func attempts(ctx context.Context, s *session, at string) ([]typed.WebhookAttempt, error) {
	var page typed.PageWebhookAttempt
	_, err := s.Do(ctx, http.MethodGet, at+"/deliveries", nil, &page)
	return page.Items, err
}

func describeWebhook(out io.Writer, hook map[string]any, calls []typed.WebhookAttempt) error {
	var b strings.Builder
	events := cell(hook["events"])
	if events == "" {
		events = "all"
	}
	for _, l := range [][2]string{{"Name", cell(hook["name"])}, {"URL", cell(hook["url"])}, {"Events", events}, {"Enabled", cell(hook["enabled"])}} {
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

func (a *app) webhookTest(path webhookPath) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Call a webhook with an event of its own, and show what came of it", Args: cobra.ExactArgs(1),
		Long: "Call a webhook, once, with an event of type webhook.test, although it may be disabled. Exits with 4 when the receiver did\n" +
			"not take it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			at, err := path(s, args[0], "")
			if err != nil {
				return err
			}
			var made struct{ Event string }
			if _, err := s.Do(cmd.Context(), http.MethodPost, at+"/test", nil, &made); err != nil {
				return err
			}
			c, err := a.delivered(cmd.Context(), s, at, made.Event)
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
func (a *app) delivered(ctx context.Context, s *session, at, event string) (typed.WebhookAttempt, error) {
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		calls, err := attempts(ctx, s, at)
		if err != nil && ctx.Err() == nil {
			return typed.WebhookAttempt{}, err
		}
		for _, c := range calls {
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

func (a *app) webhookRotate(path webhookPath) *cobra.Command {
	return &cobra.Command{
		Use: "rotate-secret NAME", Short: "Replace the key that events are signed with, and show it once; the old one signs nothing more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			at, err := path(s, args[0], "/rotate-secret")
			if err != nil {
				return err
			}
			var o json.RawMessage
			if _, err := s.Do(cmd.Context(), http.MethodPost, at, nil, &o); err != nil {
				return err
			}
			return a.once(o)
		},
	}
}
