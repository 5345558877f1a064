package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

type requestPage struct {
	Items []admin.Request    `json:"items" doc:"The newest first"`
	Gaps  []admin.RequestGap `json:"gaps" doc:"Where the log lacks requests of the same time, the newest first, 100 at most"`
	Next  string             `json:"next_page_token,omitempty"`
}

// requests shows what became of requests, and how much there was.
func (a *API) requests() {
	const base = "/api/v1/orgs/{org}/requests"
	huma.Register(a.huma, operation(http.MethodGet, base, "list-requests", "The request log, the newest first", "requests", access.RequestsRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			admin.RequestQuery
			PageQuery
		}) (*answer[requestPage], error) {
			f, err := in.Filter(time.Now())
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			scope := "requests/" + in.Org
			before, err := a.requestMark(scope, in.Token)
			if err != nil {
				return nil, err
			}
			size := min(in.Size, maxPage)
			items, gaps, err := a.Admin.Requests(ctx, caller(ctx), in.Org, f, before, size+1)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := requestPage{Items: items, Gaps: gaps}
			if len(items) > size {
				out.Items = items[:size]
				last := items[size-1]
				out.Next = a.sealMark(scope, last.At.Format(time.RFC3339Nano)+" "+last.ID)
			}
			return &answer[requestPage]{Status: http.StatusOK, Body: out}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/request-log", "get-request-log", "What an organization wants of its request log", "requests", access.RequestsRead, 200),
		func(ctx context.Context, in *struct{ OrgPath }) (*answer[admin.RequestLogSpec], error) {
			v, err := a.Admin.RequestLog(ctx, caller(ctx), in.Org)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPut, "/api/v1/orgs/{org}/request-log", "put-request-log", "Say what an organization wants of its request log", "requests", access.RequestsManage, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			Body admin.RequestLogSpec
		}) (*answer[admin.RequestLogSpec], error) {
			v, err := a.Admin.SetRequestLog(ctx, caller(ctx), in.Org, in.Body)
			return told(ctx, a, v, err)
		})
	a.traffic()
	a.events()
	a.tails()
}

func (a *API) requestMark(scope, token string) (m model.RequestMark, err error) {
	mark, err := a.openMark(scope, token)
	if err != nil || mark == "" {
		return m, err
	}
	at, id, _ := strings.Cut(mark, " ")
	if m.At, err = time.Parse(time.RFC3339Nano, at); err == nil {
		m.ID, err = uuid.Parse(id)
	}
	return m, err
}

type TrafficQuery struct {
	Service string `query:"service" maxLength:"64" doc:"By name or id; all if absent"`
	Site    string `query:"site" maxLength:"64" doc:"By name or id; all if absent"`
	Since   string `query:"since" maxLength:"64" doc:"A time such as 2027-01-31T12:00:00Z, or how long ago: 15m, 24h; an hour if absent, 31 days at most"`
	Until   string `query:"until" maxLength:"64" doc:"The same; now if absent"`
	Step    string `query:"step" maxLength:"16" doc:"A series with steps of this duration, a multiple of 15s; those of less than 5m reach back a day. Without it all of the time is added up"`
	By      string `query:"by" enum:"service,site,node" doc:"Added up for each of these"`
}

func (q *TrafficQuery) read(now time.Time) (out admin.TrafficQuery, err error) {
	out = admin.TrafficQuery{Service: q.Service, Site: q.Site, By: model.TrafficBy(q.By)}
	if out.Since, err = admin.Moment("since", q.Since, now); err != nil {
		return out, err
	}
	if out.Until, err = admin.Moment("until", q.Until, now); err != nil {
		return out, err
	}
	if q.Step != "" {
		if out.Step, err = time.ParseDuration(q.Step); err != nil || out.Step <= 0 {
			return out, fault.Field("step", "%q is no duration such as 15s or 5m", q.Step)
		}
	}
	return out, nil
}

func (a *API) traffic() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/traffic", "get-traffic", "How much there was: requests, statuses, bytes, latencies; a series, or by service, site or node", "requests", access.TrafficRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			TrafficQuery
		}) (*answer[page[admin.Traffic]], error) {
			q, err := in.read(time.Now())
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			v, err := a.Admin.Traffic(ctx, caller(ctx), in.Org, q)
			return listed(ctx, a, v, err)
		})
}

type EventQuery struct {
	Types []string `query:"type,explode" maxItems:"64" doc:"Types of event; all if absent" example:"[\"certificate.failed\"]"`
}

func (q *EventQuery) types() (out []model.EventType) {
	for _, t := range q.Types {
		out = append(out, model.EventType(t))
	}
	return out
}

func (a *API) events() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/events", "list-events", "What has happened in an organization, the newest first; webhooks are told the same", "events", access.EventsRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			EventQuery
			PageQuery
		}) (*answer[page[admin.Event]], error) {
			scope := "events/" + in.Org
			mark, err := a.requestMark(scope, in.Token)
			if err != nil {
				return nil, err
			}
			size := min(in.Size, maxPage)
			items, err := a.Admin.Events(ctx, caller(ctx), in.Org, in.types(), store.EventMark{At: mark.At, ID: model.EventID{UUID: mark.ID}}, store.EventMark{}, size+1)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := page[admin.Event]{Items: items}
			if len(items) > size {
				out.Items = items[:size]
				out.Next = a.sealMark(scope, eventMark(items[size-1]))
			}
			return &answer[page[admin.Event]]{Status: http.StatusOK, Body: out}, nil
		})
}

// eventMark is the place of an event, as requestMark reads it.
func eventMark(e admin.Event) string {
	id, _ := model.EventID{}.Parse(e.ID) // it was made of one
	return e.At.Format(time.RFC3339Nano) + " " + id.UUID.String()
}
