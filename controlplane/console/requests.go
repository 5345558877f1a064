package console

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
)

// requestFilters are the parameters that select requests; the API calls them so as well.
var requestFilters = []string{"service", "site", "node", "status", "decision", "method", "host", "path", "client", "user", "since", "until"}

// requestQuery is what the address of a page selects.
func requestQuery(v url.Values) admin.RequestQuery {
	return admin.RequestQuery{
		Service: v.Get("service"), Site: v.Get("site"), Node: v.Get("node"), Status: v.Get("status"), Decision: v.Get("decision"), Method: strings.ToUpper(v.Get("method")),
		Host: v.Get("host"), Path: v.Get("path"), Client: v.Get("client"), User: v.Get("user"), Since: v.Get("since"), Until: v.Get("until"),
	}
}

// requestFilter is what a request's address selects, without what is empty.
func requestFilter(q *Request) Form { return filterOf(q, requestFilters...) }

// withQuery is an address with parameters.
func withQuery(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// Logged is a part of the request log.
type Logged struct {
	Listed[admin.Request]
	Gaps []admin.RequestGap
}

// requestLog reads a part of the log.
func (q *Request) requestLog(f Form, before model.RequestMark) (out Logged, err error) {
	query := requestQuery(f.Values)
	filter, err := query.Filter(q.Now)
	if err != nil {
		return out, err
	}
	list, gaps, err := q.Admin.Requests(q.Context(), q.Who, q.Org.ID.String(), filter, before, perPage+1)
	return Logged{listed(q, f, list, markOf), gaps}, err
}

// markOf is the place of a request, as openMark reads it.
func markOf(r admin.Request) string { return r.At.UTC().Format(time.RFC3339Nano) + "_" + r.ID }

// openMark reads a place in a list that a page has written, zero if there is none.
func openMark(text string) (at time.Time, id uuid.UUID, err error) {
	if text == "" {
		return at, id, nil
	}
	when, ref, _ := strings.Cut(text, "_")
	if at, err = time.Parse(time.RFC3339Nano, when); err == nil {
		id, err = uuid.Parse(ref)
	}
	if err != nil {
		return at, id, fault.New(fault.NotFound, "There is no such place in this list.")
	}
	return at, id, nil
}

func listRequests(q *Request) (*Page, error) {
	f := requestFilter(q)
	at, id, err := openMark(q.URL.Query().Get("before"))
	if err != nil {
		return nil, err
	}
	log, err := q.requestLog(f, model.RequestMark{At: at, ID: id})
	status := 0
	if err != nil {
		if status = f.refuse(err); status == 0 {
			return nil, err
		}
	}
	return &Page{Title: "Requests", Status: status, Actions: requestsActions(q, f, false), Top: requestsView(q, f, log)}, nil
}

// watchRequests shows requests as nodes tell of them. Without scripts it is the log's end, to be looked at again.
func watchRequests(q *Request) (*Page, error) {
	f := requestFilter(q)
	log, err := q.requestLog(f, model.RequestMark{})
	if err != nil {
		if f.refuse(err) == 0 {
			return nil, err
		}
		return &Page{Title: "Requests", Status: http.StatusUnprocessableEntity, Actions: requestsActions(q, f, false), Top: requestsView(q, f, log)}, nil
	}
	return &Page{
		Title: "Requests, live", Crumbs: []Crumb{{"Requests", withQuery(q.To("requests"), f.Values)}}, Actions: requestsActions(q, f, true),
		Top: requestsFilter(q, f), Live: watchedView(q, &watched{items: log.Items}), Stream: withQuery(q.To("requests", "tail"), f.Values),
	}, nil
}

// mostWatched is how many requests are shown to who watches.
const mostWatched = 100

// watched is what is shown to who watches: the newest first, each once.
type watched struct {
	items   []admin.Request
	dropped uint64 // that were too many to be shown
	gaps    int64  // that the log lacks
}

func (v *watched) add(i admin.TailItem) {
	switch {
	case i.Request != nil:
		for _, o := range v.items {
			if o.ID == i.Request.ID {
				return
			}
		}
		v.items = append([]admin.Request{*i.Request}, v.items[:min(len(v.items), mostWatched-1)]...)
	case i.Gap != nil:
		v.gaps += i.Gap.Requests
	default:
		v.dropped += i.Dropped
	}
}

// tailRequests is the stream of the page of watchRequests.
func (c *Console) tailRequests(w http.ResponseWriter, r *http.Request) {
	if _, err := c.principal(r); err != nil {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	if _, err := c.allowed(q, access.RequestsRead); err != nil {
		http.Error(w, c.said(err), httpfault.Status(err))
		return
	}
	ctx, cancel := c.untilOver(r.Context())
	defer cancel()
	f := requestFilter(q)
	query := requestQuery(f.Values)
	filter, err := query.Filter(q.Now)
	var tail *admin.RequestTail
	if err == nil {
		tail, err = q.Admin.TailRequests(ctx, q.Who, q.Org.ID.String(), filter)
	}
	if err != nil {
		http.Error(w, c.said(err), httpfault.Status(err))
		return
	}
	defer tail.Close()
	send, done, ok := c.stream(w, q.Who)
	if !ok {
		return
	}
	defer done()
	log, err := q.requestLog(f, model.RequestMark{})
	if err != nil {
		c.Log.Warn("console stream without what was before it", "err", err)
	}
	c.watch(ctx, q, tail, &watched{items: log.Items}, send)
}

// watch renders what there is whenever there is more, until its reader is gone or may not see it any more.
func (c *Console) watch(ctx context.Context, q *Request, tail *admin.RequestTail, v *watched, send func(string) error) {
	for sent, asked, changed := time.Now(), time.Now(), true; ; {
		text := ""
		switch {
		case changed:
			var page bytes.Buffer
			if err := watchedView(q, v).Render(ctx, &page); err != nil {
				c.Log.Error("console stream not rendered", "err", err)
				return
			}
			text = message(page.Bytes())
		case time.Since(sent) > beatEvery:
			text = beat
		}
		if text != "" {
			if send(text) != nil {
				return
			}
			sent = time.Now()
		}
		if time.Since(asked) > lookAgain {
			asked = time.Now()
			p, err := c.principal(q.Request)
			if fault.Of(err) == fault.Denied || err == nil && !p.Can(access.RequestsRead, q.Org.ID) {
				return
			}
		}
		var more bool
		if changed, more = gather(ctx, tail, v); !more {
			return
		}
	}
}

// gather waits for a request, and for a moment for others that come with it.
func gather(ctx context.Context, tail *admin.RequestTail, v *watched) (changed, more bool) {
	first, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	i, ok := tail.Next(first)
	if !ok {
		return false, ctx.Err() == nil && first.Err() != nil
	}
	rest, stop := context.WithTimeout(ctx, renderEvery)
	defer stop()
	for ok {
		v.add(i)
		i, ok = tail.Next(rest)
	}
	return true, ctx.Err() == nil && rest.Err() != nil
}
