package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) issuerBudget() *cobra.Command {
	return &cobra.Command{
		Use: "budget NAME", Short: "Show what an issuer may still be asked for, and when more comes", Args: cobra.ExactArgs(1),
		Long: "Show what an issuer may still be asked for: new orders of the account, and of the names that something was used for, those with\n" +
			"the least left first. RESERVED is the part of LIMIT that only renewals may use, LEFT NEW what is left for others.",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind("issuers")
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			var page struct {
				Items []json.RawMessage `json:"items"`
			}
			if _, err := s.Do(cmd.Context(), http.MethodGet, k.path(s.org, args[0])+"/budget", nil, &page); err != nil {
				return err
			}
			if a.structured() {
				return a.print(page.Items)
			}
			return a.showBudget(page.Items)
		},
	}
}

func (a *app) showBudget(items []json.RawMessage) error {
	var rows [][]string
	for _, raw := range items {
		var b struct {
			Kind     string     `json:"kind"`
			Key      string     `json:"key"`
			Limit    int        `json:"limit"`
			Window   string     `json:"window"`
			Used     int        `json:"used"`
			Reserved int        `json:"reserved"`
			Left     int        `json:"left"`
			LeftNew  int        `json:"left_new"`
			More     *time.Time `json:"more"`
		}
		if err := json.Unmarshal(raw, &b); err != nil {
			return err
		}
		rows = append(rows, []string{b.Kind, b.Key, fmt.Sprint(b.Limit), b.Window, fmt.Sprint(b.Used), fmt.Sprint(b.Reserved), fmt.Sprint(b.Left), fmt.Sprint(b.LeftNew), stamp(b.More)})
	}
	return a.table([]string{"kind", "of", "limit", "window", "used", "reserved", "left", "left_new", "more"}, rows)
}
