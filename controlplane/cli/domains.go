package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) domainCommand() *cobra.Command {
	domain := &cobra.Command{Use: "domain", Short: "Check that domains lead to our nodes"}
	domain.AddCommand(&cobra.Command{
		Use: "check NAME", Short: "Say whether a certificate authority would be content with a domain, and what to type at the registrar", Args: cobra.ExactArgs(1),
		Long: "Ask the DNS, from the root down, whether a certificate authority would be content with a domain: who it is delegated to and\n" +
			"whether they answer, DS and CAA records, where challenges and names lead. Takes up to ten seconds. Exits with 4 when\n" +
			"something is wrong; standard output then says what, and what to type.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			c, _, err := s.api.CheckDomain(cmd.Context(), s.org, args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(c)
			} else {
				err = a.showCheck(args[0], c)
			}
			if err == nil && !c.OK {
				err = errNotReady
			}
			return err
		},
	})
	return domain
}

// showCheck writes a check for a person: what is wrong, else how names are proved; then what delegates the domain.
func (a *app) showCheck(name string, c typed.DomainCheckView) error {
	var rows [][]string
	for _, p := range c.Problems {
		rows = append(rows, []string{"problem", p.Code, firstOf(p.Name, name), p.Message})
	}
	for _, p := range c.Warnings {
		rows = append(rows, []string{"warning", p.Code, firstOf(p.Name, name), p.Message})
	}
	var names []string
	for n := range c.Methods {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		how := "by " + strings.Join(c.Methods[n], " or ")
		if to := c.Aliases[strings.TrimPrefix(n, "*.")]; to != "" {
			how += ", answered at " + to
		}
		rows = append(rows, []string{"ok", "", n, how})
	}
	if err := a.table([]string{"result", "code", "name", "what"}, rows); err != nil {
		return err
	}
	if c.Delegated && len(c.Warnings) == 0 {
		return nil
	}
	rows = nil
	for _, r := range c.Records {
		rows = append(rows, []string{r.Name, r.Type, r.Value})
	}
	a.say("To delegate %s to the nodes, type these at its registrar (addresses as glue):", name)
	return a.table([]string{"name", "type", "value"}, rows)
}
