package rest

import (
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// targetHealth shows targets as presence knows them.
type targetHealth struct {
	world *model.Current
	seen  *presence.Store
}

// TargetHealth implements admin.Health.
func (h targetHealth) TargetHealth(t *model.Target) admin.TargetHealth {
	v := h.seen.Verdict(h.world.Get(), t)
	return admin.TargetHealth{State: v.State.String(), Reason: v.Reason}
}

// targetsView is how the targets are that have a health check.
type targetsView struct {
	Healthy   int           `json:"healthy"`
	Unhealthy int           `json:"unhealthy"`
	Unknown   int           `json:"unknown" doc:"No connector has said anything yet"`
	Failing   []failingView `json:"failing" doc:"Of the unhealthy ones, the first hundred"`
}

type failingView struct {
	Name         string `json:"name"`
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Service      string `json:"service"`
	Site         string `json:"site"`
	Reason       string `json:"reason,omitempty"`
}

// mostFailing bounds a list that is for people.
const mostFailing = 100

// targets counts the checked targets of the organizations that the caller may see.
func (a *API) targets(m *model.Model, may func(model.OrgID) bool) targetsView {
	out := targetsView{Failing: []failingView{}}
	for t := range m.Targets() {
		if t.HealthCheck == nil || !may(t.Org) {
			continue
		}
		v := a.Presence.Verdict(m, t)
		switch v.State {
		case presence.TargetHealthy:
			out.Healthy++
		case presence.TargetUnhealthy:
			out.Unhealthy++
			if len(out.Failing) < mostFailing {
				out.Failing = append(out.Failing, failing(m, t, v.Reason))
			}
		default:
			out.Unknown++
		}
	}
	return out
}

func failing(m *model.Model, t *model.Target, reason string) failingView {
	v := failingView{Name: t.Name, ID: t.ID.String(), Reason: reason}
	if o := m.Organization(t.Org); o != nil {
		v.Organization = o.Name
	}
	if s := m.Service(t.Service); s != nil {
		v.Service = s.Name
	}
	if s := m.Site(t.Site); s != nil {
		v.Site = s.Name
	}
	return v
}
