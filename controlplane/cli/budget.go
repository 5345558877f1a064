package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) issuerBudget() *cobra.Command {
	return &cobra.Command{
		Use: "budget NAME", Short: "Show what an issuer may still be asked for, and when more comes", Args: cobra.ExactArgs(1),
		Long: "Show what an issuer may still be asked for: new orders of the account, and of the names that something was used for, those with\n" +
			"the least left first. RESERVED is the part of LIMIT that only renewals may use, LEFT NEW what is left for others.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			page, _, err := s.api.GetIssuerBudget(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(page.Items)
			}
			if len(page.Items) > 0 && page.Items[0].Suspended != nil && *page.Items[0].Suspended {
				a.say("%s is suspended: nothing new is ordered from it", args[0])
			}
			return a.showBudget(page.Items)
		},
	}
}

func (a *app) showBudget(items []typed.Budget) error {
	var rows [][]string
	for _, b := range items {
		rows = append(rows, []string{b.Kind, b.Key, fmt.Sprint(b.Limit), b.Window, fmt.Sprint(b.Used), fmt.Sprint(b.Reserved), fmt.Sprint(b.Left), fmt.Sprint(b.LeftNew), stamp(&b.More)})
	}
	return a.table([]string{"kind", "of", "limit", "window", "used", "reserved", "left", "left_new", "more"}, rows)
}
