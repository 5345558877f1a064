package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
)

// Request is what became of a request, connection or flow.
type Request struct {
	ID        string            `json:"id" doc:"As X-Request-Id said"`
	At        time.Time         `json:"at" doc:"When it was over"`
	Kind      model.ServiceKind `json:"kind" enum:"http,tls,tcp,udp"`
	Service   string            `json:"service" doc:"Its name then"`
	ServiceID string            `json:"service_id"`
	Node      string            `json:"node"`
	Site      string            `json:"site,omitempty" doc:"Absent: no target was reached"`
	Target    string            `json:"target_id,omitempty"`
	Relay     string            `json:"relay_id,omitempty" doc:"The node that passed it on; absent: none did"`
	Client    string            `json:"client,omitempty" doc:"Address"`
	Method    string            `json:"method,omitempty"`
	Host      string            `json:"host,omitempty"`
	Path      string            `json:"path,omitempty" doc:"Without its query"`
	User      string            `json:"user,omitempty" doc:"Who had signed in"`
	Status    int               `json:"status,omitempty" doc:"Absent: not HTTP, or no answer"`
	In        int64             `json:"bytes_in"`
	Out       int64             `json:"bytes_out"`
	Decide    float64           `json:"decide_ms" doc:"Until it was decided who comes"`
	FirstByte float64           `json:"first_byte_ms" doc:"Until the target's answer began; of what is not HTTP until a target was connected"`
	Total     float64           `json:"total_ms"`
	Decision  string            `json:"decision" enum:"allowed,denied,sign_in,refused,answered"`
	Reason    string            `json:"reason,omitempty" doc:"Why it was decided so"`
	Error     string            `json:"error,omitempty" doc:"Why there was no whole answer of a target"`
}

// RequestGap is where the request log lacks something.
type RequestGap struct {
	At       time.Time `json:"at" doc:"When the window begins in which they were"`
	Service  string    `json:"service"`
	Requests int64     `json:"requests" doc:"How many are not in the log, because a node had no room"`
}

// maxGaps bounds what is shown with a list.
const maxGaps = 100

// Requests lists requests of an organization, the newest first: those before a place in the list, unless that is zero, with the
// gaps of their time.
func (a *Admin) Requests(ctx context.Context, p access.Principal, org string, f model.RequestFilter, before model.RequestMark, limit int) (out []Request, gaps []RequestGap, err error) {
	if err := f.Validate(); err != nil {
		return nil, nil, err
	}
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.RequestsRead); err != nil {
			return err
		}
		list, err := c.tx.ListRequests(c, c.org, f, before, limit)
		if err != nil {
			return err
		}
		out, gaps = make([]Request, len(list)), []RequestGap{}
		for i, r := range list {
			out[i] = viewRequest(r)
		}
		if len(list) == 0 {
			return nil
		}
		from, to := list[len(list)-1].At.Add(-model.TrafficFine), list[0].At.Add(time.Microsecond)
		found, err := c.tx.ListRequestGaps(c, c.org, from, to, maxGaps, time.Now())
		if err != nil {
			return err
		}
		for _, g := range found {
			gaps = append(gaps, RequestGap{g.At.UTC(), c.serviceName(g.Service), g.Requests})
		}
		return nil
	})
	return out, gaps, err
}

// serviceName is the name of a service, or, if it is gone, its id.
func (c *call) serviceName(id model.ServiceID) string {
	key := id.String()
	if _, ok := c.names[key]; !ok {
		c.names[key] = key
		if s, err := c.tx.GetService(c, id); err == nil {
			c.names[key] = s.Name
		}
	}
	return c.names[key]
}

// MarkOf is the place of a request in a list.
func (r *Request) MarkOf() model.RequestMark {
	m := model.RequestMark{At: r.At}
	_ = m.ID.UnmarshalText([]byte(r.ID)) // it was made of one
	return m
}

func viewRequest(r *model.Request) Request {
	v := Request{
		ID: r.ID.String(), At: r.At.UTC(), Kind: r.Kind, Service: r.ServiceName, ServiceID: r.Service.String(), Node: r.NodeName, Site: r.SiteName,
		Method: r.Method, Host: r.Host, Path: r.Path, User: r.Visitor, Status: r.Status, In: r.In, Out: r.Out,
		Decide: ms(r.Decide), FirstByte: ms(r.FirstByte), Total: ms(r.Total), Decision: r.Decision, Reason: r.Reason, Error: r.Error,
	}
	if !r.Target.IsZero() {
		v.Target = r.Target.String()
	}
	if !r.Relay.IsZero() {
		v.Relay = r.Relay.String()
	}
	if r.Client.IsValid() {
		v.Client = r.Client.String()
	}
	return v
}

// RequestTail shows requests as nodes tell of them. Close must follow.
type RequestTail struct{ tail *tail.Tail }

// TailItem is what a tail shows: one of these.
type TailItem struct {
	Request *Request
	Gap     *RequestGap
	Dropped uint64 // requests that were not shown, because who watches was too slow
}

// TailRequests begins to show requests of an organization.
func (a *Admin) TailRequests(ctx context.Context, p access.Principal, org string, f model.RequestFilter) (*RequestTail, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := a.May(ctx, p, org, access.RequestsRead); err != nil {
		return nil, err
	}
	if a.Tails == nil {
		return nil, fault.New(fault.Unavailable, "requests can't be watched here")
	}
	id, err := a.OrganizationID(ctx, p, org)
	if err != nil {
		return nil, err
	}
	t, err := a.Tails.Watch(id, f.Matches)
	if err != nil {
		return nil, err
	}
	return &RequestTail{t}, nil
}

// May says whether a caller has a permission in an organization.
func (a *Admin) May(ctx context.Context, p access.Principal, org string, need access.Permission) error {
	return a.read(ctx, p, func(c *call) error { return c.organization(org, need) })
}

// Next waits for something to show; it is false when ctx is done, or the replica ends.
func (t *RequestTail) Next(ctx context.Context) (TailItem, bool) {
	if n := t.tail.Dropped(); n > 0 {
		return TailItem{Dropped: n}, true
	}
	select {
	case <-ctx.Done():
		return TailItem{}, false
	case i, ok := <-t.tail.Items():
		switch {
		case !ok:
			return TailItem{}, false
		case i.Gap != nil:
			return TailItem{Gap: &RequestGap{i.Gap.At.UTC(), i.Gap.ServiceName, i.Gap.Requests}}, true
		}
		v := viewRequest(i.Request)
		return TailItem{Request: &v}, true
	}
}

// Close ends it.
func (t *RequestTail) Close() { t.tail.Close() }

// RequestLogSpec is what an organization wants of its request log.
type RequestLogSpec struct {
	KeepDays int `json:"keep_days" minimum:"0" maximum:"90" doc:"For how long requests are kept, a week if nothing is said; 0: none are written. Rates are kept all the same"`
}

// RequestLog says what an organization wants of its request log.
func (a *Admin) RequestLog(ctx context.Context, p access.Principal, org string) (out RequestLogSpec, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.RequestsRead); err != nil {
			return err
		}
		out.KeepDays, err = c.tx.RequestLogDays(c, c.org)
		return err
	})
	return out, err
}

// SetRequestLog changes it. What is too old then is removed within the hour.
func (a *Admin) SetRequestLog(ctx context.Context, p access.Principal, org string, s RequestLogSpec) (RequestLogSpec, error) {
	if s.KeepDays < 0 || s.KeepDays > model.MaxRequestLogDays {
		return RequestLogSpec{}, fault.Field("keep_days", "%d, want 0 to %d", s.KeepDays, model.MaxRequestLogDays)
	}
	_, err := a.write(ctx, p, "request-log.configure", func(c *call) error {
		if err := c.organization(org, access.RequestsManage); err != nil {
			return err
		}
		if err := c.tx.SetRequestLogDays(c, c.org, s.KeepDays); err != nil {
			return err
		}
		c.did(c.org.String(), "")
		return nil
	})
	return s, err
}

// Event is something that has happened in an organization.
type Event struct {
	ID     string          `json:"id"`
	At     time.Time       `json:"at"`
	Type   model.EventType `json:"type"`
	Object string          `json:"object" doc:"What it happened to, a typed id"`
	Data   any             `json:"data"`
}

// Events lists what has happened in an organization, the newest first: between two places in the list, unless they are zero.
func (a *Admin) Events(ctx context.Context, p access.Principal, org string, types []model.EventType, before, after store.EventMark, limit int) (out []Event, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.EventsRead); err != nil {
			return err
		}
		list, err := c.tx.ListOrganizationEvents(c, c.org, types, before, after, limit)
		out = make([]Event, len(list))
		for i, e := range list {
			out[i] = Event{e.ID.String(), e.At.UTC(), e.Type, e.Object, e.Data}
		}
		return err
	})
	return out, err
}
