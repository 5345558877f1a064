package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) jobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "job", Aliases: []string{"jobs"}, Short: "The queue of the cluster: what is to be done, and what became of it",
		Long: "The queue of the cluster: webhooks and mail that are to be sent, and bells for what is due. Jobs that are over are forgotten after a\n" +
			"day, those that failed for good after a week.",
	}
	cmd.AddCommand(a.jobList(),
		a.jobAction("retry", "Do a job now, once more if it is over", false, typed.Client.RetryJob),
		a.jobAction("cancel", "End a job that is not over; who works on it is told", true, typed.Client.CancelJob))
	return cmd
}

func (a *app) jobList() *cobra.Command {
	var p typed.ListJobsParams
	limit := 100
	cmd := &cobra.Command{
		Use: "list", Short: "Show jobs, the newest first", Args: cobra.NoArgs, Example: "  warren job list\n  warren job list --state retryable -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit %d: want 1 or more", limit)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			var all []typed.Job
			for {
				p.PageSize = int64(min(limit-len(all), pageSize))
				page, _, err := s.api.ListJobs(cmd.Context(), p)
				if err != nil {
					return err
				}
				all = append(all, page.Items...)
				if p.PageToken = page.NextPageToken; p.PageToken == "" || len(all) >= limit {
					return a.showJobs(all)
				}
			}
		},
	}
	cmd.Flags().StringVar(&p.State, "state", "", "in a `state`: available, scheduled, pending, running, retryable, completed, cancelled, discarded")
	cmd.Flags().StringVar(&p.Kind, "kind", "", "of a `kind`, such as deliver or alert_mail")
	cmd.Flags().IntVar(&limit, "limit", limit, "the newest so many")
	return cmd
}

func (a *app) showJobs(all []typed.Job) error {
	if a.structured() {
		if all == nil {
			all = []typed.Job{}
		}
		return a.print(all)
	}
	var rows [][]string
	for _, j := range all {
		if a.output == "name" {
			a.line("%s", j.ID)
			continue
		}
		row := []string{j.ID, j.Kind, j.State, strconv.FormatInt(j.Attempt, 10) + " of " + strconv.FormatInt(j.MaxAttempts, 10), stamp(&j.ScheduledAt), stamp(&j.FinishedAt), j.Problem}
		if a.output == "wide" {
			row = append(row, j.About, j.Replica)
		}
		rows = append(rows, row)
	}
	headings := []string{"id", "kind", "state", "attempt", "scheduled", "finished", "problem"}
	switch {
	case a.output == "name":
		return nil
	case a.output == "wide":
		headings = append(headings, "about", "replica")
	case a.output != "table":
		return a.print(nil)
	}
	if len(rows) == 0 {
		a.say("no jobs")
		return nil
	}
	return a.table(headings, rows)
}

// jobAction makes a command of what is done to one job.
func (a *app) jobAction(verb, short string, ask bool, do func(c typed.Client, ctx context.Context, name string) (typed.Job, apiclient.Written, error)) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1), Example: "  warren job " + verb + " 1234",
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask {
				if err := a.confirm(yes, "%s job %s? What it was to do is not done.", strings.ToUpper(verb[:1])+verb[1:], args[0]); err != nil {
					return err
				}
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			j, _, err := do(s.api, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(j)
			}
			a.say("job %s (%s) is %s", j.ID, j.Kind, j.State)
			return nil
		},
	}
	if ask {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	return cmd
}
