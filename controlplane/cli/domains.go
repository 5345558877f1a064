package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) domainCommand() *cobra.Command {
	domain := &cobra.Command{Use: "domain", Short: "Add domains, prove that they are the organization's, check that they lead to our nodes"}
	domain.AddCommand(a.domainAdd())
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
	domain.AddCommand(&cobra.Command{
		Use: "prove NAME", Aliases: []string{"verify"}, Short: "Make a claimed domain the organization's, or have the DNS asked about it", Args: cobra.ExactArgs(1),
		Long: "A domain that an organization adds is its own once the DNS says so, by a TXT record that 'warren domain check NAME' shows: nodes\n" +
			"answer for no other. Administrators of the cluster make it so by this command; for others the DNS is asked again at once.\n" +
			"Exits with 4 while it is not proved.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			d, _, err := s.api.ProveDomain(cmd.Context(), s.org, args[0])
			if err != nil {
				return err
			}
			if d.Unproven == nil || !*d.Unproven {
				a.say("%s is the organization's", args[0])
				return nil
			}
			if p := d.Proof; p != nil {
				a.say("%s is not proved yet; the DNS is asked again within ten seconds, for %s TXT %q. %s", args[0], p.Name, p.Value, p.Problem)
			}
			return errNotReady
		},
	})
	return domain
}

// domainAdd is "create domain" where who looks for domains looks first.
func (a *app) domainAdd() *cobra.Command {
	k, err := exactKind("Domain")
	if err != nil {
		panic(err) // of a name that is written here
	}
	add := a.createKind(k)
	add.Use, add.Aliases, add.Short = "add NAME", nil, "Add a domain in which services can be published"
	return add
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
	a.say("To delegate %s to the nodes (after a TXT record, if there is one, has proved it), type these at its registrar (addresses as glue):", name)
	return a.table([]string{"name", "type", "value"}, rows)
}
