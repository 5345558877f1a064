package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// health is the answer of …/health.
type health struct {
	State  string `json:"state"`
	Broken string `json:"broken"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
	Advice string `json:"advice"`
	Hops   []struct {
		Name  string `json:"name"`
		State string `json:"state"`
		Parts []struct {
			Kind   string `json:"kind"`
			Name   string `json:"name"`
			State  string `json:"state"`
			Reason string `json:"reason"`
		} `json:"parts"`
	} `json:"hops"`
}

// hop is how one of the hops is, "" if there is none of this name.
func (h health) hop(name string) string {
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
	base := "/api/v1/orgs/" + url.PathEscape(s.org) + "/services"
	items, err := s.List(ctx, base)
	if err != nil {
		return err
	}
	if len(items) > mostHealths {
		a.say("the first %d of %d services", mostHealths, len(items))
		items = items[:mostHealths]
	}
	type service struct {
		Name string `json:"name"`
		health
	}
	var all []service
	ready := true
	for _, raw := range items {
		var v service
		if err := json.Unmarshal(raw, &struct {
			Name *string `json:"name"`
		}{&v.Name}); err != nil {
			return err
		}
		if _, err := s.Do(ctx, http.MethodGet, base+"/"+url.PathEscape(v.Name)+"/health", nil, &v.health); err != nil {
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
				row = append(row, v.hop(h))
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
