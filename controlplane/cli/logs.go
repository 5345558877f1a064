package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	var filter struct{ service, site, node, status, method, host, path, client, user, decision, since, until string }
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
			q := url.Values{}
			for _, f := range []struct{ name, value string }{
				{"service", filter.service}, {"site", filter.site}, {"node", filter.node}, {"status", filter.status}, {"method", filter.method}, {"host", filter.host}, {"path", filter.path},
				{"client", filter.client}, {"user", filter.user}, {"decision", filter.decision}, {"since", filter.since}, {"until", filter.until},
			} {
				if f.value != "" {
					q.Set(f.name, f.value)
				}
			}
			base := "/api/v1/orgs/" + url.PathEscape(s.org) + "/requests"
			switch {
			case export != "" && export != "csv" && export != "ndjson":
				return usagef("--export %s: there is csv and ndjson", export)
			case export != "" && follow:
				return usagef("--export is of what is there, -f of what is to come")
			case export != "":
				q.Set("format", export)
				return a.copyOf(cmd.Context(), s, base+"/export?"+q.Encode())
			case limit < 0:
				return usagef("--limit %d: want 0 or more", limit)
			case follow && filter.until != "":
				return usagef("--until is of what is there, -f of what is to come")
			}
			switch a.output {
			case "table", "wide", "json":
			default:
				return usagef("-o %s: there is table, wide and json", a.output)
			}
			if !follow || filter.since != "" {
				if err := a.pastRequests(cmd.Context(), s, base, q, limit); err != nil || !follow {
					return err
				}
			}
			q.Del("since")
			return a.follow(cmd.Context(), s, base+"/tail", q, a.tailed)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "show requests as they are over, until Ctrl-C")
	f.IntVar(&limit, "limit", limit, "the latest so many; 0: all")
	f.StringVar(&export, "export", "", "write csv or ndjson with all fields instead")
	f.StringVar(&filter.service, "service", "", "of a service, by `name` or id")
	f.StringVar(&filter.site, "site", "", "that reached a site, by `name` or id")
	f.StringVar(&filter.node, "node", "", "that a node served, by `name` or id")
	f.StringVar(&filter.status, "status", "", "with a `status`, a class or a range: 404, 5xx, 400-499")
	f.StringVar(&filter.method, "method", "", "with a `method`")
	f.StringVar(&filter.host, "host", "", "for a `hostname`")
	f.StringVar(&filter.path, "path", "", "whose path begins with a `prefix`")
	f.StringVar(&filter.client, "client", "", "of an `address` or network")
	f.StringVar(&filter.user, "user", "", "of a `user` who had signed in")
	f.StringVar(&filter.decision, "decision", "", "that were allowed, denied, refused, answered by the node, or sent to sign in (sign_in)")
	f.StringVar(&filter.since, "since", "", "since a `time` such as 2027-01-31T12:00:00Z, or for so long: 15m")
	f.StringVar(&filter.until, "until", "", "before a `time`, or until so long ago")
	return cmd
}

// copyOf writes what a call answers as it is.
func (a *app) copyOf(ctx context.Context, s *session, path string) error {
	body, err := s.Stream(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(a.out, body)
	return err
}

// pastRequests shows the latest requests, the latest last.
func (a *app) pastRequests(ctx context.Context, s *session, base string, q url.Values, limit int) error {
	q = cloned(q)
	items := []json.RawMessage{}
	var gaps []typed.RequestGap
	for more := true; more; {
		size := 500
		if limit > 0 {
			size = min(size, limit-len(items))
		}
		q.Set("page_size", strconv.Itoa(size))
		var page struct {
			Items []json.RawMessage  `json:"items"`
			Gaps  []typed.RequestGap `json:"gaps"`
			Next  string             `json:"next_page_token"`
		}
		if _, err := s.Do(ctx, http.MethodGet, base+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		items, gaps = append(items, page.Items...), append(gaps, page.Gaps...)
		q.Set("page_token", page.Next)
		more = page.Next != "" && (limit == 0 || len(items) < limit)
	}
	slices.Reverse(items)
	if a.output == "json" {
		return a.print(items)
	}
	if len(items) == 0 {
		a.say("no requests")
	}
	for _, raw := range items {
		if err := a.requestLine(raw); err != nil {
			return err
		}
	}
	slices.Reverse(gaps)
	for _, g := range slices.Compact(gaps) {
		a.say("%s", gapText(g))
	}
	return nil
}

func cloned(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	return out
}

// requestLine writes a request in a line.
func (a *app) requestLine(raw json.RawMessage) error {
	if a.output == "json" {
		_, err := fmt.Fprintf(a.out, "%s\n", raw)
		return err
	}
	var r typed.Request
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
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
		return a.requestLine(data)
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
		err := s.Events(ctx, path+"?"+q.Encode(), func(name string, data []byte) error {
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
			base, q := "/api/v1/orgs/"+url.PathEscape(s.org)+"/events", url.Values{}
			for _, t := range types {
				q.Add("type", t)
			}
			past := cloned(q)
			past.Set("page_size", strconv.Itoa(min(max(limit, 1), 500)))
			var page struct {
				Items []json.RawMessage `json:"items"`
			}
			if _, err := s.Do(cmd.Context(), http.MethodGet, base+"?"+past.Encode(), nil, &page); err != nil {
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
				if err := a.eventLine("event", e); err != nil {
					return err
				}
			}
			if !follow {
				return nil
			}
			return a.follow(cmd.Context(), s, base+"/tail", q, a.eventLine)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show those to come, until Ctrl-C")
	cmd.Flags().StringSliceVar(&types, "type", nil, "of a `type`, such as certificate.failed")
	cmd.Flags().IntVar(&limit, "limit", limit, "the latest so many, 500 at most")
	return cmd
}

func (a *app) eventLine(_ string, raw []byte) error {
	if a.output == "json" {
		_, err := fmt.Fprintf(a.out, "%s\n", raw)
		return err
	}
	var e typed.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s  %-22s %s  %s\n", e.At.Local().Format("2006-01-02 15:04:05"), e.Type, e.Object, data)
	return err
}
