package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func gapText(g typed.RequestGap) string {
	return fmt.Sprintf("%s: %d requests of %s are not in the log: a node had no room", g.At.Format(time.TimeOnly), g.Requests, g.Service)
}

func (a *app) logsCommand() *cobra.Command {
	var q typed.ListRequestsParams
	var follow bool
	var export string
	limit := 100
	cmd := &cobra.Command{
		Use: "logs", Short: "Show what became of requests, connections and flows", Args: cobra.NoArgs,
		Long: "Show what became of requests, connections and flows, the latest last, and with -f those to come. Nodes tell of what is over,\n" +
			"within a second or two. How long the log is kept is said by PUT /api/v1/orgs/{org}/request-log.",
		Example: "  warren logs -f --service wiki --status 5xx\n  warren logs --since 1h --decision denied -o json\n  warren logs --since 24h --export csv > requests.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			base := "/api/v1/orgs/" + url.PathEscape(s.org) + "/requests"
			switch {
			case export != "" && export != "csv" && export != "ndjson":
				return usagef("--export %s: there is csv and ndjson", export)
			case export != "" && follow:
				return usagef("--export is of what is there, -f of what is to come")
			case export != "":
				by := typed.Query(q)
				by.Set("format", export)
				return a.copyOf(cmd.Context(), s, base+"/export?"+by.Encode())
			case limit < 0:
				return usagef("--limit %d: want 0 or more", limit)
			case follow && q.Until != "":
				return usagef("--until is of what is there, -f of what is to come")
			}
			switch a.output {
			case "table", "wide", "json":
			default:
				return usagef("-o %s: there is table, wide and json", a.output)
			}
			if !follow || q.Since != "" {
				if err := a.pastRequests(cmd.Context(), s, q, limit); err != nil || !follow {
					return err
				}
			}
			q.Since = ""
			return a.follow(cmd.Context(), s, base+"/tail", typed.Query(q), a.tailed)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "show requests as they are over, until Ctrl-C")
	f.IntVar(&limit, "limit", limit, "the latest so many; 0: all")
	f.StringVar(&export, "export", "", "write csv or ndjson with all fields instead")
	f.StringVar(&q.Service, "service", "", "of a service, by `name` or id")
	f.StringVar(&q.Site, "site", "", "that reached a site, by `name` or id")
	f.StringVar(&q.Node, "node", "", "that a node served, by `name` or id")
	f.StringVar(&q.Status, "status", "", "with a `status`, a class or a range: 404, 5xx, 400-499")
	f.StringVar(&q.Method, "method", "", "with a `method`")
	f.StringVar(&q.Host, "host", "", "for a `hostname`")
	f.StringVar(&q.Path, "path", "", "whose path begins with a `prefix`")
	f.StringVar(&q.Client, "client", "", "of an `address` or network")
	f.StringVar(&q.User, "user", "", "of a `user` who had signed in")
	f.StringVar(&q.Decision, "decision", "", "that were allowed, denied, refused, answered by the node, or sent to sign in (sign_in)")
	f.StringVar(&q.Since, "since", "", "since a `time` such as 2027-01-31T12:00:00Z, or for so long: 15m")
	f.StringVar(&q.Until, "until", "", "before a `time`, or until so long ago")
	return cmd
}

// copyOf writes what a call answers as it is.
func (a *app) copyOf(ctx context.Context, s *session, path string) error {
	body, err := s.wire.Stream(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(a.out, body)
	return err
}

// pastRequests shows the latest requests, the latest last.
func (a *app) pastRequests(ctx context.Context, s *session, q typed.ListRequestsParams, limit int) error {
	items := []typed.Request{}
	var gaps []typed.RequestGap
	for more := true; more; {
		q.PageSize = pageSize
		if limit > 0 {
			q.PageSize = min(pageSize, int64(limit-len(items)))
		}
		page, _, err := s.api.ListRequests(ctx, s.org, q)
		if err != nil {
			return err
		}
		items, gaps = append(items, page.Items...), append(gaps, page.Gaps...)
		q.PageToken = page.NextPageToken
		more = page.NextPageToken != "" && (limit == 0 || len(items) < limit)
	}
	slices.Reverse(items)
	if a.output == "json" {
		return a.print(items)
	}
	if len(items) == 0 {
		a.say("no requests")
	}
	for _, r := range items {
		if err := a.requestLine(r); err != nil {
			return err
		}
	}
	slices.Reverse(gaps)
	for _, g := range slices.Compact(gaps) {
		a.say("%s", gapText(g))
	}
	return nil
}

// requestLine writes a request in a line.
func (a *app) requestLine(r typed.Request) error {
	status, what := "-", r.Kind
	if r.Status > 0 {
		status = strconv.FormatInt(r.Status, 10)
	}
	if r.Method != "" {
		what = r.Method + " " + r.Host + r.Path
	} else if r.Host != "" {
		what += " " + r.Host
	}
	why := r.Decision
	for _, w := range []string{r.Reason, r.Error} {
		if w != "" {
			why += ", " + w
		}
	}
	who := ""
	if r.User != "" {
		who = " " + r.User
	}
	line := fmt.Sprintf("%s %-8s %3s %7s %s%s  %s  (%s)", r.At.Local().Format("2006-01-02 15:04:05.000"), r.Service, status, took(r.TotalMs), orDash(r.Client), who, what, why)
	if a.output == "wide" {
		line += fmt.Sprintf(" node=%s site=%s in=%d out=%d", r.Node, orDash(r.Site), r.BytesIn, r.BytesOut)
	}
	_, err := fmt.Fprintln(a.out, line)
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// took is a duration of so many milliseconds.
func took(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// tailed shows an event of a tail of requests.
func (a *app) tailed(name string, data []byte) error {
	switch name {
	case "request":
		if a.output == "json" {
			_, err := fmt.Fprintf(a.out, "%s\n", data)
			return err
		}
		var r typed.Request
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		return a.requestLine(r)
	case "gap":
		var g typed.RequestGap
		if err := json.Unmarshal(data, &g); err != nil {
			return err
		}
		a.say("%s", gapText(g))
	case "dropped":
		var d struct{ Requests uint64 }
		if err := json.Unmarshal(data, &d); err != nil {
			return err
		}
		a.say("%d requests are not shown: this is too slow for them", d.Requests)
	}
	return nil
}

// follow shows what a tail tells until the user ends it. A tail that ends, or whose replica does, is begun again.
func (a *app) follow(ctx context.Context, s *session, path string, q url.Values, show func(name string, data []byte) error) error {
	for pause := time.Second; ; {
		err := s.wire.Events(ctx, path+"?"+q.Encode(), func(name string, data []byte) error {
			pause = time.Second
			return show(name, data)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, os.ErrClosed), apiclient.StatusOf(err) >= 400 && apiclient.StatusOf(err) < 500:
			return err
		case err != nil:
			a.say("the tail has ended, it is begun again in %s: %v", pause, strings.TrimSpace(err.Error()))
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, 15*time.Second)
		}
	}
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var types []string
	limit := 100
	cmd := &cobra.Command{
		Use: "events", Short: "Show what has happened: certificates, and what else webhooks are told of", Args: cobra.NoArgs,
		Example: "  warren events -f\n  warren events --type certificate.failed -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "table" && a.output != "wide" && a.output != "json" {
				return usagef("-o %s: there is table, wide and json", a.output)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			q := typed.ListEventsParams{Type: types}
			past := q
			past.PageSize = min(max(int64(limit), 1), pageSize)
			page, _, err := s.api.ListEvents(cmd.Context(), s.org, past)
			if err != nil {
				return err
			}
			slices.Reverse(page.Items)
			if a.output == "json" && !follow {
				return a.print(page.Items)
			}
			if len(page.Items) == 0 && !follow {
				a.say("no events")
			}
			for _, e := range page.Items {
				if err := a.eventLine(e); err != nil {
					return err
				}
			}
			if !follow {
				return nil
			}
			return a.follow(cmd.Context(), s, "/api/v1/orgs/"+url.PathEscape(s.org)+"/events/tail", typed.Query(q), a.eventTold)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show those to come, until Ctrl-C")
	cmd.Flags().StringSliceVar(&types, "type", nil, "of a `type`, such as certificate.failed")
	cmd.Flags().IntVar(&limit, "limit", limit, "the latest so many, 500 at most")
	return cmd
}

// eventTold shows an event of a tail.
func (a *app) eventTold(_ string, raw []byte) error {
	var e typed.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	return a.eventLine(e)
}

func (a *app) eventLine(e typed.Event) error {
	if a.output == "json" {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s\n", raw)
		return err
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s  %-22s %s  %s\n", e.At.Local().Format("2006-01-02 15:04:05"), e.Type, e.Object, data)
	return err
}
