package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Traffic is how much there was, in a step of time, or of a service, site or node.
type Traffic struct {
	At       *time.Time `json:"at,omitempty" doc:"When the step begins"`
	ID       string     `json:"id,omitempty" doc:"Of the service, site or node"`
	Name     string     `json:"name,omitempty" doc:"Its name; absent if it is gone, and of what reached no site"`
	Requests int64      `json:"requests" doc:"Requests, connections and flows that were over"`
	Rate     float64    `json:"rate" doc:"Of them, a second"`
	Statuses Statuses   `json:"statuses"`
	Denied   int64      `json:"denied" doc:"Those that a policy turned away"`
	Failed   int64      `json:"failed" doc:"Those that got no whole answer of a target, or a status of 5xx"`
	In       int64      `json:"bytes_in"`
	Out      int64      `json:"bytes_out"`
	P50      float64    `json:"p50_ms" doc:"Half took no longer, from their head to the end of the answer"`
	P95      float64    `json:"p95_ms"`
	P99      float64    `json:"p99_ms"`
	Unlogged int64      `json:"unlogged,omitempty" doc:"Those that the request log lacks, because a node had no room"`
}

// Statuses are how many answers there were of each class.
type Statuses struct {
	None int64 `json:"none,omitempty" doc:"Not HTTP, or without an answer"`
	S1xx int64 `json:"1xx,omitempty"`
	S2xx int64 `json:"2xx,omitempty"`
	S3xx int64 `json:"3xx,omitempty"`
	S4xx int64 `json:"4xx,omitempty"`
	S5xx int64 `json:"5xx,omitempty"`
}

// TrafficQuery selects traffic of an organization, by names or ids.
type TrafficQuery struct {
	Service, Site string
	Since, Until  time.Time // by default the last hour
	Step          time.Duration
	By            model.TrafficBy
}

// Bounds of a series.
const (
	maxPoints      = 3000
	DefaultTraffic = time.Hour
)

// Traffic adds up what nodes have counted: step by step, or by service, site or node.
func (a *Admin) Traffic(ctx context.Context, p access.Principal, org string, q TrafficQuery) (out []Traffic, err error) {
	now := time.Now().UTC()
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-DefaultTraffic)
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.TrafficRead); err != nil {
			return err
		}
		of := model.TrafficQuery{Since: q.Since, Until: q.Until, Step: q.Step, By: q.By}
		if q.Service != "" {
			v, err := serviceByRef(c, q.Service)
			if err != nil {
				return missing("service", q.Service, err)
			}
			of.Service = v.ID
		}
		if q.Site != "" {
			v, err := siteByRef(c, q.Site)
			if err != nil {
				return missing("site", q.Site, err)
			}
			of.Site = v.ID
		}
		if q.Step > 0 {
			of.Since = of.Since.Truncate(q.Step)
		}
		list, err := c.tx.SumTraffic(c, c.org, of, now)
		if err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(list))
		for i, v := range list {
			ids[i] = v.Of
		}
		names, err := c.tx.NamesOf(c, q.By, ids)
		out = make([]Traffic, len(list))
		for i, v := range list {
			out[i] = viewTraffic(v, q)
			if out[i].Name = names[v.Of]; q.By == model.ByNode && !p.Can(access.NodesRead, model.OrgID{}) {
				out[i].Name = "" // nodes are the cluster's
			}
		}
		return err
	})
	return out, err
}

// NodeTraffic adds up what each node has carried, of whatever organization: how busy they are is the cluster's own.
func (a *Admin) NodeTraffic(ctx context.Context, p access.Principal, since, until time.Time) (out []Traffic, err error) {
	if err := p.Check(access.NodesRead); err != nil {
		return nil, err
	}
	q := TrafficQuery{Since: since, Until: until, By: model.ByNode}
	err = a.store.View(ctx, func(tx *store.Tx) error {
		list, err := tx.SumTraffic(ctx, model.OrgID{}, model.TrafficQuery{Since: since, Until: until, By: model.ByNode}, time.Now().UTC())
		for _, v := range list {
			out = append(out, viewTraffic(v, q))
		}
		return err
	})
	return out, err
}

func (q *TrafficQuery) validate() error {
	switch took := q.Until.Sub(q.Since); {
	case took <= 0:
		return fault.Field("until", "not after since")
	case took > model.TrafficCoarseKept+24*time.Hour:
		return fault.Field("since", "more than %d days before until", model.TrafficCoarseKept/(24*time.Hour))
	case q.Step < 0 || q.Step%model.TrafficFine != 0:
		return fault.Field("step", "%s, want a multiple of %s", q.Step, model.TrafficFine)
	case q.Step > 0 && took/q.Step > maxPoints:
		return fault.Field("step", "%s makes more than %d points of this time", q.Step, maxPoints)
	case q.Step > 0 && q.By != model.ByNothing:
		return fault.Field("step", "not together with by")
	case q.By == model.ByNode && took > model.TrafficFineKept:
		return fault.Field("by", "nodes are told apart for a day")
	}
	switch q.By {
	case model.ByNothing, model.ByService, model.BySite, model.ByNode:
		return nil
	}
	return fault.Field("by", "%q, want service, site or node", q.By)
}

func viewTraffic(v *model.TrafficSum, q TrafficQuery) Traffic {
	out := Traffic{
		Requests: v.Requests, Denied: v.Denied, Failed: v.Failed, In: v.In, Out: v.Out, Unlogged: v.Unlogged,
		Statuses: Statuses{v.Statuses[0], v.Statuses[1], v.Statuses[2], v.Statuses[3], v.Statuses[4], v.Statuses[5]},
		P50:      ms(v.Took.Quantile(.5)), P95: ms(v.Took.Quantile(.95)), P99: ms(v.Took.Quantile(.99)),
	}
	took := q.Until.Sub(q.Since)
	if q.Step > 0 {
		at := v.At.UTC()
		out.At, took = &at, q.Step
	}
	out.Rate = float64(v.Requests) / took.Seconds()
	if v.Of != uuid.Nil {
		switch q.By {
		case model.ByService:
			out.ID = model.ServiceID{UUID: v.Of}.String()
		case model.BySite:
			out.ID = model.SiteID{UUID: v.Of}.String()
		case model.ByNode:
			out.ID = model.NodeID{UUID: v.Of}.String()
		}
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
