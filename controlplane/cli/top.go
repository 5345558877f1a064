package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// topEvery is how often it is shown anew; topTime the time that it shows, a few windows of what nodes count.
const (
	topEvery = 5 * time.Second
	topTime  = time.Minute
)

func (a *app) topCommand() *cobra.Command {
	var once bool
	since := topTime
	cmd := &cobra.Command{
		Use: "top [services|sites|nodes]", Short: "Show which services, sites or nodes have how much to do", Args: cobra.MaximumNArgs(1), ValidArgs: []string{"services", "sites", "nodes"},
		Long: "Show which services, sites or nodes have had how much to do in the last minute, the busiest first; on a terminal again and again,\n" +
			"until Ctrl-C. Nodes count in windows of 15 seconds.",
		Example: "  warren top\n  warren top sites --once -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			by, ok := map[string]string{"services": "service", "sites": "site", "nodes": "node"}[append(args, "services")[0]]
			if !ok {
				return usagef("top %s: there is services, sites and nodes", args[0])
			}
			if since < topTime {
				return usagef("--for %s: want %s or more", since, topTime)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			screen := isTerminal(a.out) && !once && !a.structured()
			for {
				if err := a.showTop(cmd.Context(), s, by, since, screen); err != nil || !screen {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(topEvery):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "show it once, also on a terminal")
	cmd.Flags().DurationVar(&since, "for", since, "of so `long`")
	return cmd
}

// showTop shows it once, in place of what the screen has.
func (a *app) showTop(ctx context.Context, s *session, by string, since time.Duration, screen bool) error {
	page, _, err := s.api.GetTraffic(ctx, s.org, typed.GetTrafficParams{By: by, Since: since.String()})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if a.structured() {
		return a.print(page.Items)
	}
	if a.output != "table" && a.output != "wide" {
		return a.print(nil)
	}
	out := a.out
	var frame bytes.Buffer
	if screen {
		a.out = &frame
		defer func() { a.out = out }()
		frame.WriteString("\x1b[H\x1b[2J")
	}
	if err := a.topTable(by, page.Items); err != nil {
		return err
	}
	if screen {
		_, err := out.Write(frame.Bytes())
		return err
	}
	return nil
}

func (a *app) topTable(by string, list []typed.Traffic) error {
	slices.SortFunc(list, func(x, y typed.Traffic) int {
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.Name, y.Name))
	})
	var rows [][]string
	for _, t := range list {
		name := cmp.Or(t.Name, t.ID)
		if name == "" {
			name = "(none reached)"
		}
		row := []string{
			name, fmt.Sprintf("%.1f", t.Rate), share(t.Statuses.N4Xx, t.Requests), share(t.Statuses.N5Xx, t.Requests), share(t.Failed, t.Requests), fmt.Sprint(t.Denied),
			took(t.P50Ms), took(t.P95Ms), took(t.P99Ms), size(t.BytesIn), size(t.BytesOut),
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		a.say("no traffic")
		return nil
	}
	return a.table([]string{by, "req/s", "4xx", "5xx", "failed", "denied", "p50", "p95", "p99", "in", "out"}, rows)
}

func share(n, of int64) string {
	if n == 0 || of == 0 {
		return "0%"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// size is so many bytes, in words.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
