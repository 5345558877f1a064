package rest

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
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

type RequestQuery struct {
	Service  string `query:"service" maxLength:"64" doc:"By name, as it was then, or id"`
	Site     string `query:"site" maxLength:"64" doc:"By name, as it was then, or id"`
	Node     string `query:"node" maxLength:"64" doc:"By name, as it was then, or id"`
	Status   string `query:"status" maxLength:"7" doc:"A status, a class or a range: 404, 5xx, 400-499"`
	Method   string `query:"method" maxLength:"32"`
	Host     string `query:"host" maxLength:"255"`
	Path     string `query:"path" maxLength:"2048" doc:"How it begins"`
	Client   string `query:"client" maxLength:"64" doc:"An address, or a network such as 198.51.100.0/24"`
	User     string `query:"user" maxLength:"320" doc:"Who had signed in"`
	Decision string `query:"decision" maxLength:"16" enum:"allowed,denied,sign_in,refused,answered"`
	Since    string `query:"since" maxLength:"64" doc:"A time such as 2027-01-31T12:00:00Z, or how long ago: 90s, 15m, 24h"`
	Until    string `query:"until" maxLength:"64" doc:"The same"`
}

// filter reads a query; times are relative to now.
func (q *RequestQuery) filter(now time.Time) (f model.RequestFilter, err error) {
	f = model.RequestFilter{Service: q.Service, Site: q.Site, Node: q.Node, Method: q.Method, Host: strings.ToLower(q.Host), PathPrefix: q.Path, Visitor: q.User, Decision: q.Decision}
	if f.Statuses, err = statuses(q.Status); err != nil {
		return f, err
	}
	if q.Client != "" {
		if a, err := netip.ParseAddr(q.Client); err == nil && a.Zone() == "" {
			f.Client = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		} else if f.Client, err = netip.ParsePrefix(q.Client); err != nil {
			return f, fault.Field("client", "%q is neither an address nor a network", q.Client)
		}
		f.Client = f.Client.Masked()
	}
	if f.Since, err = moment("since", q.Since, now); err != nil {
		return f, err
	}
	f.Until, err = moment("until", q.Until, now)
	return f, err
}

func statuses(text string) (s [2]int, err error) {
	switch first, last, isRange := strings.Cut(text, "-"); {
	case text == "":
	case len(text) == 3 && strings.HasSuffix(strings.ToLower(text), "xx") && text[0] >= '1' && text[0] <= '5':
		class := int(text[0]-'0') * 100
		return [2]int{class, class + 99}, nil
	default:
		if !isRange {
			last = first
		}
		var err1, err2 error
		s[0], err1 = strconv.Atoi(first)
		s[1], err2 = strconv.Atoi(last)
		if err1 != nil || err2 != nil || s == [2]int{} {
			return s, fault.Field("status", "%q, want one such as 404, 5xx or 400-499", text)
		}
	}
	return s, nil
}

// moment reads a time, or how long ago.
func moment(field, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fault.Field(field, "%q is neither a time such as 2027-01-31T12:00:00Z nor a duration such as 15m", text)
	}
	return at.UTC(), nil
}

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
			RequestQuery
			PageQuery
		}) (*answer[requestPage], error) {
			f, err := in.filter(time.Now())
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
	if out.Since, err = moment("since", q.Since, now); err != nil {
		return out, err
	}
	if out.Until, err = moment("until", q.Until, now); err != nil {
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
