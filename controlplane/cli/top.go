package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// topEvery is how often it is shown anew; topTime the time that it shows, a few windows of what nodes count.
const (
	topEvery = 5 * time.Second
	topTime  = time.Minute
)

// traffic is how much there was, as far as it is shown in words.
type traffic struct {
	Name     string  `json:"name"`
	ID       string  `json:"id"`
	Requests int64   `json:"requests"`
	Rate     float64 `json:"rate"`
	Statuses struct {
		S4xx int64 `json:"4xx"`
		S5xx int64 `json:"5xx"`
	} `json:"statuses"`
	Denied int64   `json:"denied"`
	Failed int64   `json:"failed"`
	In     int64   `json:"bytes_in"`
	Out    int64   `json:"bytes_out"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
}

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
			path := "/api/v1/orgs/" + url.PathEscape(s.org) + "/traffic?" + url.Values{"by": {by}, "since": {since.String()}}.Encode()
			screen := isTerminal(a.out) && !once && !a.structured()
			for {
				if err := a.showTop(cmd.Context(), s, path, by, screen); err != nil || !screen {
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

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// showTop shows it once, in place of what the screen has.
func (a *app) showTop(ctx context.Context, s *session, path, by string, screen bool) error {
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if _, err := s.Do(ctx, http.MethodGet, path, nil, &page); err != nil {
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
	list := make([]traffic, len(page.Items))
	for i, raw := range page.Items {
		if err := json.Unmarshal(raw, &list[i]); err != nil {
			return err
		}
	}
	out := a.out
	var frame bytes.Buffer
	if screen {
		a.out = &frame
		defer func() { a.out = out }()
		frame.WriteString("\x1b[H\x1b[2J")
	}
	if err := a.topTable(by, list); err != nil {
		return err
	}
	if screen {
		_, err := out.Write(frame.Bytes())
		return err
	}
	return nil
}

func (a *app) topTable(by string, list []traffic) error {
	slices.SortFunc(list, func(x, y traffic) int {
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.Name, y.Name))
	})
	var rows [][]string
	for _, t := range list {
		name := cmp.Or(t.Name, t.ID)
		if name == "" {
			name = "(none reached)"
		}
		row := []string{
			name, fmt.Sprintf("%.1f", t.Rate), share(t.Statuses.S4xx, t.Requests), share(t.Statuses.S5xx, t.Requests), share(t.Failed, t.Requests), fmt.Sprint(t.Denied),
			took(t.P50), took(t.P95), took(t.P99), size(t.In), size(t.Out),
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
