package cli

import (
	"fmt"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// showTargets says nothing where nothing is checked.
func (a *app) showTargets(t typed.TargetsView) error {
	if t.Healthy+t.Unhealthy+t.Unknown == 0 {
		return nil
	}
	fmt.Fprintf(a.out, "\nchecked targets: %d healthy, %d unhealthy, %d not known yet\n", t.Healthy, t.Unhealthy, t.Unknown)
	var rows [][]string
	for _, f := range t.Failing {
		rows = append(rows, []string{f.Name, f.Service, f.Site, f.Reason})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"unhealthy target", "service", "site", "reason"}, rows)
}
