package cli

import (
	"context"
	"fmt"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// hop is how one of the hops is, "" if there is none of this name.
func hopOf(h typed.Report, name string) string {
	for _, p := range h.Hops {
		if p.Name == name {
			return p.State
		}
	}
	return ""
}

// hopNames are the hops to a service in the order in which a request meets them.
var hopNames = []string{"dns", "node", "tls", "tunnel", "target"}

// mostHealths is of how many services the hops are shown.
const mostHealths = 500

// statusOfServices shows how each hop to each service is, and what to do about what is broken.
func (a *app) statusOfServices(ctx context.Context) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	items, err := s.services(ctx)
	if err != nil {
		return err
	}
	if len(items) > mostHealths {
		a.say("the first %d of %d services", mostHealths, len(items))
		items = items[:mostHealths]
	}
	type service struct {
		Name string `json:"name"`
		typed.Report
	}
	var all []service
	ready := true
	for _, svc := range items {
		v := service{Name: svc.Name}
		if v.Report, _, err = s.api.GetServiceHealth(ctx, s.org, v.Name); err != nil {
			return err
		}
		ready = ready && (v.State == "healthy" || v.State == "unknown")
		all = append(all, v)
	}
	if a.structured() {
		err = a.print(all)
	} else {
		var rows [][]string
		for _, v := range all {
			row := []string{v.Name, v.State}
			for _, h := range hopNames {
				row = append(row, hopOf(v.Report, h))
			}
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			a.say("no services")
			return nil
		}
		err = a.table(append([]string{"service", "state"}, hopNames...), rows)
		for _, v := range all {
			if v.Reason != "" {
				fmt.Fprintf(a.out, "\n%s: %s: %s\n  %s\n", v.Name, v.Broken, v.Reason, v.Advice)
			}
		}
	}
	if err == nil && !ready {
		err = errNotReady
	}
	return err
}
