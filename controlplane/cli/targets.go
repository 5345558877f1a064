package cli

import "fmt"

// targets are those that have a health check, in the status.
type targets struct {
	Healthy   int `json:"healthy"`
	Unhealthy int `json:"unhealthy"`
	Unknown   int `json:"unknown"`
	Failing   []struct {
		Name    string `json:"name"`
		Service string `json:"service"`
		Site    string `json:"site"`
		Reason  string `json:"reason"`
	} `json:"failing"`
}

// showTargets says nothing where nothing is checked.
func (a *app) showTargets(t targets) error {
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
